import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from faceinpaint.metrics import (
    ConfusionMatrix,
    Lpips,
    kernel_distance,
    layout_agreement,
    mean_iou,
    psnr,
    ssim,
)

rng = np.random.default_rng(0)
PICTURE = rng.integers(0, 256, (32, 40, 3), dtype=np.uint8)

TORCH_HOME = Path(__file__).resolve().parents[2] / "shared/aids/torch-home"


@pytest.fixture(scope="module")
def squeeze():
    with pytest.MonkeyPatch.context() as patch:
        if TORCH_HOME.is_dir():
            patch.setenv("TORCH_HOME", str(TORCH_HOME))
        folder = Path(os.environ.get("TORCH_HOME", "~/.cache/torch")).expanduser() / "hub/checkpoints"
        if not any(folder.glob("squeezenet1_1*")):
            pytest.skip("the weights of SqueezeNet 1.1 are not on this machine")
        return Lpips("squeeze")


class TestPsnr:
    def test_a_known_difference(self):
        grey = np.full((8, 8, 3), 100, dtype=np.uint8)
        assert psnr(grey, grey + 5) == pytest.approx(20 * math.log10(255 / 5))
        assert psnr(grey + 5, grey) == psnr(grey, grey + 5)

    def test_identical_pictures(self):
        assert psnr(PICTURE, PICTURE) == math.inf

    def test_black_and_white_are_zero_decibels_apart(self):
        assert psnr(np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 255, np.uint8)) == 0


class TestSsim:
    def test_identical_pictures(self):
        assert ssim(PICTURE, PICTURE) == pytest.approx(1)

    def test_flat_pictures_by_the_formula(self):
        # Without variance only the luminance term is left.
        a, b, c1 = 100, 150, (0.01 * 255) ** 2
        expected = (2 * a * b + c1) / (a * a + b * b + c1)
        flat = np.ones((16, 16, 3), dtype=np.uint8)
        assert ssim(a * flat, b * flat) == pytest.approx(expected)

    def test_values_of_scikit_image(self):
        # scikit-image 0.26.0, structural_similarity(a, b, channel_axis=2, gaussian_weights=True, sigma=1.5,
        # use_sample_covariance=False, data_range=255)
        y, x = np.mgrid[0:32, 0:40]
        a = np.stack([x * 6, y * 7, (x * y) % 256], -1).astype(np.uint8)
        b = np.stack([y * 7, x * 6, (x * y * 3) % 256], -1).astype(np.uint8)
        assert ssim(a, b) == pytest.approx(0.21362269004473378, abs=1e-9)
        half_inverted = np.where(x[..., None] < 20, a, 255 - a).astype(np.uint8)
        assert ssim(a, half_inverted) == pytest.approx(0.21203697828202317, abs=1e-9)

    def test_a_picture_smaller_than_the_window_is_refused(self):
        with pytest.raises(ValueError, match="11 x 11"):
            ssim(PICTURE[:10], PICTURE[:10])


@pytest.mark.parametrize("metric", [psnr, ssim])
@pytest.mark.parametrize(
    "other", [PICTURE[:, :-1], PICTURE[..., 0], PICTURE / 255], ids=["size", "grey", "float"]
)
def test_pictures_that_cannot_be_compared_are_refused(metric, other):
    with pytest.raises(ValueError, match="Pictures to be compared"):
        metric(PICTURE, other)


class TestLpips:
    def test_in_a_region_only_that_counts(self, squeeze):
        a = np.stack([np.pad(PICTURE, ((0, 64), (0, 64), (0, 0)), mode="wrap")] * 2)
        b = a.copy()
        b[:, 60:, 60:] = 255 - b[:, 60:, 60:]
        region = np.zeros(a.shape[:3], bool)
        region[0, 60:, 60:] = region[1, :20, :20] = True
        changed, far = squeeze(a, b, region)
        assert changed > 2 * squeeze(a, b)[0] and changed > 5 * far
        assert squeeze(a, a, region).tolist() == [0, 0]

    def test_features_are_of_the_last_layer(self, squeeze):
        pictures = np.stack([PICTURE, 255 - PICTURE, PICTURE])
        features = squeeze.features(pictures)
        assert features.shape == (3, 512)
        assert features[0] == pytest.approx(features[2])
        assert np.abs(features[0] - features[1]).max() > 0.1

    def test_it_orders_pictures_by_how_far_they_are(self, squeeze):
        y, x = np.mgrid[0:64, 0:64]
        truth = np.stack([x * 3, y * 3, x + y], -1).astype(np.uint8)
        noise = rng.normal(size=truth.shape)
        near, far = (np.clip(truth + level * noise, 0, 255).astype(np.uint8) for level in (10, 80))
        distances = squeeze(np.stack([truth, near, far]), np.stack([truth] * 3))
        assert distances.shape == (3,)
        assert distances[0] == 0
        assert 0 < distances[1] < distances[2]

    def test_a_batch_gives_what_its_pictures_give_alone(self, squeeze):
        a = rng.integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
        b = rng.integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
        alone = [squeeze(a[i : i + 1], b[i : i + 1])[0] for i in range(3)]
        np.testing.assert_allclose(squeeze(a, b), alone, rtol=1e-4)

    def test_weights_that_cannot_be_had_end_in_a_sentence(self, monkeypatch, tmp_path):
        def unreachable(*args, **kwargs):
            raise OSError("no route to host")

        monkeypatch.setenv("TORCH_HOME", str(tmp_path))
        monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
        with pytest.raises(ValueError, match="--lpips-net squeeze"):
            Lpips("alex")

    @pytest.mark.parametrize(
        ("device", "has_gpu", "expected"), [(None, True, "cuda"), (None, False, "cpu"), ("cpu", True, "cpu")]
    )
    def test_the_network_is_where_the_pictures_go(self, device, has_gpu, expected, monkeypatch):
        put = []

        class Network:
            def __init__(self, **options):
                pass

            def to(self, device):
                put.append(device)
                return self

        monkeypatch.setattr("lpips.LPIPS", Network)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: has_gpu)
        assert [Lpips(device=device).device] == put == [expected]

    def test_an_unknown_network_is_refused(self):
        with pytest.raises(ValueError, match="choose alex, vgg or squeeze"):
            Lpips("resnet")


class TestConfusionMatrix:
    def test_by_hand(self):
        matrix = ConfusionMatrix()
        matrix.update(np.array([[0, 0, 1], [1, 2, 13]]), np.array([[0, 0, 0], [1, 1, 13]]))
        assert matrix.counts.sum() == 6
        assert matrix.counts[0, 0] == 2
        assert matrix.counts[0, 1] == matrix.counts[1, 2] == 1
        assert matrix.accuracy == pytest.approx(4 / 6)
        assert matrix.iou[[0, 1, 2, 13]] == pytest.approx([2 / 3, 1 / 3, 0, 1])
        assert np.isnan(matrix.iou[3])
        # Class 2 was predicted, but is not in the truth: it only costs class 1.
        assert matrix.mean_iou == pytest.approx((2 / 3 + 1 / 3 + 1) / 3)

    def test_pictures_add_up(self):
        predicted, truth = rng.integers(0, 19, (2, 4, 8, 8))
        matrix = ConfusionMatrix()
        for picture in range(4):
            matrix.update(predicted[picture], truth[picture])
        assert (matrix.counts == layout_agreement(predicted, truth).counts).all()

    def test_only_labelled_pixels_of_the_region_count(self):
        truth = np.array([[0, 0, 1, 255]], dtype=np.uint8)
        predicted = torch.tensor([[0, 5, 5, 0]], dtype=torch.uint8)
        region = torch.tensor([[True, False, True, True]])
        matrix = layout_agreement(predicted, truth, region)
        assert matrix.counts.sum() == 2
        assert matrix.accuracy == 0.5

    def test_nothing_counted(self):
        matrix = ConfusionMatrix()
        assert math.isnan(matrix.accuracy)
        assert math.isnan(matrix.mean_iou)

    @pytest.mark.parametrize(
        ("predicted", "region", "words"),
        [
            (np.zeros((3, 4), int), None, "one size"),
            (np.zeros((4, 4), int), np.ones((1, 4), bool), "one size"),
            (np.full((4, 4), 19), None, "outside 0 to 18"),
            (np.full((4, 4), -1), None, "outside 0 to 18"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, predicted, region, words):
        with pytest.raises(ValueError, match=words):
            layout_agreement(predicted, np.zeros((4, 4), int), region)


def test_the_mean_iou_of_pictures_is_that_of_all_their_pixels():
    matrices = [layout_agreement([0, 0, 1], [0, 1, 1]), layout_agreement([1, 1, 1], [1, 1, 0])]
    together = layout_agreement([0, 0, 1, 1, 1, 1], [0, 1, 1, 1, 1, 0])
    assert mean_iou(np.stack([matrix.counts for matrix in matrices])) == together.mean_iou


class TestKernelDistance:
    def test_one_distribution_is_near_nothing_and_another_far(self):
        sets = np.random.default_rng(0).normal(size=(3, 400, 16))
        assert abs(kernel_distance(sets[0], sets[1])) < 0.05
        assert kernel_distance(sets[0], sets[2] + 0.5) > 0.3
        assert kernel_distance(sets[0], sets[0]) == 0

    def test_pairs_of_one_picture_do_not_bring_it_below_nothing(self):
        rng = np.random.default_rng(0)
        distances = []
        for _ in range(200):
            picture = rng.normal(size=(20, 4))
            distances.append(kernel_distance(picture, picture + 0.1 * rng.normal(size=picture.shape)))
        assert abs(np.mean(distances)) < 3 * np.std(distances) / 200**0.5 + 0.01

    def test_the_formula(self):
        a, b = np.array([[1.0, 0], [0, 1]]), np.array([[1.0, 1], [0, 0]])
        # Of two samples each one pair is left: k(a0, a1) + k(b0, b1) - k(a0, b1) - k(a1, b0).
        assert kernel_distance(a, b) == pytest.approx(1 + 1 - 1 - 1.5**3)
