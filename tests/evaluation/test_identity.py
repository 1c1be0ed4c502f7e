from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from faceinpaint.datasets import Faces
from faceinpaint.evaluation.identity import FaceRecognizer, eyes_hidden, measure, recognition_frame


class Restorer:
    """Gives the truth back, or with `forget` the grey that it was given."""

    weights_sha256 = "0123456789abcdef" * 4

    def __init__(self, faces, forget):
        self.faces, self.forget = faces, forget

    def __call__(self, image, mask, align, seed):
        truth = next(face for face in self.faces.images.numpy() if (face[-1] == image[-1]).all())
        return SimpleNamespace(image=Image.fromarray(image if self.forget else truth), layout=None)


def corner_colours(faces):
    """Stands in for a network: the person is the colour of the upper half."""
    means = faces[:, :128].reshape(len(faces), -1, 3).mean(1) - 128.0
    return means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-9)


@pytest.fixture
def faces():
    colours = torch.tensor([[228, 128, 128], [128, 228, 128], [128, 128, 228]], dtype=torch.uint8)
    images = colours[:, None, None].repeat(1, 256, 256, 1)
    return Faces(list("abc"), images, images[..., 0], images[..., 0] > 0)


@pytest.fixture
def masks():
    masks = torch.zeros(3, 256, 256, dtype=torch.bool)
    masks[0, 200:230] = masks[1, 100:170] = masks[2, :128] = True
    return masks


def test_the_truth_is_the_same_person_and_grey_is_nobody(faces, masks):
    bands = measure(Restorer(faces, False), faces, masks, corner_colours).results["bands"]
    assert list(bands) == ["0-20%", "20-40%", "40-60%"]
    for band, methods in bands.items():
        figures = methods["faceinpaint"]
        assert figures["all"] == {"samples": 3, "mean": pytest.approx(1), "half_width": pytest.approx(0)}
        assert figures["eyes hidden"]["samples"] == (0 if band == "0-20%" else 3)

    report = measure(Restorer(faces, True), faces, masks, corner_colours)
    figures = report.results["bands"]["40-60%"]["faceinpaint"]
    assert figures["all"]["mean"] == pytest.approx(0)
    assert figures["eyes visible"] == {"samples": 0, "mean": None, "half_width": None}
    assert report.results["another_person"]["mean"] == pytest.approx(0)
    assert "| 20-40% | faceinpaint | 1.000 ± 0.000 ✓ |" in report.table
    assert report.draw().size == (4 * 256, 24 + 9 * 256)


def test_eyes_are_hidden_by_a_hole_over_most_of_both():
    hole = np.zeros((256, 256), bool)
    hole[100:145, 75:130] = True
    assert not eyes_hidden(hole)
    hole[100:145, 150:180] = True
    assert eyes_hidden(hole)


def test_the_mean_face_falls_on_the_template():
    eyes_and_mouth = recognition_frame().to_frame([(96.8, 122.0), (158.4, 122.1), (127.5, 191.9)])
    assert np.abs(eyes_and_mouth - [(38.3, 51.7), (73.5, 51.5), (56.1, 92.3)]).max() < 0.6


def test_a_recognizer_from_a_file(tmp_path, faces):
    class Mean(torch.nn.Module):
        def forward(self, x):
            return x.mean((2, 3))

    torch.jit.script(Mean()).save(str(tmp_path / "mean.pt"))
    embeddings = FaceRecognizer(tmp_path / "mean.pt")(faces.images.numpy())
    expected = np.array([228, 128, 128]) / np.linalg.norm([228, 128, 128])
    assert embeddings[0] == pytest.approx(expected, abs=1e-3)
    (tmp_path / "text.pt").write_text("no network")
    for name in ("text.pt", "missing.pt"):
        with pytest.raises(ValueError, match="recognition network .* cannot be loaded"):
            FaceRecognizer(tmp_path / name)
