"""Damaged files: each is read or refused with a sentence, within seconds. `pytest --fuzz 1000` tries more."""

import io
import random
import time
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from faceinpaint.photos import Photo, read_mask

SECONDS = 10
KINDS = [
    ("JPEG", "RGB", {}),
    ("JPEG", "L", {"progressive": True}),
    ("JPEG", "CMYK", {}),
    ("PNG", "RGBA", {}),
    ("PNG", "P", {}),
    ("PNG", "I;16", {}),
    ("WEBP", "RGB", {}),
    ("TIFF", "RGB", {"compression": "tiff_lzw"}),
    ("TIFF", "L", {"compression": "jpeg"}),
    ("HEIF", "RGB", {}),
    ("AVIF", "RGB", {}),
    ("BMP", "RGB", {}),
]
SUFFIXES = [".jpg", ".png", ".webp", ".tif", ".heic", ".avif", ".txt"]  # the right one or a wrong one


def whole_files():
    y, x = np.mgrid[:80, :100]
    picture = Image.fromarray(np.stack([2 * x, 3 * y, x + y], 2).astype(np.uint8))
    for format, mode, options in KINDS:
        deep = Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)
        file = io.BytesIO()
        (deep if mode == "I;16" else picture.convert(mode)).save(file, format, **options)
        yield file.getvalue()


def damage(data, rng):
    """Cut a file off, or overwrite some of its bytes, most often near its start."""
    if rng.random() < 0.3:
        return data[: rng.randrange(len(data))]
    data = bytearray(data)
    for _ in range(rng.choice((1, 3, 10, 50))):
        data[rng.randrange(min(len(data), rng.choice((60, 400, len(data)))))] = rng.randrange(256)
    return bytes(data)


def read_or_refuse(read, path):
    """True where the file was read, False where it was refused as it should be."""
    started = time.monotonic()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read(path)
        return True
    except ValueError as error:
        assert str(error).endswith(".") and "Traceback" not in str(error)
        return False
    finally:
        assert time.monotonic() - started < SECONDS


def test_damaged_files_are_read_or_refused_with_a_sentence(request, tmp_path):
    rng = random.Random(0)
    files = list(whole_files())
    outcomes = []
    for _ in range(request.config.getoption("--fuzz")):
        path = tmp_path / f"file{rng.choice(SUFFIXES)}"
        path.write_bytes(damage(rng.choice(files), rng))
        outcomes.append(read_or_refuse(rng.choice((lambda file: Photo.open(file).rgb, read_mask)), path))
    assert 0.05 < np.mean(outcomes) < 0.95


@pytest.mark.parametrize("side", [8_000, 60_000])
def test_a_bomb_is_refused_before_it_goes_off(tmp_path, side):
    """A small PNG whose header tells of a huge picture."""
    file = io.BytesIO()
    Image.new("L", (16, 16)).save(file, "PNG")
    data = bytearray(file.getvalue())
    data[16:24] = side.to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    (tmp_path / "bomb.png").write_bytes(data)
    assert not read_or_refuse(Photo.open, tmp_path / "bomb.png")
    with pytest.raises(ValueError, match="megapixels"):
        Photo.open(tmp_path / "bomb.png")
