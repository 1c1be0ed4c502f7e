import math

import pytest
import torch
import torch.nn.functional as F

from faceinpaint.datasets import UNLABELLED
from faceinpaint.semantics import CLASSES, HAIR
from faceinpaint.training.losses import (
    CLASS_WEIGHTS,
    Vgg19Features,
    detail_loss,
    feature_loss,
    jaccard_loss,
    layout_loss,
    style_loss,
    unit_feature_loss,
)

EARRING = CLASSES.index("earring")


@pytest.fixture
def logits():
    return torch.randn(2, 19, 6, 6, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def labels():
    return torch.randint(0, 19, (2, 6, 6), generator=torch.Generator().manual_seed(1))


class TestLayoutLoss:
    def test_unlabelled_pixels_do_not_count(self, logits, labels):
        labels[0, :3] = UNLABELLED
        loss = layout_loss(logits, labels, torch.ones(2, 6, 6))
        other = logits.clone()
        other[0, :, :3] = 50 * torch.randn(19, 3, 6, generator=torch.Generator().manual_seed(2))
        assert torch.equal(layout_loss(other, labels, torch.ones(2, 6, 6)), loss)
        other = logits.clone()
        other[0, :, 3:] += torch.randn(19, 3, 6, generator=torch.Generator().manual_seed(2))
        assert not torch.equal(layout_loss(other, labels, torch.ones(2, 6, 6)), loss)
        # Nor do they thin the others out: the mean is over what is labelled.
        halves = [layout_loss(logits[:1, :, 3:], labels[:1, 3:], torch.ones(1, 3, 6))]
        halves.append(layout_loss(logits[1:], labels[1:], torch.ones(1, 6, 6)))
        assert float(loss) == pytest.approx(float((18 * halves[0] + 36 * halves[1]) / 54), rel=1e-4)

    def test_nothing_labelled_is_no_loss(self, logits, labels):
        loss = layout_loss(logits, torch.full_like(labels, UNLABELLED), torch.ones(2, 6, 6))
        assert float(loss) == 0

    def test_places_count_by_their_weight(self, logits, labels):
        weight = torch.zeros(2, 6, 6)
        weight[1, 2, 3] = 5
        expected = layout_loss(logits[1:, :, 2:3, 3:4], labels[1:, 2:3, 3:4], torch.ones(1, 1, 1))
        assert torch.allclose(layout_loss(logits, labels, weight), expected)

    def test_small_parts_count_twice(self):
        flat = torch.zeros(1, 19, 1, 1)
        skin, lip = (layout_loss(flat, torch.full((1, 1, 1), c), torch.ones(1, 1, 1)) for c in (1, 11))
        assert CLASS_WEIGHTS[11] == 2 * CLASS_WEIGHTS[1]
        assert float(lip) > 1.9 * float(skin)

    def test_the_truth_is_nearly_no_loss(self, labels):
        good = 10 * F.one_hot(labels, 19).permute(0, 3, 1, 2).float()
        assert layout_loss(good, labels, torch.ones(2, 6, 6)) < 0.5
        assert layout_loss(good, (labels + 1) % 19, torch.ones(2, 6, 6)) > 5


class TestJaccardLoss:
    @pytest.fixture
    def hair_and_earring(self):
        """Labels of hair with an earring of one pixel, and logits that are sure of them."""
        labels = torch.full((1, 8, 8), HAIR)
        labels[0, 4, 4] = EARRING
        return labels, 50 * F.one_hot(labels, 19).permute(0, 3, 1, 2).float()

    def test_the_truth_is_no_loss(self, hair_and_earring):
        labels, logits = hair_and_earring
        assert float(jaccard_loss(logits, labels, torch.ones(1, 8, 8))) == pytest.approx(0, abs=1e-5)

    def test_a_missed_earring_costs_as_much_as_all_hair_missed(self, hair_and_earring):
        labels, logits = hair_and_earring
        all_hair = 50 * F.one_hot(torch.full_like(labels, HAIR), 19).permute(0, 3, 1, 2).float()
        # The mean of hair's 63 of 64 pixels and of no earring.
        expected = (1 / 64 + 1) / 2
        assert float(jaccard_loss(all_hair, labels, torch.ones(1, 8, 8))) == pytest.approx(expected, abs=1e-4)

    def test_only_what_is_labelled_and_weighs_counts(self, hair_and_earring):
        labels, logits = hair_and_earring
        logits[0, :, :4] = 0
        weight = torch.ones(1, 8, 8)
        assert float(jaccard_loss(logits, labels, weight)) > 0.2
        weight[0, :2] = 0
        labels[0, 2:4] = UNLABELLED
        assert float(jaccard_loss(logits, labels, weight)) == pytest.approx(0, abs=1e-5)

    def test_classes_are_pooled_over_the_batch(self, hair_and_earring):
        labels, logits = hair_and_earring
        hair = torch.full_like(labels, HAIR)
        logits = torch.cat([logits, 50 * F.one_hot(hair, 19).permute(0, 3, 1, 2).float()])
        loss = jaccard_loss(logits, torch.cat([hair, labels]), torch.ones(2, 8, 8))
        # One earring found where there is none, one not found: none is in place; hair is off by two pixels.
        assert float(loss) == pytest.approx((2 / 128 + 1) / 2, abs=1e-4)

    def test_nothing_labelled_is_no_loss(self, logits, labels):
        loss = jaccard_loss(logits, torch.full_like(labels, UNLABELLED), torch.ones(2, 6, 6))
        assert float(loss) == 0


def test_feature_loss_by_hand():
    fake = [torch.tensor([1.0, 2.0]), torch.tensor([0.0])]
    real = [torch.tensor([2.0, 4.0]), torch.tensor([5.0])]
    assert float(feature_loss(fake, real)) == pytest.approx((1.5 + 5) / 2)
    assert float(feature_loss(fake, fake)) == 0


def test_unit_features_are_blind_to_strength_and_compare_by_angle():
    maps = torch.randn(1, 8, 4, 4, generator=torch.Generator().manual_seed(0))
    assert float(unit_feature_loss([maps], [30 * maps])) < 1e-6
    # At a right angle two vectors of length 1 are the square root of 2 apart: everywhere, then in one place.
    along, across = torch.zeros(2, 1, 8, 4, 4)
    along[:, 0], across[:, 1] = 0.5, 7
    assert float(unit_feature_loss([along], [across])) == pytest.approx(2, rel=1e-3)
    across[:, :, 1:], across[:, :, 0, 1:] = along[:, :, 1:], along[:, :, 0, 1:]
    assert float(unit_feature_loss([along, maps], [across, maps])) == pytest.approx(1 / 16, rel=1e-3)


class TestStyleLoss:
    @pytest.fixture
    def real(self):
        return torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))

    @pytest.fixture
    def halves(self):
        halves = torch.zeros(1, 2, 8, 8)
        halves[:, 0, :4] = halves[:, 1, 4:] = 1
        return halves

    def test_blind_to_places_and_sees_the_rest(self, real, halves):
        assert float(style_loss([real.flip(-1)], [real], halves)) == pytest.approx(0, abs=1e-5)
        # Twice the features are four times the Gram matrix: off by three times itself.
        assert float(style_loss([2 * real], [real], halves)) == pytest.approx(3, rel=1e-2)

    def test_each_region_answers_for_itself(self, real, halves):
        # What changes places with another region is the same overall, yet in neither of the two.
        assert float(style_loss([real.flip(-2)], [real], halves[:, :1] + halves[:, 1:])) < 1e-5
        assert float(style_loss([real.flip(-2)], [real], halves)) > 0.1

    def test_a_dim_region_counts_as_much_as_a_bright_one(self, real, halves):
        scale = halves[:, :1] + 30 * halves[:, 1:]
        wrong = [scale * (real + halves[:, k : k + 1] * real.roll(1, 1)) for k in (0, 1)]
        dim, bright = (style_loss([fake], [scale * real], halves) for fake in wrong)
        assert 0.2 < float(dim / bright) < 5

    def test_outside_the_regions_nothing_counts(self, real, halves):
        halves[:, 1] = 0
        assert float(style_loss([real + halves.flip(2)[:, :1]], [real], halves)) == pytest.approx(0, abs=1e-5)
        assert float(style_loss([2 * real], [real], 0 * halves)) == 0


@pytest.fixture(scope="module")
def vgg(untrained_vgg):
    return Vgg19Features(untrained_vgg)


class TestDetailLoss:
    @pytest.fixture
    def texture(self):
        return 0.2 * torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))

    @pytest.fixture
    def halves(self):
        regions = torch.zeros(1, 2, 64, 64)
        regions[:, 0, :, :32] = regions[:, 1, :, 32:] = 1
        return regions

    def test_strength_counts_and_place_does_not(self, texture, halves):
        assert float(detail_loss(texture, texture, halves)) == 0
        assert float(detail_loss(texture.roll(9, 2), texture, halves)) < 0.1
        # Half as strong is a quarter of the power.
        assert float(detail_loss(texture / 2, texture, halves)) == pytest.approx(math.log(4), rel=0.02)
        assert float(detail_loss(2 * texture, texture, halves)) == pytest.approx(math.log(4), rel=0.02)

    def test_what_is_smooth_does_not_count(self, texture, halves):
        slope = torch.linspace(-0.5, 0.5, 64).expand(1, 3, 64, 64)
        assert float(detail_loss(texture + slope, texture, halves)) < 0.05

    def test_each_region_is_compared_by_itself(self, texture, halves):
        fake = texture.clone()
        fake[..., :32] /= 2
        assert float(detail_loss(fake, texture, halves)) == pytest.approx(math.log(4) / 2, rel=0.1)
        halves[:, 0] = 0
        assert float(detail_loss(fake, texture, halves)) < 0.1


class TestVgg19Features:
    def test_features(self, vgg):
        image = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
        features = vgg(image)
        assert [f.shape for f in features] == [
            (2, channels, 32 // step, 32 // step)
            for channels, step in zip(vgg.channels, (1, 2, 4), strict=True)
        ]
        assert all(f.min() >= 0 and f.max() > 0 for f in features)

    def test_the_edge_of_a_picture_is_no_edge_in_it(self, vgg):
        for features in vgg(torch.full((1, 3, 32, 32), 0.5)):
            torch.testing.assert_close(features, features[..., :1, :1].expand_as(features))

    def test_it_is_frozen_and_lets_gradients_through(self, vgg):
        assert not list(vgg.parameters())
        image = torch.zeros(1, 3, 16, 16, requires_grad=True)
        sum(f.sum() for f in vgg(image)).backward()
        assert image.grad.abs().max() > 0
