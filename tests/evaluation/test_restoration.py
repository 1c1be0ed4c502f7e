import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from evaluation_fakes import FakeLpips
from PIL import Image

from faceinpaint.datasets import UNLABELLED, Faces
from faceinpaint.evaluation.restoration import OURS, evaluate, format_table, sheet

SIZE = 48
RATIOS = (0.05, 0.15, 0.25, 0.25, 0.35, 0.45, 0.55)


def make_mask(ratio):
    """A hole in the lower part of the picture, of about this ratio."""
    mask = torch.zeros(SIZE, SIZE, dtype=torch.bool)
    mask[SIZE - round(ratio * SIZE) :] = True
    return mask


MASKS = torch.stack([make_mask(ratio) for ratio in RATIOS])


@pytest.fixture
def faces():
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (5, SIZE, SIZE, 3), generator=generator, dtype=torch.uint8)
    labels = torch.randint(0, 19, (5, SIZE, SIZE), generator=generator, dtype=torch.uint8)
    return Faces([f"face{index}" for index in range(5)], images, labels, torch.ones_like(labels).bool())


class FakeInpainter:
    """Knows the faces by their first row and gives the truth back; for `wrong` ones grey and background."""

    weights_sha256 = "0123456789abcdef" * 4

    def __init__(self, faces, wrong=()):
        self.faces, self.wrong = faces, wrong
        self.seen = []

    def __call__(self, image, mask, align=True, seed=0):
        assert not align
        self.seen.append((image, mask, seed))
        index = self._find(image)
        restored = image if index in self.wrong else self.faces.images[index].numpy()
        layout = self.predict_layout(image, mask, align=False)
        return SimpleNamespace(image=Image.fromarray(restored), layout=layout)

    def predict_layout(self, image, mask, align=True):
        assert not align
        index = self._find(image)
        return np.zeros((SIZE, SIZE), np.uint8) if index in self.wrong else self.faces.labels[index].numpy()

    def _find(self, image):
        return int(np.argmax([(face[0].numpy() == image[0]).all() for face in self.faces.images]))


class TestEvaluate:
    def test_the_truth_is_perfect(self, faces):
        results = evaluate(FakeInpainter(faces), faces, MASKS, FakeLpips())
        assert list(results["bands"]) == ["0-20%", "20-40%", "40-60%"]
        assert list(results["tenths"]) == ["0-10%", "10-20%", "20-30%", "30-40%", "40-50%", "50-60%"]
        assert (results["samples"], results["faces"]) == (30, 5)
        assert results["weights_sha256"] == FakeInpainter.weights_sha256
        for band in results["bands"].values():
            assert band["samples"] == 10
            assert list(band["methods"]) == [OURS, "Telea", "Navier-Stokes"]
            ours, telea = band["methods"][OURS], band["methods"]["Telea"]
            assert ours["psnr"] == {"mean": math.inf, "half_width": None}
            assert ours["ssim"]["mean"] == pytest.approx(1)
            assert ours["lpips"] == {"mean": 0, "half_width": 0}
            assert ours["lpips_of_telea"] == 0
            assert telea["lpips_of_telea"] == 1
            assert 0 < telea["psnr"]["mean"] < 40
            assert band["layout"] == {"accuracy": 1, "mean_iou": 1}
        assert results["parser"]["accuracy"] == results["parser"]["mean_iou"] == 1
        assert len(results["parser"]["iou"]) == 19

    def test_means_and_intervals_are_over_pictures(self, faces):
        masks = MASKS[4:5]
        lpips = FakeLpips()
        results = evaluate(FakeInpainter(faces, wrong=(1, 3)), faces, masks, lpips)
        hidden = np.where(masks[0].numpy()[..., None], 128, faces.images.numpy())
        expected = lpips(hidden.astype(np.uint8), faces.images.numpy())
        expected[[0, 2, 4]] = 0
        figure = results["tenths"]["30-40%"]["methods"][OURS]["lpips"]
        assert figure["mean"] == pytest.approx(expected.mean())
        assert figure["half_width"] == pytest.approx(1.96 * expected.std(ddof=1) / math.sqrt(5))
        # Two faces of five read as background everywhere, of which 1 in 19 pixels is.
        assert results["parser"]["accuracy"] == pytest.approx(0.6 + 0.4 / 19, abs=0.02)
        assert results["bands"]["20-40%"]["layout"]["accuracy"] == pytest.approx(0.6 + 0.4 / 19, abs=0.03)

    @pytest.mark.parametrize("wrong_inside", [True, False])
    def test_layouts_are_measured_inside_the_hole(self, faces, wrong_inside, monkeypatch):
        inpainter = FakeInpainter(faces)
        read = inpainter.predict_layout

        def predict_layout(image, mask, align):
            layout = read(image, mask, align)
            return np.where(mask == wrong_inside, (layout + 1) % 19, layout) if mask.any() else layout

        monkeypatch.setattr(inpainter, "predict_layout", predict_layout)
        results = evaluate(inpainter, faces, MASKS, FakeLpips())
        assert {band["layout"]["accuracy"] for band in results["bands"].values()} == {float(not wrong_inside)}
        assert results["parser"]["accuracy"] == 1

    def test_the_inpainter_never_sees_what_is_hidden(self, faces):
        inpainter = FakeInpainter(faces)
        evaluate(inpainter, faces, MASKS, FakeLpips(), seed=7)
        assert len(inpainter.seen) == 30
        for image, mask, seed in inpainter.seen:
            assert (image[mask] == 128).all()
            assert seed == 7

    def test_lpips_works_on_batches(self, faces):
        lpips = FakeLpips()
        evaluate(FakeInpainter(faces), faces, MASKS, lpips)
        assert lpips.batches == [16, 16, 16, 14, 14, 14]

    def test_faces_without_labels(self, faces):
        faces.labels.fill_(UNLABELLED)
        results = evaluate(FakeInpainter(faces, wrong=range(5)), faces, MASKS, FakeLpips())
        assert results["bands"]["0-20%"]["layout"] == {"accuracy": None, "mean_iou": None}
        assert results["parser"] == {"accuracy": None, "mean_iou": None, "iou": None}
        assert "accuracy –" in format_table(results)

    def test_a_single_picture_has_no_interval(self, faces):
        faces = Faces(faces.keys[:1], faces.images[:1], faces.labels[:1], faces.valid[:1])
        results = evaluate(FakeInpainter(faces), faces, MASKS[:1], FakeLpips())
        assert results["tenths"]["0-10%"]["methods"]["Telea"]["ssim"]["half_width"] is None
        assert "±" not in format_table(results)


def test_table(faces):
    lines = format_table(evaluate(FakeInpainter(faces), faces, MASKS, FakeLpips())).splitlines()
    assert len(lines) == 2 + 3 * 3 + 2
    assert "LPIPS fake" in lines[0]
    assert {line.count("|") for line in lines[:11]} == {9}
    assert lines[2] == "| 0-20% | faceinpaint | ∞ | 1.000 ± 0.000 | 0.000 ± 0.000 | 0.00 | 1.000 | 1.000 |"
    assert lines[3].startswith("| 0-20% | Telea | ")
    assert lines[3].endswith(" | 1.00 |  |  |")
    assert "accuracy 1.000, mean IoU over the classes present 1.000" in lines[-1]


def test_sheet(faces):
    picture = np.asarray(sheet(FakeInpainter(faces), faces, MASKS))
    header = picture.shape[0] - 6 * SIZE
    assert picture.shape[1] == 6 * SIZE
    # Row 3 shows face 3 under a mask of 30-40%; the third and fourth columns are result and truth.
    row = picture[header + 3 * SIZE : header + 4 * SIZE].reshape(SIZE, 6, SIZE, 3).transpose(1, 0, 2, 3)
    truth, hole = faces.images[3].numpy(), MASKS[4].numpy()
    assert (row[2] == truth).all()
    assert (row[3] == truth).all()
    assert (row[0][hole] == 255).all()
    for column in (0, 4, 5):
        assert (row[column][~hole] == truth[~hole]).all()
