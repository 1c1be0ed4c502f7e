import numpy as np
import pytest

from faceinpaint.alignment import FaceFrame
from faceinpaint.detail import CELL, carry_detail, match_edge, pick_sources

SIDE = 256 // CELL


@pytest.fixture
def unknown():
    area = np.zeros((256, 256), bool)
    area[96:160, 64:192] = True
    return area


def test_sources_are_visible_of_the_same_class_and_where_attention_looked(unknown):
    layout = np.ones((256, 256), np.uint8)
    layout[:, 128:] = 13
    attention = np.full((SIDE * SIDE, SIDE * SIDE), 1e-4, np.float32)
    looked_at = 3 * SIDE + 5  # in the left half, at 40..47, 24..31
    attention[:, looked_at] = 1
    steps = pick_sources(attention, unknown, layout)
    assert steps.shape == (SIDE, SIDE, 2)
    y, x = np.nonzero(unknown[::CELL, ::CELL])
    source = np.stack([x, y], -1) * CELL + steps[y, x]
    assert not unknown[source[:, 1], source[:, 0]].any()
    assert np.array_equal(layout[source[:, 1], source[:, 0]], layout[y * CELL, x * CELL])
    left = x * CELL < 128
    assert (source[left] == (5 * CELL, 3 * CELL)).all(1).mean() > 0.9


def test_nothing_visible_has_no_sources():
    everywhere = np.ones((256, 256), bool)
    assert pick_sources(np.ones((SIDE**2, SIDE**2)), everywhere, np.zeros((256, 256), np.uint8)) is None


def test_grain_goes_on_inside_the_hole(unknown):
    """A 256-pixel face that is shown three times as large, beside the grain of the photo."""
    rng = np.random.default_rng(0)
    photo = (120 + 12 * rng.standard_normal((768, 768, 3))).round().astype(np.uint8)
    enlarged = np.full_like(photo, 120)
    hole = np.kron(unknown, np.ones((3, 3), bool))
    photo[hole] = 0  # must not be read
    sources = pick_sources(np.ones((SIDE**2, SIDE**2)), unknown, np.zeros((256, 256), np.uint8))
    result = carry_detail(photo, enlarged, enlarged, hole, sources, FaceFrame.whole(768, 768))
    assert np.array_equal(result[~hole], enlarged[~hole])
    assert 10 < result[hole].std() < 14
    assert abs(result[hole].mean() - 120) < 1


def test_a_step_in_brightness_at_the_edge_is_evened_out_and_far_inside_nothing_changes():
    photo = np.full((300, 300, 3), 140, np.uint8)
    hole = np.zeros((300, 300), bool)
    hole[60:240, 60:240] = True
    photo[hole] = 0  # must not be read
    painted = np.full_like(photo, 120)
    result = match_edge(photo, painted, hole, 1)
    assert abs(result[60:240, 60].astype(int) - 140).max() <= 4
    assert (result[150, 150] == 120).all()
    # It fades out, without a second edge.
    assert abs(np.diff(result[150, 60:240, 0].astype(int))).max() <= 6
    assert np.array_equal(match_edge(photo, np.full_like(photo, 140), hole, 1), np.full_like(photo, 140))
    # A face that is enlarged much is matched on a smaller picture.
    large = match_edge(photo, painted, hole, 9)
    assert abs(large[60:240, 60].astype(int) - 140).max() <= 6
