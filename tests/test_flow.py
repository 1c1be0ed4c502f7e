import cv2
import numpy as np
import pytest

from faceinpaint.flow import add_strands, add_strands_enlarged, comb_enlarged, find_flow, smooth_along
from faceinpaint.semantics import CLASSES

HAIR, SKIN, CLOTH, BACKGROUND = (CLASSES.index(name) for name in ("hair", "skin", "cloth", "background"))


@pytest.fixture
def unknown():
    area = np.zeros((256, 256), bool)
    area[64:192, 96:224] = True
    return area


def stripes(angle, contrast=40, width=2):
    """Lines at an angle in degrees, 256 x 256 x 3 uint8, with some noise: what combed hair looks like."""
    y, x = np.mgrid[:256, :256]
    across = x * np.sin(np.radians(angle)) - y * np.cos(np.radians(angle))
    light = 110 + contrast * np.sin(across / width) + np.random.default_rng(0).normal(0, 4, (256, 256))
    return np.repeat(light[..., None], 3, -1).clip(0, 255).astype(np.uint8)


def fine(picture):
    """What is finer than 2 pixels."""
    return picture - cv2.GaussianBlur(picture.astype(np.float32), (0, 0), 2)


def roughness(picture, axis):
    """How much the middle of the hole differs from pixel to pixel down (axis 0) or across (axis 1)."""
    return np.abs(np.diff(picture[80:176, 112:208, 0].astype(float), axis=axis)).mean()


@pytest.mark.parametrize("angle", [0, 30, 90, 135])
def test_the_flow_is_that_of_the_lines(unknown, angle):
    flow = find_flow(stripes(angle), unknown, np.full((256, 256), HAIR, np.uint8))
    towards = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    assert np.abs(flow.direction[16:-16, 16:-16] @ towards).min() > 0.99
    assert flow.coherence[16:-16, 16:-16].min() > 0.9


def test_lines_are_smoothed_along_and_not_across_and_the_face_not_at_all(unknown):
    crinkled = stripes(90)
    for name, left in ((HAIR, 0.85), (CLOTH, 0.85), (BACKGROUND, 0.7), (SKIN, 1)):
        layout = np.full((256, 256), name, np.uint8)
        smooth = smooth_along(find_flow(crinkled, unknown, layout), crinkled, unknown, layout)
        if left == 1:
            np.testing.assert_array_equal(smooth, crinkled)
            continue
        assert roughness(smooth, 0) < left * roughness(crinkled, 0)
        assert roughness(smooth, 1) > 0.9 * roughness(crinkled, 1)


def test_hair_and_what_is_beside_it_do_not_mix(unknown):
    layout = np.full((256, 256), CLOTH, np.uint8)
    layout[:, 160:] = HAIR
    painted = np.full((256, 256, 3), 200, np.uint8)
    painted[:, 160:] = 40
    # Lines that run from one into the other.
    painted[::8] = painted[::8] // 5 * 4
    smooth = smooth_along(find_flow(painted, unknown, layout), painted, unknown, layout)
    assert smooth[:, :160].min() >= 150
    assert smooth[:, 160:].max() <= 50


def test_hidden_hair_gets_strands_as_strong_as_those_seen_and_nothing_else_does(unknown):
    layout = np.full((256, 256), HAIR, np.uint8)
    layout[:, 200:] = SKIN
    lively, blurred = stripes(90, 30, 0.8), stripes(90, 5, 0.8)
    painted = np.where(unknown[..., None], stripes(90, 20, 5), lively)
    flow = find_flow(painted, unknown, layout)
    result = add_strands(flow, lively, painted, unknown, layout)
    np.testing.assert_array_equal(result, add_strands(flow, lively, painted, unknown, layout))
    np.testing.assert_array_equal(result[~unknown], painted[~unknown])
    np.testing.assert_array_equal(result[:, 204:], painted[:, 204:])
    middle = np.s_[80:176, 112:190, 0]
    assert fine(painted)[middle].std() < 0.3 * fine(lively)[middle].std()
    assert 0.5 < fine(result)[middle].std() / fine(lively)[middle].std() < 1.2
    added = (result.astype(float) - painted)[middle]
    assert np.abs(np.diff(added, axis=0)).mean() < 0.6 * np.abs(np.diff(added, axis=1)).mean()
    # A blurred photo's hair stays as blurred as it is.
    blurred = add_strands(flow, blurred, painted, unknown, layout)
    assert (blurred.astype(float) - painted)[middle].std() < 0.2 * added.std()


def test_where_no_hair_is_seen_strands_go_by_how_fine_the_face_is(unknown):
    layout = np.full((256, 256), SKIN, np.uint8)
    layout[unknown] = HAIR
    soft = stripes(90, 30, 5)
    smooth = cv2.GaussianBlur(soft, (0, 0), 2)
    middle = np.s_[80:176, 112:190, 0]
    flow = find_flow(smooth, unknown, layout)
    sharp_face, soft_face = (np.where(unknown[..., None], smooth, face) for face in (soft, smooth))
    added = [
        (add_strands(flow, face, smooth, unknown, layout).astype(float) - smooth)[middle]
        for face in (sharp_face, soft_face)
    ]
    assert added[0].std() > 1
    assert np.abs(np.diff(added[0], axis=0)).mean() < 0.6 * np.abs(np.diff(added[0], axis=1)).mean()
    assert added[1].std() < 0.3 * added[0].std()
    nothing = np.ones_like(unknown)
    assert add_strands(flow, smooth, smooth, nothing, layout) is smooth


def test_an_enlarged_face_is_combed_where_the_visible_hair_is(unknown):
    layout = np.full((256, 256), HAIR, np.uint8)
    layout[:, 200:] = SKIN
    rng = np.random.default_rng(1)
    crinkles = cv2.GaussianBlur(rng.normal(0, 40, (256, 256)).astype(np.float32), (0, 0), 1.5)
    sleek = stripes(90, 40, 3)
    curly = np.clip(110 + 3 * crinkles[..., None], 0, 255).repeat(3, -1).astype(np.uint8)
    painted = np.clip(sleek + crinkles[..., None] * unknown[..., None], 0, 255).astype(np.uint8)
    change = {}
    for name, visible in (("sleek", sleek), ("curly", curly)):
        before = np.where(unknown[..., None], painted, visible)
        combed, flow = comb_enlarged(before, unknown, layout, 2)
        np.testing.assert_array_equal(combed[~unknown], before[~unknown])
        np.testing.assert_array_equal(combed[:, 208:], before[:, 208:])
        assert flow is not None
        change[name] = roughness(combed, 0) / roughness(before, 0)
        assert roughness(combed, 1) > 0.6 * roughness(before, 1)
    assert change["sleek"] < 0.6
    assert change["curly"] > 0.9
    bald = np.full_like(layout, SKIN)
    assert comb_enlarged(painted, unknown, bald, 2) == (painted, None)


@pytest.mark.parametrize("step", [2, 9])
def test_hair_of_a_large_photo_gets_strands_finer_than_the_networks_paint(unknown, step):
    larger = np.ones((2, 2) if step > 4 else (1, 1), np.uint8)
    hole = np.kron(unknown, larger) > 0
    layout = np.full(hole.shape, HAIR, np.uint8)
    layout[:, : len(hole) // 2] = SKIN
    lively = np.stack([np.kron(plane, larger) for plane in np.moveaxis(stripes(90, 30, 0.8), -1, 0)], -1)
    painted = np.where(hole[..., None], cv2.GaussianBlur(lively, (0, 0), 4 * len(larger)), lively)
    painted, flow = comb_enlarged(painted, hole, layout, step)
    result = add_strands_enlarged(flow, lively, painted, hole, layout, step)
    np.testing.assert_array_equal(result[~hole], painted[~hole])
    rows, columns = (
        slice(start * len(larger), stop * len(larger)) for start, stop in ((80, 176), (144, 208))
    )
    assert fine(painted)[rows, columns].std() < 0.2 * fine(lively)[rows, columns].std()
    assert fine(result)[rows, columns].std() > 0.4 * fine(lively)[rows, columns].std()
    left = np.s_[:, : len(hole) // 2 - 8 * len(larger)]
    np.testing.assert_array_equal(result[left], painted[left])
    assert add_strands_enlarged(None, lively, painted, hole, layout, step) is painted


def test_a_sliver_of_hidden_hair_of_a_huge_face_is_no_trouble(unknown):
    layout = np.full((256, 256), SKIN, np.uint8)
    layout[:, 97] = HAIR
    sliver = np.zeros_like(unknown)
    sliver[100:140, 97] = True
    painted = stripes(90)
    assert comb_enlarged(painted, sliver, layout, 9) == (painted, None)


def test_strands_in_red_hair_are_light_and_dark(unknown):
    layout = np.full((256, 256), HAIR, np.uint8)
    redden = np.array([40, 0, -40])
    lively = np.clip(stripes(90, 30, 0.8) + 100 + redden, 0, 255).astype(np.uint8)
    painted = np.where(unknown[..., None], cv2.GaussianBlur(lively, (0, 0), 4), lively)
    painted, flow = comb_enlarged(painted, unknown, layout, 2)
    result = add_strands_enlarged(flow, lively, painted, unknown, layout, 2)
    added = (result.astype(float) - painted)[80:176, 112:208, 2]
    assert added.std() > 3 and abs(added.mean()) < 0.1 * added.std()
