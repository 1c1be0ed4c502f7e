import importlib.util
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from faceinpaint.semantics import CLASSES, layout_to_picture

APP = Path(__file__).parents[1] / "app.py"


@pytest.fixture(scope="module")
def app():
    spec = importlib.util.spec_from_file_location("app", APP)
    module = importlib.util.module_from_spec(spec)
    sys.modules["app"] = module
    spec.loader.exec_module(module)
    return module


class FakeInpainter:
    """Fills with one gray level a seed; keeps what it was called with."""

    def __init__(self, error=None):
        self.error = error
        self.calls = []

    def __call__(self, image, mask, **options):
        self.calls.append(SimpleNamespace(image=image, mask=mask, **options))
        if self.error:
            raise self.error
        layout = options["layout"] if options["layout"] is not None else np.zeros((256, 256), np.uint8)
        results = []
        for seed in range(options["seed"], options["seed"] + options["num_variations"]):
            filled = Image.fromarray(np.where(mask[..., None], np.uint8(seed), np.asarray(image)))
            results.append(SimpleNamespace(image=filled, layout=layout, notes=["A note."]))
        return results if len(results) > 1 else results[0]

    def predict_layout(self, image, mask, align=True):
        return np.full((256, 256), 13, np.uint8)


@pytest.fixture
def model(app, monkeypatch):
    fake = FakeInpainter()
    monkeypatch.setattr(app, "load_inpainter", lambda: fake)
    return fake


def editor_value(size=(40, 30), box=(10, 5, 20, 15), layer_scale=1):
    """What the photo editor delivers: the photo, and one layer with a translucent painted box."""
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8))
    layer = Image.new("RGBA", (size[0] // layer_scale, size[1] // layer_scale))
    if box:
        layer.paste((124, 58, 237, 178), tuple(edge // layer_scale for edge in box))
    return {"background": photo.convert("RGBA"), "layers": [layer], "composite": None}


def restore(app, value, aligned=False, seed=0, count=1):
    """Press Restore; returns the layout's picture and what a result shows, by name."""
    section, picture, *parts = app.press_restore(value, aligned, seed, count)
    return picture, dict(
        zip(("notes", "gallery", "visit", "image", "left", "pair", "file"), parts, strict=True)
    )


def test_import_starts_nothing_and_loads_no_weights():
    script = (
        "import threading, app; assert threading.active_count() == 1, threading.enumerate();"
        "assert app.load_inpainter.cache_info().misses == 0"
    )
    subprocess.run([sys.executable, "-c", script], cwd=APP.parent, check=True, timeout=300)


def test_page_names_its_endpoints_and_is_queued(app):
    page = app.build_page()
    public = {fn.api_name for fn in page.fns.values() if fn.api_visibility == "public"}
    assert public == {"restore", "predict_layout", "render_layout"}
    model_events = [fn for fn in page.fns.values() if fn.concurrency_id == "model"]
    assert len(model_events) == 5 and all(fn.queue and fn.concurrency_limit == 1 for fn in model_events)
    assert page.delete_cache == (3600, 3600)


def test_mask_is_what_is_painted_and_the_photo_is_untouched(app):
    value = editor_value()
    photo, mask = app.read_painting(value)
    assert photo.mode == "RGB"
    np.testing.assert_array_equal(photo, value["background"].convert("RGB"))
    expected = np.zeros((30, 40), bool)
    expected[5:15, 10:20] = True
    np.testing.assert_array_equal(mask, expected)


def test_mask_of_a_smaller_canvas_is_scaled_to_the_photo(app):
    _, mask = app.read_painting(editor_value(size=(80, 60), box=(20, 10, 40, 30), layer_scale=2))
    assert mask.shape == (60, 80)
    assert mask[10:30, 20:40].all() and mask.sum() == 400


@pytest.mark.parametrize("background", [None, Image.new("RGBA", (8, 8))], ids=["missing", "transparent"])
def test_without_a_photo_the_page_asks_for_one(app, model, background):
    with pytest.raises(gr.Error, match="no photo yet"):
        restore(app, {"background": background, "layers": [], "composite": None})
    assert not model.calls


def test_restore_shows_layout_result_and_notes(app, model):
    value = editor_value()
    picture, shown = restore(app, value, aligned=True, seed=7)
    call = model.calls[0]
    assert (call.align, call.seed, call.num_variations, call.layout) == (False, 7, 1, None)
    np.testing.assert_array_equal(picture, layout_to_picture(np.zeros((256, 256), np.uint8)))
    assert shown["notes"].startswith("A note. Took ")
    np.testing.assert_array_equal(shown["pair"][0], value["background"].convert("RGB"))
    assert shown["pair"][1] is shown["image"]
    np.testing.assert_array_equal(Image.open(shown["file"]), shown["image"])


def test_variations_can_be_chosen(app, model):
    _, shown = restore(app, editor_value(), seed=None, count=3)
    # A photo is aligned unless the visitor says that it already is.
    assert model.calls[-1].align
    assert shown["gallery"].visible and len(shown["visit"].results) == 3
    visit, image, *_ = app.choose(shown["visit"], SimpleNamespace(index=2))
    assert np.asarray(image)[10, 15].tolist() == [2, 2, 2]
    assert visit.chosen == 2 and shown["visit"].chosen == 0


def test_render_uses_the_repainted_layout_and_reset_brings_the_prediction_back(app, model):
    predicted, shown = restore(app, editor_value(), aligned=True)
    painted = np.full((256, 256), CLASSES.index("hair"), np.uint8)
    composite = layout_to_picture(painted).convert("RGBA")
    _, _, visit, *_ = app.press_render(shown["visit"], {"composite": composite}, 3, 1)
    call = model.calls[1]
    np.testing.assert_array_equal(call.layout, painted)
    assert (call.align, call.seed) == (False, 3)
    np.testing.assert_array_equal(app.reset_layout(visit), predicted)


def test_a_wiped_layout_is_refused(app, model):
    _, shown = restore(app, editor_value())
    with pytest.raises(gr.Error, match="part of the layout is missing"):
        app.press_render(shown["visit"], {"composite": Image.new("RGBA", (256, 256))}, 0, 1)


@pytest.mark.parametrize("error", [ValueError("No face was found."), FileNotFoundError("No face was found.")])
def test_a_refusal_reaches_the_visitor_as_its_sentence(app, model, error):
    model.error = error
    with pytest.raises(gr.Error) as caught:
        restore(app, editor_value())
    assert caught.value.message == "No face was found."
    assert not caught.value.print_exception


def test_an_unexpected_failure_is_a_sentence_too(app, model):
    model.error = RuntimeError("CUDA error: an illegal memory access")
    with pytest.raises(gr.Error) as caught:
        restore(app, editor_value())
    assert "CUDA" not in caught.value.message


@pytest.mark.parametrize("left", ["Your photo", "Telea", "Navier-Stokes"])
def test_compare_with_the_photo_and_with_other_methods(app, model, left):
    _, shown = restore(app, editor_value())
    before, after = app.compare(shown["visit"], left)
    before, photo, hole = np.asarray(before), np.asarray(shown["visit"].photo), shown["visit"].mask
    np.testing.assert_array_equal(before[~hole], photo[~hole])
    assert (before[hole] == photo[hole]).all() == (left == "Your photo")
    assert after is shown["image"]


def test_endpoints_take_and_give_plain_pictures(app, model, tmp_path):
    photo, mask = app.read_painting(editor_value())
    photo.save(tmp_path / "photo.png")
    Image.fromarray(mask).save(tmp_path / "mask.png")
    files = [str(tmp_path / name) for name in ("photo.png", "mask.png", "layout.png")]
    restored, layout = app.api_restore(*files[:2], True, 5)
    assert np.asarray(restored)[10, 15].tolist() == [5, 5, 5] and layout.size == (256, 256)
    np.testing.assert_array_equal(model.calls[0].mask, mask)
    app.api_predict_layout(*files[:2], True).save(files[2])
    assert app.api_render_layout(*files, True, 0).size == photo.size
    assert (model.calls[1].layout == 13).all()


def test_endpoints_refuse_what_is_no_picture_with_a_sentence(app, model, tmp_path):
    (tmp_path / "letter.png").write_text("not a picture")
    with pytest.raises(gr.Error, match="letter.png is not a picture"):
        app.api_restore(str(tmp_path / "letter.png"), str(tmp_path / "letter.png"), True, 0)


def test_examples_become_paintings(app, tmp_path):
    Image.new("RGB", (16, 12), "red").save(tmp_path / "a.png")
    mask = Image.new("L", (16, 12))
    mask.paste(255, (2, 3, 6, 7))
    mask.save(tmp_path / "a.mask.png")
    Image.new("RGB", (16, 12)).save(tmp_path / "without_mask.png")
    (painting,) = app.example_paintings(tmp_path)
    photo, read = app.read_painting(painting)
    np.testing.assert_array_equal(photo, Image.open(tmp_path / "a.png"))
    np.testing.assert_array_equal(read, np.asarray(mask) > 0)
