import numpy as np
import pytest

from faceinpaint import baselines
from faceinpaint.baselines import BASELINES, fill_plainly, telea

rng = np.random.default_rng(0)
IMAGE = rng.integers(0, 256, (40, 52, 3), dtype=np.uint8)


@pytest.mark.parametrize("method", BASELINES.values(), ids=BASELINES)
class TestBaselines:
    def test_known_pixels_are_kept(self, method):
        mask = rng.random((40, 52)) < 0.5
        mask[0, :10] = mask[:, -1] = True
        restored = method(IMAGE, mask)
        assert restored.dtype == np.uint8
        assert (restored[~mask] == IMAGE[~mask]).all()

    def test_the_hole_is_filled_from_around_it(self, method):
        image = np.full((40, 52, 3), (200, 40, 90), dtype=np.uint8)
        mask = np.zeros((40, 52), dtype=bool)
        mask[10:30, 12:40] = True
        restored = method(np.where(mask[..., None], np.uint8(0), image), mask)
        # OpenCV rounds at every step inwards, so that Telea drifts by a few values.
        assert np.abs(restored.astype(int) - image).max() <= 4

    def test_hidden_pixels_are_never_read(self, method):
        mask = np.zeros((40, 52), dtype=bool)
        mask[:, 20:] = True
        other = np.where(mask[..., None], 255 - IMAGE, IMAGE)
        assert (method(IMAGE, mask) == method(other, mask)).all()

    def test_with_nothing_known_nothing_leaks(self, method):
        restored = method(IMAGE, np.ones((40, 52), dtype=bool))
        assert len(np.unique(restored)) == 1

    def test_an_empty_mask_changes_nothing(self, method):
        assert (method(IMAGE, np.zeros((40, 52), dtype=bool)) == IMAGE).all()


def test_a_large_hole_is_filled_as_a_smaller_one_is(monkeypatch):
    y, x = np.mgrid[:120, :160]
    image = np.stack([x, 2 * y, 255 - x], 2).astype(np.uint8)
    mask = np.zeros((120, 160), dtype=bool)
    mask[30:90, 40:110] = True
    hidden = np.where(mask[..., None], np.uint8(255), image)
    slow = fill_plainly(hidden, mask)
    np.testing.assert_array_equal(slow, telea(hidden, mask))
    monkeypatch.setattr(baselines, "_MOST_HIDDEN", 400)
    quick = fill_plainly(hidden, mask)
    np.testing.assert_array_equal(quick[~mask], image[~mask])
    assert not np.array_equal(quick, slow)
    assert np.abs(quick.astype(int) - slow).mean(where=mask[..., None]) < 6
    np.testing.assert_array_equal(fill_plainly(image, mask), quick)  # what is hidden is never read
    assert len(np.unique(fill_plainly(image, np.ones_like(mask)))) == 1


def test_the_few_pixels_known_within_a_large_hole_count(monkeypatch):
    image = np.full((120, 160, 3), 60, np.uint8)
    mask = np.ones((120, 160), bool)
    mask[30:90:6, 40:120:6] = False  # a fourth of a cell at most
    image[~mask] = 200
    monkeypatch.setattr(baselines, "_MOST_HIDDEN", 5000)
    assert fill_plainly(image, mask)[40:80, 50:110].min() > 190


def test_a_mask_of_another_size_is_refused():
    with pytest.raises(ValueError, match="height and width"):
        telea(IMAGE, np.zeros((52, 40), dtype=bool))
