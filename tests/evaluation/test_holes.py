import numpy as np
import pytest
import torch

from faceinpaint.evaluation.holes import hide, pair_bands, pair_masks, percent

RATIOS = (0.05, 0.15, 0.25, 0.25, 0.35, 0.45, 0.55)
MASKS = torch.zeros(7, 40, 40, dtype=torch.bool)
for mask, ratio in zip(MASKS, RATIOS, strict=True):
    mask[: round(ratio * 40)] = True


class TestPairMasks:
    def test_every_face_gets_one_mask_of_each_tenth(self):
        pairs = pair_masks(MASKS, 5)
        assert len(pairs) == 5 * 6
        assert {(face, tenth) for face, _, tenth in pairs} == {(f, t) for f in range(5) for t in range(6)}
        assert all(int(RATIOS[mask] * 10) == tenth for _, mask, tenth in pairs)
        assert {mask for _, mask, tenth in pairs if tenth == 2} == {2, 3}

    def test_it_is_the_same_every_time_and_for_fewer_faces(self):
        pairs = pair_masks(MASKS, 5)
        assert pairs == pair_masks(MASKS, 5)
        assert pair_masks(MASKS, 2) == [pair for pair in pairs if pair[0] < 2]

    def test_empty_and_full_masks(self):
        masks = torch.stack([torch.zeros(4, 4), torch.ones(4, 4)]).bool()
        assert pair_masks(masks, 1) == [(0, 1, 9)]
        with pytest.raises(ValueError, match="None of the masks has a hole"):
            pair_masks(masks[:1], 1)


class TestPairBands:
    def test_every_face_gets_one_mask_of_each_band_from_its_tenths_by_turns(self):
        pairs = pair_bands(MASKS, 3, (1, 2))
        assert [(face, band) for face, _, band in pairs] == [(f, b) for f in range(3) for b in (1, 2)]
        assert {(face, int(RATIOS[mask] * 10)) for face, mask, _ in pairs} == {
            (0, 2), (0, 4), (1, 3), (1, 5), (2, 2), (2, 4),
        }  # fmt: skip
        assert {pair[:2] for pair in pairs} <= {pair[:2] for pair in pair_masks(MASKS, 3)}

    def test_a_band_without_a_tenth_and_without_masks(self):
        assert {mask for _, mask, _ in pair_bands(MASKS[:4], 4, (1,))} == {2, 3}
        with pytest.raises(ValueError, match="None of the masks hides 80-100%"):
            pair_bands(MASKS, 2, (1, 4))


def test_names_of_groups():
    assert percent(1) == "20-40%"
    assert percent(3, 1) == "30-40%"


def test_what_is_hidden_is_gone():
    hidden = hide(np.full((40, 40, 3), 9, np.uint8), MASKS[0].numpy())
    assert (hidden[MASKS[0].numpy()] == 128).all() and (hidden[~MASKS[0].numpy()] == 9).all()
