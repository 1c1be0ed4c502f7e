import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from faceinpaint.checkpoint import save_network
from faceinpaint.datasets import Faces
from faceinpaint.evaluation import obedience
from faceinpaint.evaluation.obedience import (
    RULES,
    lower_hairline,
    measure,
    raise_brows,
    raise_hairline,
    turn_mouth,
)
from faceinpaint.metrics import ConfusionMatrix
from faceinpaint.modeling.layout_generator import LayoutGenerator
from faceinpaint.semantics import CLASSES, PALETTE, picture_to_layout

ID = {name: index for index, name in enumerate(CLASSES)}


def make_layout(glasses=False, mouth=0):
    """A face of boxes."""
    layout = np.zeros((256, 256), np.uint8)
    layout[:150] = ID["hair"]
    layout[70:230, 60:200] = ID["skin"]
    for side, left in (("right", 80), ("left", 140)):
        layout[100:106, left : left + 36] = ID[f"{side} brow"]
        layout[118:126, left + 6 : left + 30] = ID[f"{side} eye"]
    layout[130:165, 118:138] = ID["nose"]
    layout[184:192, 105:150] = ID["upper lip"]
    layout[192 : 192 + mouth, 105:150] = ID["mouth"]
    layout[192 + mouth : 200 + mouth, 105:150] = ID["lower lip"]
    if glasses:
        layout[108:136, 74:182] = ID["eyeglasses"]
    return layout


class Painter:
    """Paints layouts in their classes' colours and reads them; a `deaf` one never paints edits."""

    weights_sha256 = "0123456789abcdef" * 4
    frame_regressor = texture_generator = face_upsampler = torch.nn.Identity()
    device = "cpu"

    def __init__(self, layouts, deaf=False):
        self.layouts, self.deaf = layouts, deaf

    def predict_layout(self, image, mask, align=True):
        if mask.any():
            return self.layouts[int(image[0, 0, 0])].copy()
        return picture_to_layout(image)

    def __call__(self, image, mask, layout=None, align=True):
        assert (image[mask] == 128).all()
        painted = self.layouts[int(image[0, 0, 0])] if self.deaf else layout
        return SimpleNamespace(image=Image.fromarray(PALETTE[painted]))


@pytest.fixture
def layouts():
    return [make_layout(glasses=index == 6, mouth=6 * (index % 2)) for index in range(7)]


@pytest.fixture
def faces():
    images = torch.arange(7, dtype=torch.uint8)[:, None, None, None].repeat(1, 256, 256, 3)
    return Faces([str(i) for i in range(7)], images, images[..., 0], images[..., 0] > 0)


@pytest.fixture
def masks():
    mask = torch.zeros(1, 256, 256, dtype=torch.bool)
    mask[:, 170:] = True
    return mask


def test_a_painter_that_obeys_is_perfect_and_one_that_does_not_scores_low(layouts, faces, masks):
    report = measure(Painter(layouts), faces, masks)
    edits = report.results["parsers"]["Stage 1"]
    assert set(edits) == {"all", *RULES}
    assert edits["all"]["samples"] == 7
    assert edits["Glasses off"]["samples"] == 1
    assert all(figures["mean_iou"]["mean"] == figures["accuracy"]["mean"] == 1 for figures in edits.values())
    assert all(figures["ignored_mean_iou"]["mean"] == 0 for figures in edits.values())
    assert all(figures["outside"]["mean"] == 0 for figures in edits.values())
    assert "| all | 7 | Stage 1 | 1.000 ± 0.000 ✓ |" in report.table
    assert report.draw().width == 6 * 256

    deaf = measure(Painter(layouts, deaf=True), faces, masks)
    assert deaf.results["parsers"]["Stage 1"]["all"]["mean_iou"]["mean"] == 0
    assert "0.000 ± 0.000 ✗" in deaf.table
    json.dumps(deaf.results)


def test_a_change_elsewhere_in_the_hole_is_measured(layouts, faces, masks):
    class Restless(Painter):
        def __call__(self, image, mask, layout=None, align=True):
            picture = np.asarray(super().__call__(image, mask, layout).image).astype(int)
            edited = not (layout == self.layouts[int(image[0, 0, 0])]).all()
            return SimpleNamespace(image=Image.fromarray(abs(picture - 4 * edited).astype(np.uint8)))

    edits = measure(Restless(layouts), faces, masks).results["parsers"]["Stage 1"]
    assert edits["all"]["outside"]["mean"] == pytest.approx(4)


def test_a_second_parser_reads_too(layouts, faces, masks, tmp_path):
    arguments = {"channels": (8, 8, 16, 16), "depth": 1, "heads": 2, "use_prior": False}
    save_network(tmp_path, "layout_generator", LayoutGenerator(**arguments), arguments)
    report = measure(Painter(layouts), faces, masks, second=str(tmp_path))
    first, second = report.results["parsers"].values()
    assert second["all"]["mean_iou"]["mean"] < first["all"]["mean_iou"]["mean"] == 1
    assert second["all"]["outside"] == first["all"]["outside"]
    assert str(tmp_path) in report.caption("command")


def test_each_edit_gets_holes_of_both_tenths(monkeypatch):
    seen = set()

    def note(inpainter, parsers, image, hole, turn):
        seen.add((turn % 6, bool(hole[0, 0])))
        return obedience._Trial("Brows raised", {"Stage 1": matrix}, {"Stage 1": matrix}, 0.0, None)

    matrix = ConfusionMatrix()
    matrix.counts[1, 1] = 1
    monkeypatch.setattr(obedience, "_try_edit", note)
    images = torch.zeros(12, 40, 40, 3, dtype=torch.uint8)
    masks = torch.zeros(2, 40, 40, dtype=torch.bool)
    masks[0, :10] = masks[1, -14:] = True
    faces = Faces(list("abcdefghijkl"), images, images[..., 0], images[..., 0] > 0)
    measure(SimpleNamespace(weights_sha256="0" * 64), faces, masks)
    assert len(seen) == 12


class TestRules:
    def test_the_mouth_turns(self):
        assert (turn_mouth(make_layout()) == ID["mouth"]).sum() > 60
        assert not (turn_mouth(make_layout(mouth=8)) == ID["mouth"]).any()

    def test_brows_rise(self):
        layout = make_layout()
        raised = raise_brows(layout, by=9)
        assert (raised[91:97, 80:116] == ID["right brow"]).all()
        assert (raised[100:106, 80:176] == ID["skin"]).all()
        assert (raised != layout).sum() == 4 * 6 * 36

    def test_the_hairline_moves_above_the_brows_only(self):
        layout = make_layout()
        lower, higher = lower_hairline(layout, by=16), raise_hairline(layout, by=16)
        assert (lower[70:86, 80:176] == ID["hair"]).all() and (lower[86:] == layout[86:]).all()
        assert (higher[54:70, 80:176] == ID["skin"]).all() and (higher[70:] == layout[70:]).all()
        assert (lower != layout).sum() == (higher != layout).sum() == 16 * 96
        bald = np.full((256, 256), ID["skin"], np.uint8)
        assert (lower_hairline(bald) == bald).all()
