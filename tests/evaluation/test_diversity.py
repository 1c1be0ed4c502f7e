from types import SimpleNamespace

import numpy as np
import pytest
import torch
from evaluation_fakes import FakeLpips
from PIL import Image

from faceinpaint.datasets import Faces
from faceinpaint.evaluation.diversity import measure, spread_distance


class HoleLpips(FakeLpips):
    """Distances in the hole; the features are the mean colours."""

    def __call__(self, a, b, region):
        return np.stack([np.abs(x.astype(float) - y)[r].mean() for x, y, r in zip(a, b, region, strict=True)])

    def features(self, pictures):
        return pictures.mean((1, 2)) / 255


class Painter:
    """Fills the hole with 100, 100 + step and 100 + 2 steps."""

    weights_sha256 = "0123456789abcdef" * 4

    def __init__(self, step):
        self.step = step

    def __call__(self, image, mask, align, num_variations):
        fills = (np.uint8(100 + self.step * number) for number in range(num_variations))
        return [SimpleNamespace(image=Image.fromarray(np.where(mask[..., None], f, image))) for f in fills]


@pytest.fixture
def faces():
    images = torch.randint(0, 256, (8, 40, 40, 3), generator=torch.Generator().manual_seed(0)).byte()
    images[:, :24] = 101
    return Faces(list("abcdefgh"), images, images[..., 0], images[..., 0] > 0)


MASKS = torch.zeros(2, 40, 40, dtype=torch.bool)
MASKS[0, :14] = MASKS[1, :22] = True


def test_variations_differ_by_their_distance_inside_the_hole(faces):
    report = measure(Painter(6), faces, MASKS, HoleLpips())
    groups = report.results["groups"]
    assert {name: group["samples"] for name, group in groups.items()} == {
        "20-40%": 4,
        "40-60%": 4,
        "20-60%": 8,
    }
    for group in groups.values():
        assert group["between"]["mean"] == pytest.approx((6 + 6 + 12) / 3)
        assert group["to_truth"]["mean"] == pytest.approx(1)
    assert "| 20-40% | 4 | faceinpaint | 8.000 ± 0.000 | 1.000 ± 0.000 | " in report.table
    assert report.draw().size == (5 * 40, 24 + 8 * 40)

    # The first variation alone is compared with the truth, as a set, too.
    faces.images[:, :24] = 100
    exact = measure(Painter(6), faces, MASKS, HoleLpips()).results["groups"]["20-60%"]
    assert exact["kid"]["faceinpaint"]["mean"] == pytest.approx(0)
    assert exact["kid"]["Telea"]["mean"] > 1e-6

    same = measure(Painter(0), faces, MASKS, HoleLpips()).results["groups"]["20-60%"]
    assert same["between"]["mean"] == 0


def test_holes_of_every_tenth_are_painted(faces):
    masks = torch.zeros(4, 40, 40, dtype=torch.bool)
    for mask, rows in zip(masks, (10, 14, 18, 22), strict=True):
        mask[:rows] = True
    asked = []

    class Noting(Painter):
        def __call__(self, image, mask, **options):
            asked.append(int(mask.mean() * 40))
            return super().__call__(image, mask, **options)

    measure(Noting(6), faces, masks, HoleLpips())
    assert sorted(asked) == [10, 10, 14, 14, 18, 18, 22, 22]


def test_few_faces_have_no_halves_to_compare(faces):
    few = Faces(faces.keys[:1], faces.images[:1], faces.labels[:1], faces.valid[:1])
    report = measure(Painter(6), few, MASKS, HoleLpips())
    assert list(report.results["groups"]) == ["20-40%", "20-60%"]
    assert "nan" not in report.table and report.table.count("| – |") == 4


def test_identical_sets_are_no_distance_apart():
    features = np.random.default_rng(0).normal(size=(60, 8))
    assert spread_distance(features, features) == {"mean": pytest.approx(0), "deviation": pytest.approx(0)}
    assert spread_distance(features, features + 1)["mean"] > 0.5
