"""A real Chromium on the real page. Canvas and weights share the CPU here, hence the patient waits."""

import io
import re

import numpy as np
import pytest
from PIL import Image

WAIT = 60_000  # milliseconds
DESKTOP = {"viewport": {"width": 1440, "height": 900}}
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


@pytest.fixture
def open_page(browser, page_url):
    """Opens the page in a fresh browser profile; its crashes are no part of any test."""
    contexts = []

    def open_page(query="", **options):
        context = browser.new_context(**DESKTOP | options)
        contexts.append(context)
        context.set_default_timeout(WAIT)
        page = context.new_page()
        page.crashes = []
        page.on("pageerror", lambda error: page.crashes.append(str(error)))
        page.goto(page_url + query)
        page.locator("#upload, #photo").first.wait_for()
        return page

    yield open_page
    crashes = [crash for context in contexts for page in context.pages for crash in page.crashes]
    for context in contexts:
        context.close()
    assert not crashes


def add_photo(page, path):
    """Upload an aligned face."""
    page.locator("#upload input[type=file]").set_input_files(path)
    page.locator("#photo canvas").last.wait_for()
    page.get_by_role("button", name="Options").click()
    page.get_by_label("The picture is already cropped to the face").check()
    page.wait_for_timeout(1000)  # the canvas grows to its size


def paint(page):
    """Paint two strokes over the middle of the photo."""
    drag(page, "#photo", [(0.46, 0.45), (0.54, 0.45)])
    drag(page, "#photo", [(0.46, 0.52), (0.54, 0.52)])


def drag(page, editor, points):
    """Drag the mouse over an editor's canvas; points are fractions of its width and height."""
    canvas = page.locator(f"{editor} canvas").last
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    places = [(box["x"] + box["width"] * x, box["y"] + box["height"] * y) for x, y in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=6)
    page.mouse.up()


def press(page, name):
    page.get_by_role("button", name=name, exact=True).click()


def shown_result(page, unlike=None):
    """Wait for a result (another one than the picture at the address `unlike`); its address and pixels."""
    image = page.locator("#result img").first
    image.wait_for()
    page.wait_for_function("unlike => document.querySelector('#result img').src != unlike", arg=unlike)
    address = image.get_attribute("src")
    body = page.request.get(address).body()
    return address, np.asarray(Image.open(io.BytesIO(body)).convert("RGB")).astype(int)


def fits_the_width(page):
    return page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_paint_restore_repaint_and_go_back(open_page, drawn_face):
    page = open_page()
    add_photo(page, drawn_face)
    paint(page)
    press(page, "Restore")
    address, restored = shown_result(page)
    photo = np.asarray(Image.open(drawn_face)).astype(int)
    assert restored.shape == photo.shape
    changed = np.argwhere((restored != photo).any(-1))
    assert 100 < len(changed) < 0.2 * photo.shape[0] * photo.shape[1]
    # Only about the strokes, in the middle of the picture, may have changed.
    assert changed.min() > 0.25 * 300 and changed.max() < 0.75 * 300
    assert re.search("Took \\d+\\.\\d\N{NO-BREAK SPACE}s", page.locator("#notes").inner_text())

    page.locator("#palette").get_by_label("Hair", exact=True).check()
    drag(page, "#layout", [(0.4, 0.4), (0.6, 0.4), (0.4, 0.5), (0.6, 0.5), (0.4, 0.6), (0.6, 0.6)])
    # The face follows by itself.
    address, rendered = shown_result(page, unlike=address)
    assert "The hole was widened" in page.locator("#notes").inner_text()
    follows = np.argwhere((rendered != restored).any(-1))
    assert len(follows) > 300
    assert follows.min() > 0.25 * 300 and follows.max() < 0.75 * 300
    press(page, "Render")
    address, again = shown_result(page, unlike=address)
    np.testing.assert_array_equal(again, rendered)

    page.locator("#attempts button").filter(has_text="1 ·").click()
    address, back = shown_result(page, unlike=address)
    np.testing.assert_array_equal(back, restored)
    with page.expect_download() as download:
        press(page, "Download the result")
    np.testing.assert_array_equal(Image.open(download.value.path()), restored)

    press(page, "Show me three other faces")
    shown_result(page, unlike=address)
    assert page.locator("#attempts button").filter(has_text="another face").count() == 3


def test_an_example_opens_with_its_result_and_a_link_of_its_own(open_page, page_url):
    page = open_page()
    page.locator("#examples button").filter(has_text="Half of the face").click()
    _, restored = shown_result(page)
    page.get_by_role("button", name="Link to this result").click()
    link = page.locator("#link input, #link textarea").first
    link.wait_for()
    page.wait_for_function("() => document.querySelector('#link input, #link textarea').value")
    assert link.input_value().startswith(page_url)
    again = open_page(link.input_value().removeprefix(page_url))
    np.testing.assert_array_equal(shown_result(again)[1], restored)


def test_a_part_is_hidden_and_the_mask_can_be_kept(open_page, tmp_path):
    page = open_page()
    page.locator("#examples button").filter(has_text="Half of the face").click()
    shown_result(page)
    press(page, "Clear")
    page.locator("#hidden").get_by_text("0% of the photo is hidden").wait_for()
    press(page, "Mouth")
    page.locator("#hidden").get_by_text("of the face is hidden").wait_for()
    page.get_by_role("button", name="Options").click()
    with page.expect_download() as download:
        press(page, "Save this mask")
    download.value.save_as(tmp_path / "mask.png")
    mask = np.asarray(Image.open(tmp_path / "mask.png"))
    rows, columns = np.nonzero(mask)
    assert mask.shape == (512, 512) and 100 < len(rows) < 5000
    # The astronaut's mouth.
    assert abs(rows.mean() - 146) < 12 and abs(columns.mean() - 226) < 12


def test_strokes_painted_since_outlive_an_edit_and_going_back(open_page, drawn_face, tmp_path):
    page = open_page()
    add_photo(page, drawn_face)
    paint(page)
    press(page, "Restore")
    address, _ = shown_result(page)
    drag(page, "#photo", [(0.3, 0.85), (0.7, 0.85)])
    press(page, "Longer hair")
    address, _ = shown_result(page, unlike=address)
    page.locator("#attempts button").filter(has_text="1 ·").click()
    shown_result(page, unlike=address)
    with page.expect_download() as download:
        press(page, "Save this mask")
    download.value.save_as(tmp_path / "mask.png")
    mask = np.asarray(Image.open(tmp_path / "mask.png"))
    assert mask[250:260, 120:180].all() and mask[130:140, 145:155].any()


def test_a_press_sends_what_is_painted_once(open_page, drawn_face):
    """On a slow line a photo's worth of bytes takes seconds."""
    page = open_page()
    sent = []
    page.on("request", lambda request: sent.append(request.url) if "/upload" in request.url else None)
    add_photo(page, drawn_face)
    paint(page)
    address = None
    for name in "Invert", "Invert", "Restore", "Longer hair", "Restore":
        sent.clear()
        press(page, name)
        if name != "Invert":
            address, _ = shown_result(page, unlike=address)
        page.wait_for_timeout(4000)
        # The photo on the canvas and the strokes over it; as much again of a layout when it first appears.
        assert 1 <= len(sent) <= 4, name


def test_a_press_waits_for_the_one_before_and_nothing_hidden_comes_up(open_page):
    page = open_page()
    page.locator("#examples button").first.click()
    shown_result(page)
    press(page, "Smile")
    page.wait_for_function("() => document.querySelector('#layout').inert")
    page.wait_for_function("() => !document.querySelector('#layout').inert")
    assert page.locator("#attempts button").count() == 2
    press(page, "Another photo")
    page.locator("#examples button").nth(1).click()
    shown_result(page)
    assert not any(button.is_visible() for button in page.locator(".unseen").all())


def test_after_a_refusal_the_page_takes_presses_again(open_page):
    page = open_page()
    page.locator("#examples button").filter(has_text="Half of the face").click()
    shown_result(page)
    for refused, sentence, work in (
        ("Glasses off", "would change nothing here", "#layout"),
        ("Glasses", "No glasses can be seen", "#photo"),
    ):
        press(page, refused)
        page.get_by_text(sentence).wait_for()
        page.wait_for_function("work => !document.querySelector(work).inert", arg=work, timeout=5000)
    press(page, "Smile")
    page.locator("#attempts button").filter(has_text="smile").wait_for()


def test_what_is_erased_leaves_no_rim(open_page, drawn_face):
    page = open_page()
    add_photo(page, drawn_face)
    paint(page)
    page.wait_for_function(
        "getComputedStyle(document.querySelector('#hidden'), '::after').content.includes('Press Restore')"
    )
    page.locator("#photo button[aria-label=Erase]").click()
    paint(page)
    press(page, "Restore")
    page.get_by_text("Nothing is painted over yet").wait_for()


def test_the_wheel_scrolls_the_page_over_an_editor(open_page, drawn_face):
    page = open_page(viewport={"width": 1280, "height": 500})
    add_photo(page, drawn_face)
    box = page.locator("#photo canvas").last.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 50)
    before = page.evaluate("scrollY")
    page.mouse.wheel(0, 200)
    page.wait_for_function("before => scrollY > before + 50", arg=before)


def test_another_photo_has_options_of_its_own(open_page, drawn_face):
    page = open_page()
    add_photo(page, drawn_face)
    seed = page.get_by_label("Seed", exact=False).first
    seed.fill("7")
    press(page, "Another photo")
    page.locator("#upload input[type=file]").set_input_files(drawn_face)
    page.locator("#photo canvas").last.wait_for()
    assert not page.get_by_label("The picture is already cropped to the face").is_checked()
    assert seed.input_value() == "0"


def test_two_visitors_never_see_each_others_photo(open_page, drawn_face, tmp_path):
    photo = Image.open(drawn_face)
    photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT).point(lambda value: 255 - value).save(tmp_path / "b.png")
    files = [drawn_face, tmp_path / "b.png"]
    pages = [open_page(), open_page()]
    for page, file in zip(pages, files, strict=True):
        add_photo(page, file)
        paint(page)
    for page in pages:
        press(page, "Restore")
    for page, file in zip(pages, files, strict=True):
        truth = np.asarray(Image.open(file)).astype(int)
        same = (shown_result(page)[1] == truth).all(-1)
        assert same.mean() > 0.8


def test_a_file_that_is_no_picture_is_refused_with_a_sentence(open_page, tmp_path):
    (tmp_path / "letter.png").write_text("not a picture")
    page = open_page()
    page.locator("#upload input[type=file]").set_input_files(tmp_path / "letter.png")
    page.get_by_text("letter.png is not a picture that can be opened.").wait_for()
    # Another one can be chosen at once.
    page.get_by_text("Drop a photo here").wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_needs_no_sideways_scroll(open_page, drawn_face, tmp_path, scheme):
    page = open_page(**PHONE, color_scheme=scheme)
    assert fits_the_width(page)
    add_photo(page, drawn_face)
    paint(page)
    press(page, "Restore")
    shown_result(page)
    assert fits_the_width(page)
    page.screenshot(path=tmp_path / "phone.png", full_page=True)
    assert Image.open(tmp_path / "phone.png").width == PHONE["viewport"]["width"]


def test_on_a_phone_the_result_stays_in_view_above_the_layout(open_page):
    page = open_page(**PHONE)
    page.locator("#examples button").first.click()
    shown_result(page)
    page.wait_for_function(
        """() => {
            const {top, bottom} = document.querySelector('#result').getBoundingClientRect()
            return top >= 0 && bottom < innerHeight + 1
        }"""
    )
    page.locator("#layout").evaluate("layout => layout.scrollIntoView({block: 'end'})")
    result, layout = (page.locator(part).bounding_box() for part in ("#result", "#layout"))
    assert result["y"] >= 0 and result["y"] + result["height"] <= layout["y"]
    assert layout["y"] + layout["height"] < PHONE["viewport"]["height"] + 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_keeps_anybody_out(open_page, scheme):
    """No serious finding of axe-core, before and after a photo is chosen."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = open_page(color_scheme=scheme)
    for _ in range(2):
        page.wait_for_timeout(1000)  # colours fade in
        found = [
            f"{violation['id']}: {node['html']}"
            for violation in axe.run(page).response["violations"]
            if violation["impact"] in ("serious", "critical")
            for node in violation["nodes"]
        ]
        assert not found, "\n".join(found)
        if page.locator("#examples").is_visible():
            page.locator("#examples button").filter(has_text="Half of the face").click()
            shown_result(page)
