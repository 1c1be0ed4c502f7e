"""Faces, label maps and hole masks read into memory from WebDataset tars or folders of pictures.

A face is `KEY.webp` (or jpg, png, ...); beside it may stand `KEY.png`, its label map (8 bit, one channel,
CelebAMask-HQ ids), and `KEY.valid.png` (white = real pixels; the rest is padding that must not be learnt).
A folder's or tar's sub-folders are part of the key. A `KEY.png` is a label map when it has one channel and a
face when it has colours; then its label map stands in another folder or tar.
"""

import io
import tarfile
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

UNLABELLED = 255
"""Stands in `Faces.labels` for a pixel whose class is not known."""

PHOTO_SUFFIXES = (".webp", ".jpg", ".jpeg", ".png", ".bmp")


@dataclass
class Faces:
    """Aligned faces, decoded once.

    Attributes:
        keys: N names.
        images: N x size x size x 3 uint8, RGB.
        labels: N x size x size uint8, class ids 0..18 or `UNLABELLED`.
        valid: N x size x size bool, False where the picture is padding.
    """

    keys: list
    images: torch.Tensor
    labels: torch.Tensor
    valid: torch.Tensor

    def __len__(self):
        return len(self.keys)

    @property
    def labelled(self):
        """N bool: which faces have a label map."""
        # Face by face: the answers for all pixels of all faces would take as much memory as their labels.
        return torch.stack([(label != UNLABELLED).any() for label in self.labels])


def read_faces(paths, size=256, limit=None, progress=False):
    """Read all faces under `paths` at `size` x `size` pixels.

    Args:
        paths: one path or several: a tar, a folder of tars, or a folder of pictures. A label map in a later
            path replaces that of the same key in an earlier one.
        size: side of the square pictures in memory, in pixels.
        limit: keep only the first `limit` faces.
        progress: show a progress bar.

    Raises:
        ValueError: a path that does not exist, or no face in any of them.
    """
    members = defaultdict(dict)
    for name, read in _pictures(paths):
        key, _, suffix = name.rpartition(".")
        kind = _kind_of_png(read) if suffix.lower() == "png" else "photo"
        if key.endswith(".valid"):
            key, kind = key.removesuffix(".valid"), "valid"
        members[key][kind] = read
    jobs = [(key, parts) for key, parts in members.items() if {"photo", "photo.png"} & parts.keys()][:limit]
    if not jobs:
        raise ValueError(f"No face pictures were found in {paths}.")

    images = torch.empty(len(jobs), size, size, 3, dtype=torch.uint8)
    labels = torch.full((len(jobs), size, size), UNLABELLED, dtype=torch.uint8)
    valid = torch.ones(len(jobs), size, size, dtype=torch.bool)

    def decode(index):
        key, parts = jobs[index]
        if {"photo", "photo.png"} <= parts.keys():
            raise ValueError(f"{key}.png stands beside a photo but is in colour: it is no label map.")
        photo = parts.get("photo") or parts["photo.png"]
        images[index] = _to_tensor(photo().convert("RGB"), size, Image.Resampling.LANCZOS)
        if "labels" in parts:
            labels[index] = _to_tensor(parts["labels"](), size, Image.Resampling.NEAREST)
        if "valid" in parts:
            valid[index] = _to_tensor(parts["valid"]().convert("L"), size, Image.Resampling.NEAREST) > 127

    with ThreadPoolExecutor() as pool:
        list(
            tqdm(
                pool.map(decode, range(len(jobs))),
                total=len(jobs),
                desc="decoding",
                disable=None if progress else True,
                leave=False,
            )
        )
    return Faces([key for key, _ in jobs], images, labels, valid)


def read_masks(paths, size=256):
    """Read hole masks (white = hole) from tars or folders: (names, N x size x size bool tensor)."""
    names, masks = [], []
    for name, read in _pictures(paths):
        names.append(name)
        masks.append(_to_tensor(read().convert("L"), size, Image.Resampling.NEAREST) > 127)
    if not masks:
        raise ValueError(f"No mask pictures were found in {paths}.")
    return names, torch.stack(masks)


def write_label_tar(path, keys, labels):
    """Write label maps (N x H x W uint8 tensor) as `KEY.png` into a tar that `read_faces` understands."""
    with tarfile.open(path, "w") as tar:
        for key, layout in zip(keys, labels, strict=True):
            buffer = io.BytesIO()
            Image.fromarray(layout.cpu().numpy()).save(buffer, format="png", optimize=True)
            entry = tarfile.TarInfo(f"{key}.png")
            entry.size = buffer.tell()
            buffer.seek(0)
            tar.addfile(entry, buffer)


def _pictures(paths):
    """Yield (name, function that opens the picture) for every picture under `paths`, sorted by name."""
    for path in [paths] if isinstance(paths, (str, Path)) else paths:
        path = Path(path)
        if not path.exists():
            raise ValueError(f"There is no file or folder {path}.")
        if path.is_file():
            yield from _tar_pictures(path)
            continue
        for tar in sorted(path.glob("*.tar")):
            yield from _tar_pictures(tar)
        for file in sorted(path.rglob("*")):
            if file.suffix.lower() in PHOTO_SUFFIXES:
                yield file.relative_to(path).as_posix(), partial(_open, file, file)


def _tar_pictures(path):
    try:
        with tarfile.open(path) as tar:
            for member in sorted(tar.getmembers(), key=lambda member: member.name):
                if member.isfile() and Path(member.name).suffix.lower() in PHOTO_SUFFIXES:
                    data = tar.extractfile(member).read()
                    yield member.name, partial(_open, f"{path}/{member.name}", data)
    except tarfile.TarError as error:
        raise ValueError(f"{path} is not a tar that can be read to its end.") from error


def _open(name, source, decode=True):
    """The picture in a file or in bytes; `name` is what an error calls it."""
    try:
        picture = Image.open(io.BytesIO(source) if isinstance(source, bytes) else source)
        if decode:
            picture.load()
    except (OSError, SyntaxError) as error:
        raise ValueError(f"{name} is not a picture that can be read to its end.") from error
    return picture


def _kind_of_png(read):
    return "labels" if read(decode=False).mode in ("L", "1", "I", "I;16") else "photo.png"


def _to_tensor(picture, size, resample):
    if picture.size != (size, size):
        picture = picture.resize((size, size), resample)
    return torch.from_numpy(np.array(picture))
