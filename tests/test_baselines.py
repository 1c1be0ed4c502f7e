import numpy as np
import pytest

from faceinpaint.baselines import BASELINES, telea

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


def test_a_mask_of_another_size_is_refused():
    with pytest.raises(ValueError, match="height and width"):
        telea(IMAGE, np.zeros((52, 40), dtype=bool))
