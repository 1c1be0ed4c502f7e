import pytest
import torch

from faceinpaint.datasets import UNLABELLED, Faces
from faceinpaint.semantics import CLASSES
from faceinpaint.training.augment import (
    EMPTY_SHARE,
    PART_SHARE,
    SHADED_SHARE,
    Batch,
    degrade,
    draw_batch,
    shrink_labels,
)

SIZE = 32
HAIR, LEFT_EYE, RIGHT_EYE = (CLASSES.index(name) for name in ("hair", "left eye", "right eye"))


@pytest.fixture
def faces():
    """Eight faces, bright on the right where the hair is; the top rows are the eyes, the lowest padding."""
    images = torch.full((8, SIZE, SIZE, 3), 40, dtype=torch.uint8)
    images[:, :, SIZE // 2 :] = 220
    labels = torch.zeros(8, SIZE, SIZE, dtype=torch.uint8)
    labels[:, :, SIZE // 2 :] = HAIR
    labels[:, 8:12, : SIZE // 2] = RIGHT_EYE
    labels[:, 8:12, SIZE // 2 :] = LEFT_EYE
    valid = torch.ones(8, SIZE, SIZE, dtype=torch.bool)
    valid[:, 28:] = False
    return Faces([str(i) for i in range(8)], images, labels, valid)


@pytest.fixture
def bank():
    return torch.ones(3, SIZE, SIZE, dtype=torch.bool)


def draw(faces, bank, count, seed=0, size=SIZE):
    generator = torch.Generator().manual_seed(seed)
    return draw_batch(faces, bank, torch.arange(count) % len(faces), size, generator)


@pytest.mark.parametrize("size", [SIZE, SIZE // 2])
def test_shapes_and_ranges(faces, bank, size):
    batch = draw(faces, bank, 12, size=size)
    assert len(batch) == 12
    assert batch.image.shape == (12, 3, size, size)
    assert batch.labels.shape == (12, size, size)
    assert batch.hole.shape == batch.valid.shape == batch.mask.shape == (12, 1, size, size)
    assert batch.image.abs().max() <= 1
    for mask in (batch.hole, batch.valid):
        assert set(mask.unique().tolist()) <= {0.0, 1.0}
    assert set(batch.labels.unique().tolist()) <= set(faces.labels.unique().tolist())


@pytest.mark.parametrize("corner", range(4))
def test_smaller_labels_are_the_commonest_of_their_cells(corner):
    cells = torch.randint(0, 19, (2, 8, 8), generator=torch.Generator().manual_seed(0))
    cells[0, 2] = UNLABELLED
    labels = cells.repeat_interleave(2, 1).repeat_interleave(2, 2)
    row, column = divmod(corner, 2)
    labels[:, row::2, column::2] = UNLABELLED  # whichever pixel is another
    assert torch.equal(shrink_labels(labels, 2), cells)


def test_holes_stay_within_the_real_pixels(faces, bank):
    batch = draw(faces, bank, 40)
    assert (batch.hole <= batch.valid).all()
    # Padding is told to the networks as unknown.
    assert torch.equal(batch.mask, ((batch.hole > 0) | (batch.valid == 0)).float())
    assert (batch.valid[20:, :, 28:] == 0).all()
    assert (batch.valid[20:, :, :28] == 1).all()


def test_flipping_turns_picture_and_labels_and_swaps_the_sides(faces, bank):
    # The second half of a batch is flipped or not, and nothing else.
    batch = draw(faces, bank, 80)
    bright_right = (
        batch.image[40:, :, :, -4:].mean((1, 2, 3)) > batch.image[40:, :, :, :4].mean((1, 2, 3))
    ).tolist()
    assert 8 < sum(bright_right) < 32
    for labels, right in zip(batch.labels[40:], bright_right, strict=True):
        assert (labels[0, -1] == HAIR) == right
        assert (labels[0, 0] == HAIR) != right
        # A person's right eye stands left in the picture, and does so in a mirror.
        assert (labels[8:12, : SIZE // 2] == RIGHT_EYE).all()
        assert (labels[8:12, SIZE // 2 :] == LEFT_EYE).all()


def test_the_first_half_is_moved_with_its_labels(faces, bank):
    batch = draw(faces, bank, 80)
    hair = batch.labels[:40] == HAIR
    assert len({h.numpy().tobytes() for h in hair}) > 20
    bright = batch.image[:40].mean(1) > batch.image[:40].mean((1, 2, 3))[:, None, None]
    plain = (batch.labels[:40] == 0) | hair
    assert (bright == hair)[plain].float().mean() > 0.97


def test_what_is_moved_stays_sharp(faces, bank):
    grain = torch.randint(60, 200, (8, SIZE, SIZE, 1), generator=torch.Generator().manual_seed(1))
    faces.images[:] = grain.byte()
    moved, still = draw(faces, bank, 160).image.mean(1).diff(dim=-1).square().split(80)
    # Bilinearly it is a half.
    assert moved.mean() > 0.6 * still.mean()


def test_colours_vary(faces, bank):
    levels = draw(faces, bank, 80).image[40:].amax((1, 2, 3))
    unchanged = (levels - (220 / 127.5 - 1)).abs() < 1e-5
    assert 0.3 < unchanged.float().mean() < 0.9


def test_some_lie_half_in_shadow(faces, bank):
    faces.images.fill_(200)
    images = draw(faces, bank, 400).image[200:].mean(1) + 1
    # Whatever else is done to colours is done to all of an even picture alike.
    uneven = images.amax((1, 2)) / images.amin((1, 2)) > 1.15
    assert float(uneven.float().mean()) == pytest.approx(SHADED_SHARE, abs=0.05)
    assert images[uneven].amin() > 0


def test_shares_of_the_kinds_of_holes(faces, bank):
    # The bank's holes hide everything, so a hole in between is a facial part.
    holes = draw(faces, bank, 800).hole.sum((1, 2, 3))
    empty = (holes == 0).float().mean()
    assert float(empty) == pytest.approx(EMPTY_SHARE, abs=0.03)
    parts = ((holes > 0) & (holes < 0.75 * SIZE**2)).float().mean()
    assert 0.3 * PART_SHARE < parts < 1.1 * PART_SHARE


def test_unlabelled_stays_unlabelled(faces, bank):
    faces.labels.fill_(UNLABELLED)
    batch = draw(faces, bank, 40)
    assert (batch.labels == UNLABELLED).all()


def test_what_is_unlabelled_moves_with_its_picture(faces, bank):
    faces.labels[...] = torch.arange(SIZE) // (SIZE // 2)
    faces.labels[:, :, : SIZE // 4] = UNLABELLED
    labels = draw(faces, bank, 40).labels[20:]  # flipped or not, and nothing else
    left, right = ((labels[:, :, part] == UNLABELLED) for part in (slice(SIZE // 4), slice(-SIZE // 4, None)))
    assert ((labels == UNLABELLED).float().mean((1, 2)) == 0.25).all()
    assert (left.all(2).all(1) ^ right.all(2).all(1)).all() and right.any()


def test_the_same_generator_seed_gives_the_same_batch(faces, bank):
    first, again, other = (draw(faces, bank, 16, seed) for seed in (3, 3, 4))
    for name in Batch.__dataclass_fields__:
        assert torch.equal(getattr(first, name), getattr(again, name))
    assert not torch.equal(first.image, other.image)
    assert not torch.equal(first.hole, other.hole)


def test_the_faces_in_memory_are_not_changed(faces, bank):
    before = faces.images.clone(), faces.labels.clone(), faces.valid.clone()
    draw(faces, bank, 40)
    for kept, now in zip(before, (faces.images, faces.labels, faces.valid), strict=True):
        assert torch.equal(kept, now)


def test_degrading_spoils_some_pictures():
    image = torch.rand(200, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    before = image.clone()
    spoilt = degrade(image, torch.Generator().manual_seed(1))
    assert torch.equal(image, before) and spoilt.abs().max() <= 1
    same = (spoilt == image).all(3).all(2).all(1).float().mean()
    assert 0.55 < same < 0.75
    # The most blurred ones have next to nothing of the contrast between neighbours.
    contrast = (spoilt.diff(dim=3).std(dim=(1, 2, 3)) / image.diff(dim=3).std(dim=(1, 2, 3))).sort().values
    assert contrast[4] < 0.1 < 0.9 < contrast[50]
