import numpy as np
import pytest
import torch

from faceinpaint.semantics import (
    CLASSES,
    MIRRORED_CLASSES,
    NUM_CLASSES,
    PALETTE,
    check_layout,
    layout_to_picture,
    mirror_labels,
    one_hot,
    picture_to_layout,
)


@pytest.fixture
def layout():
    return np.random.default_rng(0).integers(0, NUM_CLASSES, (20, 31)).astype(np.uint8)


def test_a_layout_survives_being_a_picture(layout):
    picture = layout_to_picture(layout)
    assert picture.size == (31, 20)
    assert (np.asarray(picture)[layout == 13] == PALETTE[13]).all()
    assert np.array_equal(picture_to_layout(picture), layout)
    # As an editor gives it back, with an opacity.
    assert np.array_equal(picture_to_layout(picture.convert("RGBA")), layout)
    assert np.array_equal(picture_to_layout(np.asarray(picture)), layout)


def test_a_colour_that_is_a_little_off_is_the_nearest_class(layout):
    painted = np.asarray(layout_to_picture(layout)).astype(int)
    painted += np.random.default_rng(1).integers(-4, 5, painted.shape)
    read = picture_to_layout(painted.clip(0, 255).astype(np.uint8))
    assert read.dtype == np.uint8
    assert np.array_equal(read, layout)


def test_a_soft_edge_is_one_of_its_sides_never_a_third_class():
    skin, hair, brow = CLASSES.index("skin"), CLASSES.index("hair"), CLASSES.index("right brow")
    picture = np.zeros((20, 40, 3), np.uint8)
    picture[:, :20], picture[:, 20:] = PALETTE[skin], PALETTE[hair]
    share = np.linspace(0, 1, 4)[:, None]
    picture[:, 18:22] = share * PALETTE[hair] + (1 - share) * PALETTE[skin]
    assert set(np.unique(picture_to_layout(picture))) == {skin, hair}
    # Far from any pure colour the nearest class of all is as good as ever.
    assert (picture_to_layout(np.full((9, 9, 3), PALETTE[brow] + 3, np.uint8)) == brow).all()


def test_colours_far_from_all_classes_still_read_as_the_nearest():
    picture = np.array([[[255, 255, 255], [0, 0, 0], [0, 0, 255]]], np.uint8)
    distance = np.linalg.norm(picture[0, :, None].astype(float) - PALETTE, axis=2)
    assert np.array_equal(picture_to_layout(picture)[0], distance.argmin(1))


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (np.full((4, 4), 19), "outside the class ids 0 to 18"),
        (np.full((4, 4), -1), "outside the class ids 0 to 18"),
        (np.zeros((4, 4, 3), np.uint8), "one whole number"),
        (np.zeros((4, 4)), "one whole number"),
        (None, "one whole number"),
    ],
)
def test_what_is_no_layout_is_refused(bad, words):
    with pytest.raises(ValueError, match=words):
        check_layout(bad)


def test_ids_of_any_integer_type_are_a_layout(layout):
    checked = check_layout(layout.astype(np.int64))
    assert checked.dtype == np.uint8
    assert np.array_equal(checked, layout)


def test_mirroring_twice_gives_the_layout_back(layout):
    labels = torch.from_numpy(layout)[None]
    mirrored = mirror_labels(labels)
    assert mirrored.dtype == labels.dtype
    assert not torch.equal(mirrored, labels)
    assert torch.equal(mirror_labels(mirrored), labels)


def test_mirroring_swaps_the_two_sides():
    for name, other in zip(CLASSES, MIRRORED_CLASSES, strict=True):
        swapped = name.replace("left", "?").replace("right", "left").replace("?", "right")
        assert CLASSES[other] == swapped
    left_eye, right_eye, nose = (CLASSES.index(name) for name in ("left eye", "right eye", "nose"))
    assert mirror_labels(torch.tensor([[right_eye, nose, 0]])).tolist() == [[0, nose, left_eye]]


def test_one_hot(layout):
    hot = one_hot(torch.from_numpy(layout)[None])
    assert hot.shape == (1, NUM_CLASSES, 20, 31)
    assert (hot.sum(1) == 1).all()
    assert np.array_equal(hot.argmax(1)[0].numpy(), layout)
