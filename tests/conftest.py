"""Fixtures that several test files share."""

import importlib.util
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from faceinpaint import FaceInpainter
from faceinpaint.checkpoint import SHIPPED, save_network
from faceinpaint.modeling.face_prior import FacePrior
from faceinpaint.modeling.face_upsampler import FaceUpsampler
from faceinpaint.modeling.frame_regressor import FrameRegressor
from faceinpaint.modeling.layout_generator import LayoutGenerator
from faceinpaint.modeling.texture_generator import TextureGenerator

SHARED = Path(__file__).parents[2] / "shared"
YUNET = Path(os.environ.get("FACEINPAINT_YUNET") or SHARED / "aids/yunet/face_detection_yunet_2023mar.onnx")


def pytest_addoption(parser):
    parser.addoption(
        "--fuzz", type=int, default=300, help="how many damaged files and malformed requests to try"
    )
    parser.addoption("--visitors", type=int, default=4, help="how many visitors come at once")
    parser.addoption("--load-seconds", type=float, default=8, help="how long they stay")


def _shake(network, seed=0):
    """Make every weight random, those too that start at zero, as if the network had been trained."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in network.parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        fan = parameter[0].numel() if parameter.ndim > 1 else 100
        parameter.data += 0.5 * noise / fan**0.5
    return network.eval().requires_grad_(False)


def _low_rank_pictures(count, size, rank=12, seed=0):
    """Smooth pictures in [-1, 1] that a linear model of `rank` components explains, plus a little grain."""
    generator = torch.Generator().manual_seed(seed)
    # The same parts for every seed: other seeds are other faces of the same kind.
    parts = torch.randn(rank, 3, 6, 6, generator=torch.Generator().manual_seed(123))
    parts = torch.nn.functional.interpolate(parts, size=(size, size), mode="bicubic")
    mixed = torch.einsum("nr,rchw->nchw", torch.randn(count, rank, generator=generator), parts) / rank**0.5
    return (0.4 * mixed + 0.02 * torch.randn(mixed.shape, generator=generator)).clamp(-1, 1)


@pytest.fixture(scope="session")
def app():
    """The module app.py, which starts nothing when it is imported."""
    spec = importlib.util.spec_from_file_location("app", Path(__file__).parents[1] / "app.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["app"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def shake():
    """The function `_shake`."""
    return _shake


@pytest.fixture(scope="session")
def low_rank_pictures():
    """The function `_low_rank_pictures`."""
    return _low_rank_pictures


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """A folder of networks of the shipped sizes with random weights."""
    folder = tmp_path_factory.mktemp("checkpoint")
    prior = FacePrior()
    prior.fit(_low_rank_pictures(400, prior.size))
    save_network(folder, "face_prior", prior, {})
    # Untrained it leaves faces where they are.
    save_network(folder, "frame_regressor", FrameRegressor(), {})
    torch.manual_seed(0)
    save_network(folder, "layout_generator", _shake(LayoutGenerator()), {})
    save_network(folder, "texture_generator", _shake(TextureGenerator()), {})
    # Untrained it enlarges as plain interpolation does.
    save_network(folder, "face_upsampler", FaceUpsampler(), {})
    return folder


@pytest.fixture(scope="session")
def inpainter(checkpoint):
    """A `FaceInpainter` with random weights and without a face detector."""
    inpainter = FaceInpainter.from_pretrained(checkpoint, device="cpu")
    inpainter.detector = None
    return inpainter


@pytest.fixture(scope="session")
def shipped():
    """The `FaceInpainter` with the trained weights."""
    if not (SHIPPED / "texture_generator.safetensors").is_file():
        pytest.skip("the trained weights are not in checkpoints/")
    with pytest.MonkeyPatch.context() as patch:
        # Nothing is downloaded by a test; without the detector faces are found by Stage 1.
        patch.setenv("FACEINPAINT_YUNET", str(YUNET))
        inpainter = FaceInpainter.from_pretrained(device="cpu")
        assert inpainter.detector is None or YUNET.is_file()
        return inpainter


@pytest.fixture
def photo():
    """An H x W x 3 uint8 picture of colour gradients and grain, 256 x 256."""
    y, x = np.mgrid[:256, :256]
    grain = np.random.default_rng(0).integers(0, 40, (256, 256, 3))
    return (np.stack([x * 0.8, y * 0.8, (x + y) * 0.4], 2) + grain).astype(np.uint8)


@pytest.fixture
def hole():
    """A 256 x 256 bool mask, a box off the centre."""
    mask = np.zeros((256, 256), bool)
    mask[90:190, 60:170] = True
    return mask
