import numpy as np
import pytest
import torch

from faceinpaint import masks
from faceinpaint.masks import (
    KINDS,
    PARTS,
    grown_part,
    lower_half,
    mask_bank,
    part_mask,
    random_mask,
    repaint_mask,
    resize_mask,
)
from faceinpaint.semantics import CLASSES


@pytest.fixture(scope="module")
def bank():
    return mask_bank(200, 64, seed=0)


def test_holes_are_neither_tiny_nor_nearly_everything(bank):
    assert bank.shape == (200, 64, 64)
    assert bank.dtype == torch.bool
    ratios = bank.float().mean((1, 2))
    assert ratios.min() >= 0.01
    assert ratios.max() <= 0.7


def test_holes_of_all_sizes_are_drawn(bank):
    counts = np.histogram(bank.float().mean((1, 2)), bins=[0, 0.2, 0.4, 0.7])[0]
    assert counts.min() >= 10


def test_bounds_are_kept():
    rng = np.random.default_rng(0)
    ratios = [random_mask(rng, 64, 0.4, 0.5).mean() for _ in range(10)]
    assert min(ratios) >= 0.4
    assert max(ratios) <= 0.5


def test_the_same_seed_gives_the_same_holes(bank):
    assert torch.equal(mask_bank(200, 64, seed=0), bank)
    assert not torch.equal(mask_bank(200, 64, seed=1), bank)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("size", [64, 256])
def test_every_kind_draws_various_holes(kind, size):
    rng = np.random.default_rng(0)
    drawn = [kind(rng, size) for _ in range(6)]
    assert all(mask.shape == (size, size) and mask.dtype == bool for mask in drawn)
    assert len({mask.tobytes() for mask in drawn}) > 1
    assert any(0 < mask.mean() < 1 for mask in drawn)


def test_halves_come_from_all_four_sides():
    rng = np.random.default_rng(0)
    corners = set()
    for _ in range(40):
        mask = masks.half(rng, 32)
        corners.add((bool(mask[0, 0]), bool(mask[0, -1]), bool(mask[-1, 0]), bool(mask[-1, -1])))
    assert len(corners) == 4


def test_the_border_is_left():
    mask = masks.all_but_border(np.random.default_rng(0), 100)
    assert not any(edge.any() for edge in (mask[0], mask[-1], mask[:, 0], mask[:, -1]))
    assert mask[40:60, 40:60].all()


@pytest.mark.parametrize("part", PARTS)
def test_a_part_is_covered_and_nothing_else(part):
    labels = torch.randint(0, 19, (2, 16, 16), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    wanted = np.isin(labels.numpy(), PARTS[part])
    assert np.array_equal(part_mask(labels, part, 0).numpy(), wanted)


def test_a_part_mask_grows_by_so_many_pixels():
    labels = torch.zeros(1, 21, 21, dtype=torch.long)
    labels[0, 10, 10] = 2
    for grow in (1, 3):
        expected = torch.zeros(1, 21, 21, dtype=torch.bool)
        expected[0, 10 - grow : 11 + grow, 10 - grow : 11 + grow] = True
        assert torch.equal(part_mask(labels, "nose", grow), expected)


def test_of_what_a_part_encloses_no_crumb_is_left():
    layout = np.full((256, 256), CLASSES.index("skin"), np.uint8)
    layout[:40] = CLASSES.index("hair")
    layout[180:194, 110:150] = CLASSES.index("mouth")  # 2 x 28 pixels of it would be left
    layout[100:140, 60:100] = CLASSES.index("left eye")
    hole = grown_part(layout, "skin")
    assert hole[34:].sum() == hole[34:].size - 28 * 28 and not hole[106:134, 66:94].any()
    assert not hole[:34].any()
    assert not grown_part(np.zeros((256, 256), np.uint8), "mouth").any()


def test_lower_half_is_the_face_below_the_nose_bridge():
    layout = np.zeros((256, 256), np.uint8)
    layout[40:220, 60:200] = 1
    layout[120:165, 115:140] = 2
    mask = lower_half(layout)
    assert mask[160:220, 60:200].all() and not mask[:140].any()
    # With the rim of the chin, which would be left beside another one.
    assert mask[225, 130] and mask[200, 55] and mask[200, 204]
    assert not mask[226:].any() and not mask[:, :54].any()


def test_a_mask_shown_larger_comes_back_unchanged():
    mask = np.random.default_rng(0).random((30, 47)) < 0.5
    for width, height in ((94, 60), (100, 71), (470, 300), (1411, 900)):
        np.testing.assert_array_equal(resize_mask(resize_mask(mask, width, height), 47, 30), mask)


def test_only_what_was_repainted_on_the_canvas_changes():
    mask = np.random.default_rng(0).random((120, 200)) < 0.5
    shown = resize_mask(mask, 50, 30)
    np.testing.assert_array_equal(repaint_mask(mask, shown), mask)
    painted = shown.copy()
    painted[:10, :10] = True
    painted[20:, 40:] = False
    repainted = repaint_mask(mask, painted)
    assert repainted[:40, :40][~resize_mask(shown, 200, 120)[:40, :40]].all()
    assert not repainted[80:, 160:][resize_mask(shown, 200, 120)[80:, 160:]].any()
    np.testing.assert_array_equal(repainted[40:80], mask[40:80])
