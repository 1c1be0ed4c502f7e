"""Networks to and from a folder or a Hub repository: NAME.safetensors and, beside it, NAME.json."""

import hashlib
import json
from pathlib import Path

import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from .modeling.face_prior import FacePrior
from .modeling.face_upsampler import FaceUpsampler
from .modeling.frame_regressor import FrameRegressor
from .modeling.layout_generator import LayoutGenerator
from .modeling.texture_generator import TextureGenerator

NETWORKS = {
    "face_prior": FacePrior,
    "frame_regressor": FrameRegressor,
    "layout_generator": LayoutGenerator,
    "texture_generator": TextureGenerator,
    "face_upsampler": FaceUpsampler,
}
"""The parts of a checkpoint by the name of their files."""

SHIPPED = Path(__file__).parent.parent / "checkpoints"


def save_network(folder, name, network, arguments):
    """Write a network's weights in half precision, and the arguments it was built with.

    Args:
        folder: where to; made if it is not there.
        name: a key of `NETWORKS`.
        network: the module.
        arguments: dict of its constructor's arguments.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        key: (value.half() if value.is_floating_point() else value).cpu().contiguous()
        for key, value in network.state_dict().items()
    }
    save_file(tensors, folder / f"{name}.safetensors")
    (folder / f"{name}.json").write_text(json.dumps(arguments, indent=2) + "\n")


def load_network(source, name):
    """Build a network and load its weights, in float32, ready for inference.

    Args:
        source: a folder, a Hub repo id such as "user/faceinpaint", or None for the shipped weights.
        name: a key of `NETWORKS`.

    Raises:
        ValueError: a file is missing or does not fit; the sentence names it.
    """
    config_path, weights_path = (find_file(source, f"{name}.{kind}") for kind in ("json", "safetensors"))
    try:
        network = NETWORKS[name](**json.loads(config_path.read_text()))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{config_path} does not describe a {name.replace('_', ' ')}: {error}") from error
    try:
        network.load_state_dict(load_file(weights_path))
    except (SafetensorError, RuntimeError) as error:
        raise ValueError(
            f"{weights_path} is damaged or does not hold the weights that {config_path.name} describes."
        ) from error
    return network.to(memory_format=torch.channels_last).eval().requires_grad_(False)


def find_file(source, name):
    """Path of the checkpoint file `name` in `source` (see `load_network`); ValueError if it is not there."""
    folder = SHIPPED if source is None else Path(source)
    if (folder / name).is_file():
        return folder / name
    if source is None and not folder.is_dir():
        raise ValueError(
            f"The shipped weights are not at {folder}, as a plain install leaves them behind: run in the "
            "project's folder, install it with pip install -e . or name another folder or a Hub repository."
        )
    if source is None or folder.is_dir():
        raise ValueError(f"The checkpoint file {folder / name} is missing.")
    try:
        return Path(hf_hub_download(str(source), name))
    except HFValidationError as error:
        raise ValueError(f"{source} is neither a folder nor the name of a Hub repository.") from error
    except (HfHubHTTPError, LocalEntryNotFoundError) as error:
        raise ValueError(f"The file {name} could not be had from the Hub repository {source}.") from error


def weights_sha256(source):
    """SHA-256, as hex digits, over the weights of all networks in `source` (see `load_network`)."""
    digest = hashlib.sha256()
    for name in NETWORKS:
        try:
            digest.update(find_file(source, f"{name}.safetensors").read_bytes())
        except ValueError:
            # Stages that were trained without the prior have none.
            if name != "face_prior":
                raise
    return digest.hexdigest()
