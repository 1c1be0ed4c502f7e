from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from evaluation_fakes import FakeLpips
from PIL import Image

from faceinpaint.datasets import UNLABELLED, Faces
from faceinpaint.evaluation.groups import faded, greyscale, measure
from faceinpaint.semantics import CLASSES

ID = {name: index for index, name in enumerate(CLASSES)}


def skin_colour(lightness, yellow):
    """RGB, 0 to 255, of a colour L*, a* = 10, b*."""
    lab = np.float32([[[lightness, 10, yellow]]])
    return np.rint(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)[0, 0] * 255).astype(np.uint8)


def make_labels(nose=20, size=40):
    """A face of boxes whose nose stands at this x; the eyes stand at 10 and 30."""
    labels = np.full((size, size), ID["skin"], np.uint8)
    labels[10:14, 8:13] = ID["right eye"]
    labels[10:14, 28:33] = ID["left eye"]
    labels[18:24, nose - 2 : nose + 3] = ID["nose"]
    return labels


def test_versions_lose_colour_and_contrast():
    image = np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    assert np.ptp(greyscale(image), axis=2).max() == 0
    assert faded(image).std() < 0.7 * greyscale(image).std()
    assert faded(image)[..., 0].mean() > faded(image)[..., 2].mean()


class Unfair:
    """Restores light faces well and dark ones badly; reads background where the face is dark."""

    weights_sha256 = "0123456789abcdef" * 4

    def __call__(self, image, mask, align, seed):
        seen = image[~mask]
        dark = seen.mean() < 110
        filled = np.where(mask[..., None], np.clip(seen.mean(0) + 40 * dark, 0, 255).astype(np.uint8), image)
        layout = np.zeros_like(make_labels()) if dark else make_labels()
        return SimpleNamespace(image=Image.fromarray(filled), layout=layout)


def test_a_group_that_is_served_badly_is_flagged():
    colours = [skin_colour(75, 15)] * 3 + [skin_colour(30, 15)]
    images = torch.from_numpy(np.stack([np.broadcast_to(colour, (40, 40, 3)) for colour in colours]))
    labels = torch.from_numpy(np.stack([make_labels()] * 4))
    faces = Faces(list("abcd"), images, labels, labels >= 0)
    masks = torch.zeros(1, 40, 40, dtype=torch.bool)
    masks[:, :12] = True
    report = measure(Unfair(), faces, masks, FakeLpips())
    groups = report.results["groups"]
    assert list(groups) == [
        "everybody", "picture: greyscale", "picture: faded", "skin: very light", "skin: dark",
        "pose: frontal (below 15°)",
    ]  # fmt: skip
    assert [groups[f"skin: {tone}"]["samples"] for tone in ("very light", "dark")] == [3, 1]
    assert groups["skin: dark"]["layout_error_of_mean"] == pytest.approx(4)
    assert groups["skin: dark"]["lpips_of_mean"] > 3
    flagged = [line.split(" |")[0] for line in report.table.splitlines() if "✗" in line]
    assert "| skin: dark" in flagged and "| skin: very light" not in flagged
    assert "do not carry" in report.caption("command")
    # The eyes and what is around them is all that is in the holes.
    assert report.results["classes"] == ["skin", "left eye", "right eye"]
    assert "over the 3 classes that every group has there (not background, nose" in report.caption("command")
    assert report.draw().width == 6 * 40

    # A face that is not labelled in its hole has no say in how layouts are read.
    faces.labels[2][masks[0]] = UNLABELLED
    report = measure(Unfair(), faces, masks, FakeLpips())
    assert report.results["groups"]["skin: dark"]["layout_error_of_mean"] == pytest.approx(3)
    assert "nan" not in report.table
    # What is read beside the hole does not count.
    faces.labels[:, 20:] = ID["hat"]
    again = measure(Unfair(), faces, masks, FakeLpips()).results["groups"]["everybody"]["accuracy"]
    assert again == report.results["groups"]["everybody"]["accuracy"]

    faces.labels[2] = UNLABELLED
    with pytest.raises(ValueError, match="needs a label map for each face"):
        measure(Unfair(), faces, masks, FakeLpips())


def test_groups_are_compared_by_the_classes_that_all_of_them_have():
    images = torch.from_numpy(np.stack([np.full((40, 40, 3), skin_colour(75, 15))] * 2))
    images[1] = torch.from_numpy(skin_colour(65, 15))
    labels = np.stack([make_labels()] * 2)
    labels[1, :6] = ID["hat"]  # is never found
    masks = torch.zeros(1, 40, 40, dtype=torch.bool)
    masks[:, :12] = True
    labels = torch.from_numpy(labels)
    groups = measure(Unfair(), Faces(list("ab"), images, labels, labels >= 0), masks, FakeLpips()).results
    assert "hat" not in groups["classes"]
    light, darker = (group for name, group in groups["groups"].items() if name.startswith("skin"))
    assert light["mean_iou"]["mean"] == 1 and 0.5 < darker["mean_iou"]["mean"] < 1
