from itertools import pairwise

import pytest
import torch
from safetensors.torch import save_file

from faceinpaint.training.losses import Vgg19Features


@pytest.fixture(scope="session")
def untrained_vgg(tmp_path_factory):
    """A safetensors file of VGG19 with random weights, which keep activations about as large."""
    generator = torch.Generator().manual_seed(0)
    tensors = {"preprocess.weight": torch.eye(3)[..., None, None], "preprocess.bias": torch.zeros(3)}
    for name, (a, b) in zip(Vgg19Features.names, pairwise((3, 64, 64, 128, 128, 256)), strict=True):
        tensors[f"{name}.weight"] = torch.randn(b, a, 3, 3, generator=generator) / (4.5 * a) ** 0.5
        tensors[f"{name}.bias"] = torch.zeros(b)
    path = tmp_path_factory.mktemp("vgg") / "vgg.safetensors"
    save_file(tensors, path)
    return str(path)
