import asyncio
import functools
import importlib.util
import inspect
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest
from gradio.state_holder import StateHolder
from PIL import Image

from faceinpaint.alignment import FaceFrame, NoFaceFound
from faceinpaint.page import blocks, visits
from faceinpaint.page.editors import layout_canvas, read_painting
from faceinpaint.photos import Photo
from faceinpaint.semantics import CLASSES, PALETTE, layout_to_picture
from faceinpaint.visualization import OVERLAY_OPACITY

ROOT = Path(__file__).parents[1]
LAYOUT = np.zeros((256, 256), np.uint8)
LAYOUT[40:220, 60:200] = CLASSES.index("skin")
LAYOUT[180:200, 100:150] = CLASSES.index("upper lip")
BOX = np.s_[5:15, 10:20]


@pytest.fixture(scope="module")
def page(app):
    return app.Page()


class FakeInpainter:
    """Fills with one gray level a seed; keeps what it was called with."""

    def __init__(self, error=None):
        self.error = error
        self.calls, self.looks = [], []
        self.hair = np.zeros((30, 40), bool)

    def hair_beyond(self, image, mask, frame, cut):
        return self.hair

    def __call__(self, image, mask, **options):
        self.calls.append(SimpleNamespace(image=image, mask=mask, **options))
        if self.error:
            raise self.error
        layout = options.get("layout")
        results = []
        for number in range(options["variation"] - 1, options["variation"] - 1 + options["num_variations"]):
            photo = Photo.of(image)
            results.append(
                SimpleNamespace(
                    photo=photo.filled(np.full_like(photo.rgb, options["seed"] + number), mask),
                    layout=np.roll(LAYOUT, 8 * number) if layout is None else layout,
                    frames=options.get("frames") or self.locate(image, mask, options["align"], True),
                    notes=["A note."],
                )
            )
        return results if len(results) > 1 else results[0]

    def locate(self, image, mask, align=True, beneath=False):
        if self.error:
            raise self.error
        self.looks.append({"align": align, "beneath": beneath})
        return [FaceFrame.whole(*mask.shape[::-1])]

    def predict_layout(self, image, mask, frames):
        self.calls.append(SimpleNamespace(image=image, mask=mask, frames=frames))
        return np.full((256, 256), 13, np.uint8) if mask.any() else LAYOUT


@pytest.fixture
def model(app, monkeypatch):
    fake = FakeInpainter()
    monkeypatch.setattr(app, "load_inpainter", lambda: fake)
    return fake


@pytest.fixture
def photo_file(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


@pytest.fixture
def visit(page, photo_file):
    return page.open_photo({"path": photo_file})[page.visit]


def painting(visit, box=BOX, scale=1):
    """What the photo editor delivers: the photo on a canvas, and one layer with a translucent box."""
    size = visit.image.width // scale, visit.image.height // scale
    alpha = np.zeros((size[1], size[0]), np.uint8)
    if box:
        alpha[tuple(slice(side.start // scale, side.stop // scale) for side in box)] = 178
    layer = Image.new("RGBA", size, (124, 58, 237))
    layer.putalpha(Image.fromarray(alpha))
    return {"background": visit.image.resize(size).convert("RGBA"), "layers": [layer], "composite": None}


def repainted(layout):
    """What the layout editor delivers."""
    picture = layout_to_picture(layout).resize((512, 512), Image.Resampling.NEAREST).convert("RGBA")
    return {"background": picture, "layers": [], "composite": None}


def layout_of(canvas):
    """The picture of the layout, 256 x 256, that its editor is given."""
    return np.asarray(canvas["background"])[::2, ::2]


def strokes_of(canvas):
    """The mask that the photo's editor is given."""
    return np.asarray(canvas["layers"][0].getchannel("A")) > 0


def box_mask(box=BOX):
    mask = np.zeros((30, 40), bool)
    mask[box] = True
    return mask


def press_restore(page, visit, box=BOX, seed=0, count=1):
    return page.press_restore(visit, painting(visit, box), False, seed, count)


def pixels(picture):
    return np.asarray(Image.open(picture) if isinstance(picture, str | Path) else picture)


def test_import_starts_nothing_and_loads_no_weights():
    script = (
        "import threading, app; assert threading.active_count() == 1, threading.enumerate();"
        "assert app.load_inpainter.cache_info().misses == 0"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, timeout=300)


def test_on_zerogpu_a_press_asks_for_seconds_not_for_a_minute(monkeypatch):
    asked = []

    def gpu(**options):
        asked.append(options)
        return lambda function: function

    monkeypatch.setitem(sys.modules, "spaces", SimpleNamespace(GPU=gpu))
    spec = importlib.util.spec_from_file_location("app_on_zerogpu", ROOT / "app.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert asked == [{"duration": module.GPU_SECONDS}] and module.GPU_SECONDS < 60


def test_page_names_its_endpoints_and_is_queued(app, page):
    public = {fn.api_name for fn in page.blocks.fns.values() if fn.api_visibility == "public"}
    assert public == {"restore", "predict_layout", "render_layout"}
    model_events = [fn for fn in page.blocks.fns.values() if fn.concurrency_id == "model"]
    assert len(model_events) == 11 + len(app.PART_HOLES) + len(app.EDITS)
    assert all(fn.queue and fn.concurrency_limit == 1 for fn in model_events)
    assert page.blocks.delete_cache == (300, 3000)


class TestMask:
    def test_is_what_is_painted(self, visit):
        np.testing.assert_array_equal(read_painting(visit, painting(visit)).mask, box_mask())

    def test_of_a_smaller_canvas_is_scaled_to_the_photo(self, visit):
        read = read_painting(visit, painting(visit, np.s_[4:14, 10:20], scale=2))
        np.testing.assert_array_equal(read.mask, box_mask(np.s_[4:14, 10:20]))

    def test_without_a_photo_the_page_asks_for_one(self, visit):
        with pytest.raises(ValueError, match="no photo yet"):
            read_painting(visit, None)

    def test_with_nothing_painted_the_page_asks_to(self, page, visit, model):
        with pytest.raises(ValueError, match="Nothing is painted over yet"):
            press_restore(page, visit, box=None)

    def test_comes_back_as_it_was_saved_whichever_way_it_came(self, page, visit, model):
        painted = painting(visit, np.s_[4:14, 10:20], scale=2)
        file = page.save_mask(visit, painted)
        updates = page.use_mask_file(visit, file)
        canvas = updates[page.editor]
        # The editor sends the strokes back as it showed them.
        value = {"background": canvas["background"].convert("RGBA"), "layers": canvas["layers"]}
        page.press_restore(updates[page.visit], value, False, 0, 1)
        page.press_restore(visit, painted, False, 0, 1)
        np.testing.assert_array_equal(model.calls[0].mask, model.calls[1].mask)

    def test_of_another_size_is_stretched(self, page, visit, tmp_path, monkeypatch):
        told = []
        monkeypatch.setattr(gr, "Info", told.append)
        Image.fromarray(np.kron(box_mask(), np.ones((3, 3), bool))).save(tmp_path / "large.png")
        np.testing.assert_array_equal(
            page.use_mask_file(visit, tmp_path / "large.png")[page.visit].mask, box_mask()
        )
        assert "stretched" in told[0]

    def test_can_be_inverted_and_cleared(self, page, visit):
        inverted = page.invert_mask(visit, painting(visit))
        np.testing.assert_array_equal(inverted[page.visit].mask, ~box_mask())
        shown = np.asarray(inverted[page.editor]["layers"][0].getchannel("A")) > 0
        np.testing.assert_array_equal(shown, ~box_mask())
        assert not page.clear_mask(inverted[page.visit])[page.visit].mask.any()

    def test_a_random_one_lies_in_the_face_if_there_is_one(self, page, visit, app, model, monkeypatch):
        small = FaceFrame.square(20, 15, 12)
        monkeypatch.setattr(FaceFrame, "whole", lambda *size: small)
        mask = page.randomize_mask(visit, painting(visit), False)[page.visit].mask
        assert mask.sum() > 5 and not mask[:8].any() and not mask[22:].any()
        nobody = FakeInpainter(NoFaceFound("No face was found."))
        monkeypatch.setattr(app, "load_inpainter", lambda: nobody)
        mask = page.randomize_mask(visit, painting(visit), False)[page.visit].mask
        assert 0.05 < mask.mean() < 0.6

    def test_a_part_is_added_and_taken_away_again(self, page, visit, model):
        updates = page.toggle_part("Mouth", visit, painting(visit), False)
        mouth = updates[page.visit].mask & ~box_mask()
        assert mouth[20:24, 16:21].all() and not mouth[:16].any()
        assert not model.calls[0].mask.any()
        assert updates[page.hidden].endswith("of the face is hidden.")
        again = page.toggle_part("Mouth", updates[page.visit], updates[page.editor], False)
        assert not (again[page.visit].mask & mouth).any()
        assert len(model.calls) == 1  # the face is found once

    def test_a_part_that_is_not_there_is_refused(self, page, visit, model):
        with pytest.raises(ValueError, match="hair"):
            page.toggle_part("Hair", visit, painting(visit), False)


class TestRestore:
    def test_shows_layout_result_and_notes(self, page, visit, model):
        shown = page.press_restore(visit, painting(visit), True, 7, 1)
        call = model.calls[0]
        assert (call.align, call.seed, call.num_variations) == (False, 7, 1)
        np.testing.assert_array_equal(call.mask, box_mask())
        canvas = shown[page.layout]["background"]
        np.testing.assert_array_equal(np.asarray(canvas)[::2, ::2], layout_to_picture(LAYOUT))
        assert shown[page.notes].startswith("A note.") and " Took " in shown[page.notes]
        assert "of the face is hidden." in shown[page.notes]
        before, after = map(pixels, shown[page.slider])
        np.testing.assert_array_equal(before, visit.photo.rgb)
        np.testing.assert_array_equal(after, pixels(shown[page.result]))
        np.testing.assert_array_equal(pixels(page.save_result(shown[page.visit])), after)

    def test_the_download_says_that_it_was_edited_by_ai(self, page, visit, model):
        with Image.open(page.save_result(press_restore(page, visit)[page.visit])) as picture:
            assert "Edited by AI" in picture.info["Description"]
            assert "compositeWithTrainedAlgorithmicMedia" in picture.info["XML:com.adobe.xmp"]

    def test_variations_are_attempts_to_choose_from(self, page, visit, model):
        shown = press_restore(page, visit, seed=None, count=3)
        # A photo is aligned unless the visitor says that it already is.
        assert model.calls[-1].align
        titles = [attempt.title for attempt in shown[page.visit].attempts]
        assert titles == ["1 · restored", "2 · another face", "3 · another face"]
        assert shown[page.visit].attempts[2].notes.endswith("Seed 0, variation 3.")
        chosen = page.return_to(shown[page.visit], SimpleNamespace(index=2))
        assert pixels(chosen[page.result])[10, 15].tolist() == [2, 2, 2]
        # Each has its own layout, which repainting starts from and "Undo my changes" brings back.
        own = layout_canvas(np.roll(LAYOUT, 16))["background"]
        reset = page.reset_layout(chosen[page.visit], True, 0)
        for canvas in (chosen[page.layout], reset[page.layout]):
            assert np.array_equal(canvas["background"], own)

    def test_three_other_faces_for_the_hole_of_an_attempt(self, page, visit, model):
        visit = press_restore(page, visit, seed=4)[page.visit]
        first = visit.attempt
        # What was painted over since is for the next press of "Restore".
        shown = page.press_others(replace(visit, mask=~visit.mask))
        visit = shown[page.visit]
        titles = [attempt.title for attempt in visit.attempts[1:]]
        assert titles == [f"{i} · another face" for i in (2, 3, 4)]
        assert visit.attempt.title == titles[0] and shown[page.seed] == 5
        assert np.array_equal(visit.mask, ~box_mask()) and np.array_equal(model.calls[-1].mask, box_mask())
        assert np.array_equal(visit.mask_of(visit.attempt), box_mask())
        assert model.calls[-1].frames is first.frames
        # Again, and there are three more.
        again = page.press_others(visit)[page.visit]
        assert again.attempt.title == "5 · another face"
        assert again.attempt.notes.endswith("Seed 6, variation 2.")
        # From the first attempt, too, not the same three once more.
        back = page.return_to(again, SimpleNamespace(index=0))[page.visit]
        assert page.press_others(back)[page.visit].attempt.notes.endswith("Seed 7, variation 2.")

    def test_a_face_that_was_pointed_out_is_the_one_restored(self, page, visit, model):
        for click in ((15, 10), (25, 10), (20, 18)):
            shown = page.point_out(visit, SimpleNamespace(index=click))
            visit = shown[page.visit]
        assert "This is where the face goes" in shown[page.point_note]
        expected = FaceFrame.from_eyes_and_mouth((15, 10), (25, 10), (20, 18))
        press_restore(page, visit)
        np.testing.assert_allclose(model.calls[-1].frames[0].matrix, expected.matrix)
        page.toggle_part("Skin", visit, painting(visit), False)
        np.testing.assert_allclose(model.calls[-1].frames[0].matrix, expected.matrix)
        # A fourth click begins anew: one eye is no face.
        visit = page.point_out(visit, SimpleNamespace(index=(3, 3)))[page.visit]
        press_restore(page, visit)
        assert model.calls[-1].align

    def test_three_clicks_on_one_place_are_no_face(self, page, visit):
        for _ in range(2):
            visit = page.point_out(visit, SimpleNamespace(index=(15, 10)))[page.visit]
        with pytest.raises(ValueError, match="could not be told apart"):
            page.point_out(visit, SimpleNamespace(index=(15, 10)))

    def test_going_back_to_an_attempt_brings_all_of_it_back(self, page, visit, model):
        first = press_restore(page, visit, seed=3)[page.visit]
        hair = LAYOUT.copy()
        hair[200:230, :40] = CLASSES.index("hair")
        second = page.press_render(first, repainted(hair), 8, 1)[page.visit]
        back = page.return_to(second, SimpleNamespace(index=0))
        assert back[page.seed] == 3
        np.testing.assert_array_equal(back[page.visit].mask, box_mask())
        np.testing.assert_array_equal(layout_of(back[page.layout]), layout_to_picture(LAYOUT))
        forth = page.return_to(second, SimpleNamespace(index=1))
        np.testing.assert_array_equal(layout_of(forth[page.layout]), layout_to_picture(hair))
        assert forth[page.seed] == 8 and forth[page.visit].mask.sum() > box_mask().sum()

    def test_going_back_keeps_what_was_hidden_since(self, page, visit, model):
        visit = press_restore(page, press_restore(page, visit)[page.visit])[page.visit]
        wider = box_mask() | box_mask(np.s_[25:28, 30:35])
        back = page.return_to(replace(visit, mask=wider), SimpleNamespace(index=0))
        assert back[page.visit].attempt.title.startswith("1 ·")
        np.testing.assert_array_equal(back[page.visit].mask, wider)
        assert page.editor not in back

    def test_strokes_that_no_handler_has_seen_stay_on_the_photo(self, page, visit, model):
        visit = press_restore(page, press_restore(page, visit)[page.visit], np.s_[20:25, 5:9])[page.visit]
        for unread in (False, True):
            back = page.return_to(visit, SimpleNamespace(index=0), unread)
            assert back[page.visit].chosen == 0 and (page.editor in back) is not unread
            wide = np.where(LAYOUT == 0, np.uint8(CLASSES.index("hair")), LAYOUT)
            shown = page.press_render(visit, repainted(wide), 0, 1, unread)
            assert page.result in shown and (page.editor in shown) is not unread

    def test_an_edit_shows_its_hole_after_the_photo_was_cleared(self, page, visit, model):
        visit = press_restore(page, visit)[page.visit]
        edited = LAYOUT.copy()
        edited[170:230, 30:60] = CLASSES.index("hair")
        visit = page.press_render(visit, repainted(edited), 0, 1)[page.visit]
        cleared = page.clear_mask(visit)[page.visit]
        edited[0, 0] = CLASSES.index("hat")
        shown = page.press_render(cleared, repainted(edited), 0, 1)
        np.testing.assert_array_equal(strokes_of(shown[page.editor]), shown[page.visit].mask)

    def test_a_press_that_changes_nothing_shows_the_attempt_that_is_there(self, page, visit, model):
        visit = press_restore(page, visit)[page.visit]
        visit = press_restore(page, visit, np.s_[4:20, 10:30])[page.visit]
        assert [attempt.title for attempt in visit.attempts] == ["1 · restored", "2 · restored"]
        again = press_restore(page, visit)[page.visit]
        assert again.attempts == visit.attempts and again.chosen == 0 and again.made == 2

    def test_only_the_latest_attempts_are_kept(self, page, visit, model):
        for number in range(visits.MAX_ATTEMPTS + 1):
            visit = press_restore(page, visit, np.s_[4 : 8 + number, 10:30])[page.visit]
        assert len(visit.attempts) == visits.MAX_ATTEMPTS
        assert visit.attempt.title.startswith(f"{visits.MAX_ATTEMPTS + 1} ·")

    def test_fewer_attempts_at_a_large_photo_are_kept(self, page, visit, model, monkeypatch):
        for number in range(4):
            visit = press_restore(page, visit, np.s_[4 : 20 + number, 10:30])[page.visit]
            monkeypatch.setattr(visits, "MAX_ATTEMPTS_BYTES", 3 * visit.attempt.size)
        assert [attempt.title[0] for attempt in visit.attempts] == ["2", "3", "4"]
        # What was asked for at once is shown, all of it.
        visit = press_restore(page, visit, count=4)[page.visit]
        assert [attempt.title[0] for attempt in visit.attempts] == ["5", "6", "7", "8"]


class TestLayout:
    def test_render_paints_to_the_repainted_layout_where_the_face_was(self, page, visit, model):
        visit = press_restore(page, visit)[page.visit]
        edited = LAYOUT.copy()
        edited[60:80, 60:110] = CLASSES.index("hair")  # inside the hole
        shown = page.press_render(visit, repainted(edited), 3, 1)
        call = model.calls[1]
        np.testing.assert_array_equal(call.layout, edited)
        assert call.frames is visit.attempt.frames and call.seed == 3
        np.testing.assert_array_equal(call.mask, box_mask())
        assert "widened" not in shown[page.notes]
        reset = page.reset_layout(shown[page.visit], False, 0)
        np.testing.assert_array_equal(layout_of(reset[page.layout]), layout_to_picture(LAYOUT))
        assert len(reset[page.visit].attempts) == 2

    def test_strokes_beyond_the_hole_widen_it_and_the_page_says_so(self, page, visit, model):
        visit = press_restore(page, visit)[page.visit]
        edited = LAYOUT.copy()
        edited[170:230, 30:60] = CLASSES.index("hair")
        shown = page.press_render(visit, repainted(edited), 0, 1)
        mask = model.calls[1].mask
        assert mask[box_mask()].all() and mask[20:27, 9:12].all() and not mask[:, 25:].any()
        assert "The hole was widened" in shown[page.notes]
        np.testing.assert_array_equal(strokes_of(shown[page.editor]), mask)

    def test_what_is_undone_is_the_photos_again(self, page, visit, model):
        visit = press_restore(page, visit)[page.visit]
        edited = LAYOUT.copy()
        edited[170:230, 30:60] = CLASSES.index("hair")
        visit = page.press_render(visit, repainted(edited), 0, 1)[page.visit]
        edited[150:170, 30:60] = CLASSES.index("hair")
        visit = page.press_render(visit, repainted(edited), 0, 1)[page.visit]
        shown = page.reset_layout(visit, True, 0)
        np.testing.assert_array_equal(model.calls[-1].layout, LAYOUT)
        for mask in (model.calls[-1].mask, shown[page.visit].mask, strokes_of(shown[page.editor])):
            np.testing.assert_array_equal(mask, box_mask())
        assert "widened" not in shown[page.notes]

    @pytest.mark.parametrize(("end", "goes_on"), [(256, True), (250, False)])
    def test_hair_that_goes_goes_outside_the_face_too(self, page, visit, model, end, goes_on):
        hairy = LAYOUT.copy()
        hairy[100:end, 20:60] = CLASSES.index("hair")
        visit = press_restore(page, visit)[page.visit]
        visit = replace(visit, attempts=(replace(visit.attempt, layout=hairy),))
        model.hair[27:, 35:] = True
        shown = page.press_render(visit, repainted(LAYOUT), 0, 1)
        for mask in (model.calls[-1].mask, strokes_of(shown[page.editor])):
            assert mask[27:, 35:].all() == mask[27:, 35:].any() == goes_on

    def test_what_was_hidden_since_stays_hidden_for_the_next_restore(self, page, visit, model):
        visit = press_restore(page, visit)[page.visit]
        visit = replace(visit, mask=box_mask() | box_mask(np.s_[25:28, 30:35]))
        edited = LAYOUT.copy()
        edited[170:230, 30:60] = CLASSES.index("hair")
        shown = page.press_render(visit, repainted(edited), 0, 1)
        painted = model.calls[1].mask
        assert not painted[25:28, 30:35].any()
        np.testing.assert_array_equal(shown[page.visit].mask, visit.mask | painted)

    def test_a_ready_made_edit_is_rendered_at_once(self, page, visit, model):
        visit = press_restore(page, visit)[page.visit]
        shown = page.press_edit("Smile", visit, repainted(LAYOUT), 0, 1)
        assert (model.calls[1].layout == CLASSES.index("mouth")).sum() > 20
        assert shown[page.visit].attempt.title == "2 · smile"
        with pytest.raises(ValueError, match="“Glasses off” would change nothing here"):
            page.press_edit("Glasses off", visit, repainted(LAYOUT), 0, 1)

    def test_what_an_edit_put_on_comes_off_again_with_what_was_there_beneath(self, page, visit, model):
        visit = press_restore(page, visit)[page.visit]
        visit = page.press_edit("Glasses on", visit, repainted(LAYOUT), 0, 1)[page.visit]
        worn = visit.attempt.layout
        assert (worn == CLASSES.index("eyeglasses")).any()
        visit = page.press_edit("Glasses off", visit, repainted(worn), 0, 1)[page.visit]
        assert np.array_equal(model.calls[-1].layout, LAYOUT)
        assert np.array_equal(visit.mask, box_mask())

    def test_a_region_is_filled(self, page, visit, model):
        visit = press_restore(page, visit)[page.visit]
        skin, hat = CLASSES.index("skin"), CLASSES.index("hat")
        filled = page.press_fill(visit, repainted(LAYOUT), skin, hat, False, 0)
        assert page.result not in filled
        wanted = np.where(skin == LAYOUT, hat, LAYOUT)
        np.testing.assert_array_equal(layout_of(filled[page.layout]), layout_to_picture(wanted))
        page.press_fill(visit, repainted(LAYOUT), skin, hat, True, 0)
        np.testing.assert_array_equal(model.calls[-1].layout, wanted)

    def test_strokes_go_on_in_one_attempt(self, page, visit, model):
        visit = press_restore(page, visit)[page.visit]
        hair = CLASSES.index("hair")
        first, second = LAYOUT.copy(), LAYOUT.copy()
        first[170:230, 30:60] = hair  # beyond the hole
        second[60:80, 60:110] = hair  # in it, after the first stroke was undone
        shown = page.follow_strokes(visit, repainted(first), visit.canvas, True, 3)
        # The editor keeps its strokes, so that they can be undone.
        assert shown[page.layout] == gr.skip()
        assert shown[page.visit].mask.sum() > box_mask().sum()
        shown = page.follow_strokes(shown[page.visit], repainted(second), shown[page.visit].canvas, True, 3)
        assert [each.title for each in shown[page.visit].attempts] == ["1 · restored", "2 · repainted"]
        assert np.array_equal(model.calls[-1].layout, second) and model.calls[-1].seed == 3
        # The hole no longer is as wide as the stroke that was undone.
        for mask in (model.calls[-1].mask, shown[page.visit].mask, strokes_of(shown[page.editor])):
            np.testing.assert_array_equal(mask, box_mask())
        # "Render" keeps it; the next stroke is another attempt.
        kept = page.press_render(shown[page.visit], repainted(second), 3, 1)[page.visit]
        last = page.follow_strokes(kept, repainted(first), kept.canvas, True, 3)[page.visit]
        assert [each.title[:3] for each in last.attempts] == ["1 ·", "2 ·", "3 ·", "4 ·"]
        # So it is after going back to an earlier one.
        back = page.return_to(last, SimpleNamespace(index=1))[page.visit]
        last = page.follow_strokes(back, repainted(LAYOUT), back.canvas, True, 3)[page.visit]
        assert last.attempt.title == "5 · as planned"

    def test_strokes_that_come_after_an_edit_are_not_followed(self, page, visit, model):
        """They were painted on the layout before it, and would undo it."""
        hat = np.where(LAYOUT == 0, np.uint8(CLASSES.index("hat")), LAYOUT)
        visit = press_restore(page, visit)[page.visit]
        smiling = page.press_edit("Smile", visit, repainted(LAYOUT), 0, 1)
        calls = len(model.calls)
        late = page.follow_strokes(smiling[page.visit], repainted(hat), visit.canvas, True, 0)
        assert late == {page.visit: gr.skip()} and len(model.calls) == calls
        # What is painted after it is, on the picture that came with it.
        shown = page.follow_strokes(smiling[page.visit], repainted(hat), smiling[page.canvas], True, 0)
        assert np.array_equal(model.calls[-1].layout, hat) and shown[page.visit].made == 3

    def test_the_face_follows_only_what_is_new_and_whole(self, page, visit, model):
        visit = press_restore(page, visit)[page.visit]
        hat = np.where(LAYOUT == 0, np.uint8(CLASSES.index("hat")), LAYOUT)
        wiped = {"background": None, "layers": [], "composite": None}
        for painting, following in ((repainted(LAYOUT), True), (wiped, True), (repainted(hat), False)):
            assert page.result not in page.follow_strokes(visit, painting, visit.canvas, following, 0)
        assert len(model.calls) == 1

    def test_a_wiped_layout_is_refused(self, page, visit, model):
        visit = press_restore(page, visit)[page.visit]
        with pytest.raises(ValueError, match="part of the layout is missing"):
            page.press_render(visit, {"background": Image.new("RGBA", (512, 512)), "layers": []}, 0, 1)


class TestVisits:
    """What Gradio keeps of each visitor."""

    def answer(self, page, handler, changes, session, before=None):
        tied = next(fn for fn in page.blocks.fns.values() if fn.fn and inspect.unwrap(fn.fn) == handler)

        async def postprocess():
            blocks.asked_about.set(before)
            await page.blocks.postprocess_data(tied, changes, session)

        # In a thread: while a browser is driven, this one has a running loop already.
        with ThreadPoolExecutor() as pool:
            pool.submit(asyncio.run, postprocess()).result()
        return session[page.visit._id]

    @pytest.fixture
    def sessions(self, page):
        state = StateHolder()
        state.set_blocks(page.blocks)
        return state

    def test_an_answer_about_a_photo_that_was_left_is_dropped(self, page, visit, model, sessions):
        late = press_restore(page, visit)
        other = replace(visit, photo=Photo.of(np.full((64, 64, 3), 200, np.uint8)))
        for now in (None, other):
            sessions["a"][page.visit._id] = now
            assert self.answer(page, page.press_restore, late, sessions["a"]) is now
        sessions["a"][page.visit._id] = visit
        assert self.answer(page, page.press_restore, late, sessions["a"]) is late[page.visit]

    def test_the_oldest_are_forgotten_where_all_take_too_much(self, page, visit, sessions, monkeypatch):
        monkeypatch.setattr(blocks, "MAX_VISITS_BYTES", int(2.5 * visit.size))
        for name in "abc":
            sessions[name][page.visit._id] = visit
        self.answer(page, page.clear_mask, page.clear_mask(visit), sessions["a"])
        kept = [sessions.session_data[name][page.visit._id] is not None for name in "abc"]
        assert kept == [True, False, True]

    def test_closing_a_photo_that_was_refused_changes_nothing(self, page):
        assert page.open_photo(None) == {page.visit: gr.skip()}

    def test_a_link_whose_photo_was_left_changes_nothing(self, page, visit):
        linked = {"example": next(iter(page.examples)), "seed": 0, "variation": 1}
        other = page.pick_example(SimpleNamespace(index=1))[page.visit]
        for now in (visit, other):
            assert page.restore_linked(now, linked) == {page.visit: gr.skip()}

    def test_what_another_handler_did_meanwhile_is_kept(self, page, visit, model, sessions):
        """A face can be pointed out, or the view switched, while the model is at work."""
        session = sessions["a"]
        restored = press_restore(page, visit)
        session[page.visit._id] = page.point_out(visit, SimpleNamespace(index=(3, 3)))[page.visit]
        now = self.answer(page, page.press_restore, restored, session, before=visit)
        assert len(now.attempts) == 1 and now.places == ((3, 3),)
        np.testing.assert_array_equal(now.mask, box_mask())
        # And the other way round: the slower answer is not the one with the attempt.
        shown = page.switch_view(restored[page.visit], "The face", "Photo", "Photo")
        session[page.visit._id] = press_restore(page, restored[page.visit], np.s_[4:20, 10:30])[page.visit]
        now = self.answer(page, page.switch_view, shown, session, before=restored[page.visit])
        assert now.close_up and len(now.attempts) == 2

    def test_the_answer_to_a_stroke_on_a_layout_that_was_left_is_dropped(self, page, visit, model, sessions):
        session = sessions["a"]
        visit = press_restore(page, visit)[page.visit]
        hat = np.where(LAYOUT == 0, np.uint8(CLASSES.index("hat")), LAYOUT)
        first = page.follow_strokes(visit, repainted(hat), visit.canvas, True, 0)[page.visit]
        hat[100:110] = CLASSES.index("skin")
        second = page.follow_strokes(first, repainted(hat), first.canvas, True, 0)
        back = page.return_to(first, SimpleNamespace(index=0))[page.visit]
        session[page.visit._id] = back
        assert self.answer(page, page.follow_strokes, second, session, before=first) is back
        session[page.visit._id] = first
        now = self.answer(page, page.follow_strokes, second, session, before=first)
        assert now.attempt is second[page.visit].attempt

    def test_the_answer_to_a_press_shows_what_it_says(self, page, visit, model, sessions):
        """Its picture comes last, so that it is the one that is chosen, whatever was picked meanwhile."""
        session = sessions["a"]
        visit = press_restore(page, visit)[page.visit]
        pressed = page.press_fill(visit, repainted(LAYOUT), 0, CLASSES.index("hat"), True, 0)
        pressed = page.press_restore(pressed[page.visit], painting(visit), False, 0, 1)
        before = replace(pressed[page.visit], chosen=0)
        again = page.press_restore(before, painting(before), False, 0, 1)
        session[page.visit._id] = page.return_to(before, SimpleNamespace(index=1))[page.visit]
        now = self.answer(page, page.press_restore, again, session, before=before)
        assert now.chosen == again[page.visit].chosen == 0

    def test_what_waits_for_the_model_is_not_done_to_the_next_photo(self, page):
        fns = page.blocks.fns
        waiting = {
            i for i, fn in fns.items() if fn.concurrency_id == "model" and fn.api_visibility != "public"
        }
        cancelled = [fn.cancels for fn in fns.values() if (page.another._id, "click") in fn.targets]
        assert len(waiting) > 15 and waiting == set(sum(cancelled, []))

    def test_visits_are_not_compared_pixel_by_pixel(self, visit):
        """From Python 3.13 on that would raise: a mask is no truth value."""
        assert visit != replace(visit, mask=visit.mask.copy())
        assert visit.with_face(align=True) is visit
        assert replace(visit, face=(1, 2)).with_face(align=False).face is None


class TestFailures:
    def test_what_runs_on_a_gpu_of_its_own_fails_with_a_sentence(self, app, model):
        """Of an error there ZeroGPU itself tells no more than the class, unless it is Gradio's."""
        model.error = ValueError("No face was found.")
        with pytest.raises(gr.Error, match="No face was found"):
            app.use_model(app.make_layout, None, None)

    def test_every_event_tells_its_failures_in_plain_words(self, page):
        handlers = [fn for fn in page.blocks.fns.values() if fn.fn and fn.inputs]
        bare = [fn.fn for fn in handlers if not hasattr(fn.fn, "__wrapped__")]
        assert len(handlers) > 30 and not bare

    def test_no_handler_waits_for_an_event_that_never_comes(self, app, page):
        tied = [inspect.unwrap(fn.fn) for fn in page.blocks.fns.values() if fn.fn]
        tied = {getattr(fn.func if isinstance(fn, functools.partial) else fn, "__name__", "") for fn in tied}
        handlers = {name for name in vars(app.Page) if not name.startswith("_")} - {"launch"}
        assert len(handlers) > 20 and handlers <= tied


class TestCompare:
    @pytest.mark.parametrize("left", ["Photo", "With the hole", "Telea", "Navier-Stokes"])
    def test_any_two_pictures(self, page, visit, model, left):
        visit = press_restore(page, visit)[page.visit]
        before, after = map(pixels, page.compare(visit, left, visit.attempt.title)[page.slider])
        photo, hole = visit.photo.rgb, visit.mask
        np.testing.assert_array_equal(before[~hole], photo[~hole])
        assert (before[hole] == photo[hole]).all() == (left == "Photo")
        np.testing.assert_array_equal(after, visit.restored(visit.attempt).rgb)

    def test_the_left_side_stays_as_the_visitor_chose_it(self, page, visit, model):
        visit = press_restore(page, visit)[page.visit]
        visit = page.compare(visit, "Telea", visit.attempt.title)[page.visit]
        shown = page.press_others(visit)
        assert shown[page.left].value == "Telea"
        assert shown[page.right].value == shown[page.visit].attempt.title
        telea, _ = map(pixels, page.compare(visit, "Telea", "Photo")[page.slider])
        np.testing.assert_array_equal(pixels(shown[page.slider][0]), telea)

    def test_the_overlay_shows_the_layouts_colours(self, page, visit, model):
        visit = press_restore(page, visit)[page.visit]
        overlay, _ = map(pixels, page.compare(visit, "Layout over the photo", "Photo")[page.slider])
        skin = np.array(PALETTE[CLASSES.index("skin")])
        restored = pixels(page.compare(visit, visit.attempt.title, "Photo")[page.slider][0])
        blend = OVERLAY_OPACITY * skin + (1 - OVERLAY_OPACITY) * restored[15, 20]
        np.testing.assert_allclose(overlay[15, 20], blend, atol=2)

    def test_a_small_face_is_shown_close_up_until_asked_otherwise(self, page, visit, model, monkeypatch):
        small = FaceFrame.square(20, 15, 12)
        monkeypatch.setattr(FaceFrame, "whole", lambda *size: small)
        shown = press_restore(page, visit)
        assert shown[page.view] == "The face" and max(pixels(shown[page.result]).shape) < 16
        assert Image.open(page.save_result(shown[page.visit])).size == visit.image.size
        whole = page.switch_view(shown[page.visit], "The whole photo", "Photo", "Photo")
        assert pixels(whole[page.result]).shape == np.asarray(visit.image).shape

    def test_sheet_and_files(self, page, visit, model):
        visit = press_restore(page, visit)[page.visit]
        assert Image.open(page.show_sheet(visit)[page.sheet].value["path"]).width > 800
        shown = page.show_files(visit)[page.files].value
        files = {Path(file["path"]).name: Image.open(file["path"]) for file in shown}
        np.testing.assert_array_equal(files["layout-class-ids.png"], LAYOUT)
        np.testing.assert_array_equal(files["layout-colours.png"], layout_to_picture(LAYOUT))
        np.testing.assert_array_equal(files["mask.png"], box_mask())


class TestDepth:
    def test_of_a_photo_is_kept_by_every_attempt(self, page, model, tmp_path):
        grey = np.random.default_rng(0).integers(0, 2**16, (30, 40)).astype(np.uint16)
        Image.fromarray(grey).save(tmp_path / "deep.png")
        visit = page.open_photo({"path": tmp_path / "deep.png"})[page.visit]
        visit = press_restore(page, visit, seed=9)[page.visit]
        visit = press_restore(page, visit, np.s_[0:4, 0:4], seed=5)[page.visit]
        back = page.return_to(visit, SimpleNamespace(index=0))[page.visit]
        back = pixels(page.save_result(back))
        np.testing.assert_array_equal(back[~box_mask()], grey[~box_mask()])
        assert (back[box_mask()] == 9 * 257).all()

    def test_a_photo_too_small_to_see_a_face_is_refused_at_once(self, page, tmp_path):
        Image.new("RGB", (8, 8)).save(tmp_path / "dot.png")
        with pytest.raises(ValueError, match="at least 16 x 16"):
            page.open_photo({"path": tmp_path / "dot.png"})


class TestExamples:
    def test_open_with_their_result(self, page, model):
        shown = page.pick_example(SimpleNamespace(index=0))
        example = next(iter(page.examples.values()))
        assert not model.calls
        np.testing.assert_array_equal(pixels(page.save_result(shown[page.visit])), example.restored)
        np.testing.assert_array_equal(shown[page.visit].mask, example.mask)
        assert shown[page.seed] == example.seed

    def test_open_from_a_link(self, page, model):
        name = next(iter(page.examples))
        shown = page.open_link(SimpleNamespace(query_params={"example": name}))
        assert shown[page.visit].attempt.title == "1 · example" and not model.calls
        # And a variation of it as it was made, whichever it was.
        visit = page.press_others(shown[page.visit])[page.visit]
        back = page.return_to(visit, SimpleNamespace(index=2))
        query = dict(pair.split("=") for pair in back[page.query].split("&"))
        opened = page.open_link(SimpleNamespace(query_params=query))
        # The page is open before the model has its turn.
        assert opened[page.visit].attempt.title == "1 · example" and len(model.calls) == 1
        again = page.restore_linked(opened[page.visit], opened[page.linked])
        made, asked = model.calls
        assert (asked.seed, asked.num_variations, asked.variation) == (made.seed, 1, 3)
        np.testing.assert_array_equal(asked.mask, made.mask)
        np.testing.assert_array_equal(asked.frames[0].matrix, made.frames[0].matrix)
        assert again[page.seed] == made.seed and again[page.query] == back[page.query]
        assert again[page.visit].attempt.title == "2 · another face"
        # A repainted one cannot be told by an address, nor one with the face elsewhere.
        edited = page.press_edit("Longer hair", visit, repainted(LAYOUT), 0, 1)
        assert not edited[page.query] and not edited[page.share].visible
        pointed = replace(visit.attempt, frames=[FaceFrame.square(200, 200, 150)])
        moved = page.press_others(replace(visit, attempts=(pointed,), chosen=0))
        assert not moved[page.query] and not moved[page.share].visible

    def test_a_repainted_variation_keeps_its_light_and_its_grain(self, page, model):
        visit = page.pick_example(SimpleNamespace(index=0))[page.visit]
        visit = page.press_others(visit)[page.visit]
        visit = page.return_to(visit, SimpleNamespace(index=2))[page.visit]
        edited = page.press_edit("Longer hair", visit, repainted(LAYOUT), visit.attempt.seed, 1)
        assert (model.calls[-1].seed, model.calls[-1].variation) == (1, 3)
        assert edited[page.visit].attempt.title == "5 · longer hair"
        # Several ones start with the likeliest.
        page.press_edit("Longer hair", visit, repainted(LAYOUT), 1, 2)
        assert (model.calls[-1].variation, model.calls[-1].num_variations) == (1, 2)

    @pytest.mark.parametrize("query", [{}, {"example": "../secret"}, {"seed": "1"}])
    def test_an_address_without_an_example_opens_the_plain_page(self, page, query):
        assert list(page.open_link(SimpleNamespace(query_params=query))) == [page.visit]

    def test_a_visitors_own_photo_gets_no_link(self, page, visit, model):
        shown = press_restore(page, visit)
        assert not shown[page.query] and not shown[page.share].visible


def test_endpoints_take_and_give_plain_pictures(app, model, photo_file, tmp_path):
    Image.fromarray(box_mask()).save(tmp_path / "mask.png")
    files = [str(photo_file), str(tmp_path / "mask.png"), str(tmp_path / "layout.png")]
    restored, layout = app.api_restore(*files[:2], True, 5, 1)
    assert pixels(restored)[10, 15].tolist() == [5, 5, 5] and layout.size == (256, 256)
    np.testing.assert_array_equal(model.calls[0].mask, box_mask())
    app.api_predict_layout(*files[:2], True).save(files[2])
    assert pixels(app.api_render_layout(*files, True, 0, 2)).shape == (30, 40, 3)
    assert (model.calls[-1].layout == 13).all() and model.calls[-1].variation == 2
    # A layout is of the face where all three find it, and they look for it alike.
    assert len(model.looks) == 3 and all(look == {"align": True, "beneath": True} for look in model.looks)


def test_endpoints_refuse_what_is_no_picture_with_a_sentence(app, model, tmp_path):
    (tmp_path / "letter.png").write_text("not a picture")
    with pytest.raises(gr.Error, match="letter.png is not a picture"):
        app.api_restore(str(tmp_path / "letter.png"), str(tmp_path / "letter.png"), True, 0, 1)


def test_endpoints_ask_for_what_is_missing(app, model, photo_file, tmp_path):
    photo = str(photo_file)
    with pytest.raises(gr.Error, match="Send a photo and a mask"):
        app.api_restore(None, photo, True, 0, 1)
    with pytest.raises(gr.Error, match="Send a photo and a mask"):
        app.api_predict_layout(photo, None, True)
    # One that is too large is refused before its colours are looked at, which would take long.
    Image.new("RGB", (512, 512)).save(tmp_path / "large.png")
    for layout, words in ((None, "Send a layout"), (str(tmp_path / "large.png"), "it must be 256 x 256")):
        with pytest.raises(gr.Error, match=words):
            app.api_render_layout(photo, photo, layout, True, 0, 1)
