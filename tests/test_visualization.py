import numpy as np
import pytest
from PIL import Image

from faceinpaint.alignment import FaceFrame
from faceinpaint.semantics import PALETTE
from faceinpaint.visualization import (
    HOLE_TINT,
    comparison_sheet,
    crop_to_face,
    mark_places,
    outline_faces,
    overlay_layout,
    tint_hole,
)


@pytest.fixture
def grey():
    return Image.new("RGB", (80, 60), (100, 100, 100))


def test_the_hole_is_tinted_and_nothing_else(grey):
    mask = np.zeros((60, 80), bool)
    mask[10:20, 30:50] = True
    shown = np.asarray(tint_hole(grey, mask)).astype(int)
    assert (shown[~mask] == 100).all()
    assert (abs(shown[mask] - HOLE_TINT) < abs(100 - np.array(HOLE_TINT))).all()


def test_a_layout_lies_over_its_face_only(grey):
    frame = FaceFrame.square(40, 30, 20)
    shown = np.asarray(overlay_layout(grey, np.full((256, 256), 13, np.uint8), frame)).astype(int)
    assert (shown[:18] == 100).all() and (shown[:, 52:] == 100).all()
    assert (abs(shown[25:35, 35:45] - PALETTE[13].astype(int)) < abs(100 - PALETTE[13].astype(int))).all()


def test_a_layout_has_no_dark_rim():
    """Where it ends, between two of its pixels, it is a blend of both pictures, too."""
    white = Image.new("RGB", (900, 900), (255, 255, 255))
    frame = FaceFrame.square(450, 450, 800)
    shown = np.asarray(overlay_layout(white, np.full((256, 256), 1, np.uint8), frame)).astype(int)
    assert (shown[450, 450] < 255).any() and (shown >= shown[450, 450] - 1).all()


def test_every_face_found_is_outlined(grey):
    frames = [FaceFrame.square(19.5, 29.5, 20), FaceFrame.square(59.5, 29.5, 10)]
    shown = (np.asarray(outline_faces(grey, frames)) == HOLE_TINT).all(-1)
    assert shown[30, 9:11].any() and shown[30, 29:31].any() and shown[30, 54:56].any()
    assert not shown[30, 12:28].any() and not shown[:15].any()


def test_places_are_ringed_not_covered(grey):
    marked = mark_places(grey.resize((800, 600)), [(200.0, 300.0)])
    shown = (np.asarray(marked) == HOLE_TINT).all(-1)
    rows, columns = np.nonzero(shown)
    assert abs(rows.mean() - 300) < 1 and abs(columns.mean() - 200) < 1 and np.ptp(rows) < 30
    assert not shown[300, 200]


def test_the_crop_holds_the_face_and_ends_with_the_photo(grey):
    assert crop_to_face(grey, FaceFrame.square(40, 30, 20)).size == (22, 22)
    assert crop_to_face(grey, FaceFrame.whole(80, 60)).size == (67, 60)


def test_a_sheet_shows_every_picture_under_its_title(grey):
    pictures = {name: Image.new("RGB", (80, 60), name) for name in ("red", "lime", "blue", "white")}
    sheet = np.asarray(comparison_sheet(pictures, side=80))
    assert sheet.shape == (2 * (80 + 50) + 16, 3 * 96 + 16, 3)
    for name in ("red", "lime", "blue"):
        assert (sheet == np.array(Image.new("RGB", (1, 1), name).getpixel((0, 0)))).all(-1).sum() == 80 * 60
