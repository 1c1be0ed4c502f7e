from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from faceinpaint.datasets import UNLABELLED, Faces
from faceinpaint.evaluation.texture import find_patches, measure, octave_power


@pytest.mark.parametrize(("wavelength", "octave"), [(24, 0), (12, 1), (6, 2), (3, 3)])
def test_a_wave_has_its_power_in_its_octave(wavelength, octave):
    wave = np.sin(2 * np.pi * np.arange(32) / wavelength) * np.ones((32, 1))
    power = octave_power([wave, wave.T, 2 * wave])
    assert (power.argmax(1) == octave).all()
    assert power[1] == pytest.approx(power[0])
    assert power[2] == pytest.approx(4 * power[0])


def test_a_plain_patch_has_no_power():
    assert octave_power(np.full((1, 32, 32), 200)) == pytest.approx(0, abs=1e-9)


def test_patches_lie_in_the_hole_and_on_the_class():
    hole, part = np.zeros((64, 64), bool), np.ones((64, 64), bool)
    hole[8:48, 16:48] = True
    assert find_patches(hole, part).tolist() == [[8, 16], [16, 16]]
    part[:20] = False
    assert find_patches(hole, part).tolist() == []
    part[17:] = True
    assert find_patches(hole, part).tolist() == [[16, 16]]


class Restorer:
    """Gives the truth back, blurred by `sigma`."""

    weights_sha256 = "0123456789abcdef" * 4

    def __init__(self, faces, sigma):
        self.faces, self.sigma = faces, sigma

    def __call__(self, image, mask, align, seed):
        truth = next(face for face in self.faces.images.numpy() if (face[-1] == image[-1]).all())
        if self.sigma:
            truth = cv2.GaussianBlur(truth, (0, 0), self.sigma)
        return SimpleNamespace(image=Image.fromarray(truth), layout=None)


def test_identical_spectra_give_one_and_a_blur_loses_the_top_octave():
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (3, 128, 128, 3), generator=generator, dtype=torch.uint8)
    labels = torch.full((3, 128, 128), 13, dtype=torch.uint8)
    faces = Faces(list("abc"), images, labels, labels > 0)
    masks = torch.zeros(2, 128, 128, dtype=torch.bool)
    masks[0, :45] = masks[1, :60] = True

    report = measure(Restorer(faces, 0), faces, masks)
    hair, skin = report.results["classes"]["hair"], report.results["classes"]["skin"]
    assert (hair["pictures"], skin["pictures"]) == (6, 0)
    assert [ratio["mean"] for ratio in hair["methods"]["faceinpaint"]] == pytest.approx([1, 1, 1, 1])
    assert hair["methods"]["Telea"][-1]["mean"] < 0.2
    assert report.table.count("1.00 ± 0.00 ✓") == 1
    assert report.draw().width == 4 * 128

    nowhere = measure(Restorer(faces, 0), faces, masks & (torch.arange(128) % 30 > 1))
    assert "| hair | 0 (0) | faceinpaint | – |" in nowhere.table
    with pytest.raises(ValueError, match="No picture could be measured"):
        nowhere.draw()
    faces.labels[1] = UNLABELLED
    with pytest.raises(ValueError, match="label map for each face"):
        measure(Restorer(faces, 0), faces, masks)
    faces.labels[1] = 13

    blurred = measure(Restorer(faces, 1), faces, masks).results["classes"]["hair"]["methods"]["faceinpaint"]
    ratios = [ratio["mean"] for ratio in blurred]
    assert ratios[0] > 0.7 and ratios[-1] < 0.1
    assert ratios == sorted(ratios, reverse=True)
