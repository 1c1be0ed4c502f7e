from types import SimpleNamespace

import numpy as np
import pytest
import torch
from evaluation_fakes import FakeLpips
from PIL import Image

from faceinpaint.datasets import UNLABELLED, Faces
from faceinpaint.evaluation import worst
from faceinpaint.semantics import CLASSES

SIZE = 40


class GoodButForHats:
    """Restores every face as it was, but paints over what is hidden of those with something green."""

    weights_sha256 = "0123456789abcdef" * 4

    def __init__(self, images):
        self.images = images

    def __call__(self, image, mask, align, seed):
        truth = next(each for each in self.images if (each[~mask] == image[~mask]).all())
        filled = truth.copy()
        if truth[0, 0, 1] == 200:
            filled[mask] = 255
        return SimpleNamespace(image=Image.fromarray(filled), layout=np.zeros((SIZE, SIZE), np.uint8))


@pytest.fixture
def faces():
    images = np.random.default_rng(0).integers(0, 100, (4, SIZE, SIZE, 3), dtype=np.uint8)
    labels = np.full((4, SIZE, SIZE), CLASSES.index("skin"), np.uint8)
    images[3, :10, :, 1] = 200
    labels[3, :10] = CLASSES.index("hat")
    images, labels = torch.from_numpy(images), torch.from_numpy(labels)
    return Faces(list("abcd"), images, labels, torch.ones(4, dtype=torch.bool))


@pytest.fixture
def masks():
    masks = torch.zeros(2, SIZE, SIZE, dtype=torch.bool)
    masks[0, 4:8, :20] = True
    masks[1, 4:20] = True
    return masks


def test_the_worst_come_first_and_show_what_they_share(faces, masks, monkeypatch):
    monkeypatch.setattr(worst, "COUNT", 2)
    report = worst.measure(GoodButForHats(faces.images.numpy()), faces, masks, FakeLpips())
    found = report.results["worst"]
    assert [(each["face"], each["hole"]) for each in found] == [("d", "40-50%"), ("d", "0-10%")]
    assert found[0]["lpips"] > found[1]["lpips"] > 0
    traits = report.results["traits"]
    assert traits["worn: hat"] == {"worst": 1, "all": 0.25, "ratio": 4}
    assert traits["hole: 40-50%"] == {"worst": 0.5, "all": 0.5, "ratio": 1}
    # Half of the large hole is below the hat's edge, and none of the small one.
    assert traits["hidden: hat"]["worst"] == pytest.approx((6 / 16 + 1) / 2)
    assert report.table.splitlines()[2].split(" |")[0] in ("| worn: hat", "| hidden: hat")
    assert report.draw().size == (4 * SIZE, 24 + 2 * SIZE)


def test_label_maps_are_needed(faces, masks):
    faces.labels[0] = UNLABELLED
    with pytest.raises(ValueError, match="needs a label map for each face"):
        worst.measure(GoodButForHats(faces.images.numpy()), faces, masks, FakeLpips())
