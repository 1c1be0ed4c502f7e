"""A real Chromium on the real page. Canvas and weights share the CPU here, hence the patient waits."""

import io
import re

import numpy as np
import pytest
from PIL import Image

WAIT = 60_000  # milliseconds
DESKTOP = {"width": 1100, "height": 700}
PHONE = {"width": 390, "height": 844}


@pytest.fixture
def page(browser, page_url, request):
    """The page in a fresh browser profile, at the size that a test asks for by `@pytest.mark.parametrize`."""
    options = getattr(request, "param", {"viewport": DESKTOP})
    context = browser.new_context(**options)
    context.set_default_timeout(WAIT)
    page = context.new_page()
    page.crashes = []
    page.on("pageerror", lambda error: page.crashes.append(str(error)))
    page.goto(page_url)
    page.locator("#photo canvas").last.wait_for()
    yield page
    context.close()


def add_photo(page, path, painted=True):
    """Upload an aligned face and paint two strokes over its middle."""
    page.get_by_text("Options", exact=True).click()
    page.get_by_label("My picture already is an aligned face").check()
    page.locator("#photo input[type=file]").set_input_files(path)
    page.get_by_text("Drop a photo here").wait_for(state="hidden")
    if painted:
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


def test_paint_restore_repaint_render(page, drawn_face):
    add_photo(page, drawn_face)
    press(page, "Restore")
    address, restored = shown_result(page)
    photo = np.asarray(Image.open(drawn_face)).astype(int)
    assert restored.shape == photo.shape
    changed = np.argwhere((restored != photo).any(-1))
    assert 100 < len(changed) < 0.2 * photo.shape[0] * photo.shape[1]
    # Only about the strokes, in the middle of the picture, may have changed.
    assert changed.min() > 0.25 * 300 and changed.max() < 0.75 * 300
    assert re.search(r"Took \d+\.\d s", page.locator("#notes").inner_text())

    page.locator("#palette").get_by_label("Hair", exact=True).check()
    drag(page, "#layout", [(0.4, 0.4), (0.6, 0.4), (0.4, 0.5), (0.6, 0.5), (0.4, 0.6), (0.6, 0.6)])
    press(page, "Render")
    _, rendered = shown_result(page, unlike=address)
    # Not pixel by pixel: within the strokes a restored pixel may happen to equal the photo's.
    (top, left), (bottom, right) = changed.min(0), changed.max(0)
    outside = np.ones(photo.shape[:2], bool)
    outside[top : bottom + 1, left : right + 1] = False
    assert (rendered != restored).any()
    np.testing.assert_array_equal(rendered[outside], photo[outside])
    assert not page.crashes


def test_without_a_photo_a_sentence_says_so(page):
    press(page, "Restore")
    page.get_by_text("There is no photo yet.").wait_for()
    assert not page.locator("#result").is_visible()


PHONES = [
    {"viewport": PHONE, "has_touch": True, "is_mobile": True, "color_scheme": scheme}
    for scheme in ("light", "dark")
]


@pytest.mark.parametrize("page", PHONES, indirect=True, ids=["light", "dark"])
def test_a_phone_needs_no_sideways_scroll(page, drawn_face, tmp_path):
    assert fits_the_width(page)
    add_photo(page, drawn_face)
    press(page, "Restore")
    shown_result(page)
    assert fits_the_width(page)
    page.screenshot(path=tmp_path / "phone.png", full_page=True)
    assert Image.open(tmp_path / "phone.png").width == PHONE["width"]
