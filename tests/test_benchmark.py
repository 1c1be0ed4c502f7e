import math
import re

import numpy as np
import pytest
from PIL import Image

from faceinpaint import latency
from faceinpaint.__main__ import main
from faceinpaint.alignment import FaceFrame, warp_to_frame
from faceinpaint.benchmark import edge_ratio, enlarge_face, place_face
from faceinpaint.modeling.face_upsampler import FaceUpsampler
from faceinpaint.modeling.frame_regressor import FrameRegressor
from faceinpaint.modeling.layout_generator import LayoutGenerator
from faceinpaint.modeling.texture_generator import TextureGenerator
from faceinpaint.pipeline import FaceInpainter


@pytest.fixture
def faces(low_rank_pictures):
    return ((low_rank_pictures(3, 256).permute(0, 2, 3, 1) + 1) * 127.5).byte().numpy()


def test_the_true_frame_brings_the_face_back(faces):
    holes = 0
    for seed in range(5):
        photo, hole, truth = place_face(faces, 0, np.random.default_rng(seed))
        assert 59 < truth.side < 1501
        assert photo.shape[:2] == hole.shape
        holes += hole.any()
        aligned, unknown = warp_to_frame(photo, hole, truth)
        middle = np.zeros((256, 256), bool)
        middle[40:-40, 40:-40] = True
        assert not unknown[middle].any() or hole.any()
        error = abs(aligned.astype(int) - faces[0])[middle & ~unknown]
        assert error.mean() < 12
    assert holes < 5


def test_a_frame_off_by_a_tenth_of_the_distance_between_the_eyes():
    truth = FaceFrame.square(300, 200, 512)
    assert truth.apart(truth) < 1e-9
    off = FaceFrame.square(300 + 2 * 6.16, 200, 512)
    assert math.isclose(off.apart(truth), 0.1, rel_tol=1e-3)


def test_an_edge_shows_in_the_ratio():
    rng = np.random.default_rng(0)
    picture = rng.integers(100, 120, (200, 200, 3)).astype(np.uint8)
    hole = np.zeros((200, 200), bool)
    hole[50:150, 60:130] = True
    assert abs(edge_ratio(picture, hole) - 1) < 0.1
    assert edge_ratio(np.where(hole[..., None], picture + 30, picture).astype(np.uint8), hole) > 3


def test_an_enlarged_face_has_grain(faces):
    photo = enlarge_face(faces[0], np.random.default_rng(0))
    assert 380 <= len(photo) <= 1024
    assert np.diff(photo.astype(int), axis=0).std() > 1.5


def test_the_commands_print_their_figures(tmp_path, faces, inpainter, monkeypatch, capsys):
    monkeypatch.setattr(FaceInpainter, "from_pretrained", classmethod(lambda cls, source: inpainter))
    folder = tmp_path / "faces"
    folder.mkdir()
    Image.fromarray(faces[0]).save(folder / "face.webp")
    sheet = tmp_path / "sheet.png"
    assert main(["benchmark", "seam", str(folder), "--sheet", str(sheet)]) == 0
    shown = capsys.readouterr().out
    assert all(f"{name}: the gradient" in shown for name in ("bilinear", "put back", "truth"))
    assert Image.open(sheet).size == (4 * 320, 320)
    monkeypatch.setattr(inpainter, "_parse", lambda pictures, unknown: np.zeros(unknown.shape, np.uint8))
    assert main(["benchmark", "alignment", str(folder)]) == 0
    assert "layout: of 1 frames 0.0% within 6%" in capsys.readouterr().out
    assert main(["benchmark", "seam", str(folder), "--sheet", "sheet.docx"]) == 2
    assert "needs the name of a picture" in capsys.readouterr().err


def test_latency_is_measured_beside_a_yardstick(inpainter, checkpoint, monkeypatch, capsys):
    inpainters = {str(checkpoint): inpainter}
    # Random weights find no face.
    monkeypatch.setattr(inpainter, "locate", lambda *photo, align=True: [FaceFrame.square(226, 120, 180)])
    monkeypatch.setattr(FaceInpainter, "from_pretrained", classmethod(lambda cls, source: inpainters[source]))
    assert main(["benchmark", "latency", "--repeats", "2", "--checkpoint", str(checkpoint)]) == 0
    lines = capsys.readouterr().out.splitlines()
    (loading,) = (re.findall(r"\d+\.\d+", line) for line in lines if line.startswith("import torch"))
    assert len(loading) == 3 and all(float(seconds) > 0 for seconds in loading)
    rows = {line[:42].strip(): line[42:].split() for line in lines if " ms" in line}
    assert {"restore the photo", "render the photo again", "Telea", "Navier-Stokes"} < set(rows)
    assert next(iter(rows.values()))[-1] == "1.00"
    median, _, high, _, _ = rows["restore an aligned face"]
    assert 0 < float(median) <= float(high)


def test_the_networks_cost_is_counted_and_within_the_budget():
    stages = (LayoutGenerator(use_prior=False), TextureGenerator(use_prior=False))
    stages = FaceInpainter(None, FrameRegressor(), *stages, FaceUpsampler(), device="cpu")
    first, second, upsampler = latency.gflop(stages)
    # With the second look of a layout, at 176 pixels.
    assert 5 < first + second < 28
    assert 1 < upsampler < 12
    assert latency.faces_per_second(stages, batch=2, repeats=1) > 0
