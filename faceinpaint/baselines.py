"""What a user would pick instead: the classical inpainting methods of OpenCV, on the same input."""

import math

import cv2
import numpy as np

_MOST_HIDDEN = 500_000
"""Pixels of a hole that `fill_plainly` fills at the picture's own size."""

_RADIUS = 3
"""How far around a pixel known ones are averaged, in pixels."""


def telea(image, mask):
    """Fill a hole by the fast marching method (Telea 2004).

    Args:
        image: H x W x 3 uint8 RGB. What it holds inside the hole is never read.
        mask: H x W bool, true where the picture is to be filled.

    Returns:
        H x W x 3 uint8 RGB; the known pixels are identical to the input's.

    Raises:
        ValueError: the mask is not of the picture's size.
    """
    return _inpaint(image, mask, cv2.INPAINT_TELEA)


def navier_stokes(image, mask):
    """Fill a hole by carrying isophotes on into it (Bertalmio, Bertozzi and Sapiro 2001).

    Arguments, result and errors are those of `telea`.
    """
    return _inpaint(image, mask, cv2.INPAINT_NS)


def fill_plainly(image, mask):
    """`telea`, but a hole of more than half a megapixel as smooth as a smaller copy of the picture has it.

    The time that Telea's method takes grows with the pixels in the hole, 2.5 s a megapixel. Arguments, result
    and errors are those of `telea`.
    """
    shrink = math.ceil(math.sqrt(np.count_nonzero(mask) / _MOST_HIDDEN))
    if shrink <= 1:
        return telea(image, mask)
    height, width = mask.shape
    size = math.ceil(width / shrink), math.ceil(height / shrink)
    # Only the known pixels' share in each of the copy's counts; those without any are its hole.
    known = cv2.resize((~mask).astype(np.float32), size, interpolation=cv2.INTER_AREA)
    seen = np.where(mask[..., None], np.uint8(0), image)
    small = cv2.resize(seen, size, interpolation=cv2.INTER_AREA) / np.maximum(known, 1e-3)[..., None]
    filled = telea(small.round().clip(0, 255).astype(np.uint8), known < 0.1)
    large = cv2.resize(filled, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.where(mask[..., None], large, image)


BASELINES = {"Telea": telea, "Navier-Stokes": navier_stokes}
"""The methods by the name that tables and picture sheets give them."""


def _inpaint(image, mask, method):
    image, mask = np.asarray(image), np.asarray(mask, dtype=bool)
    if image.shape != (*mask.shape, 3):
        raise ValueError(f"The mask ({mask.shape}) must have the picture's height and width ({image.shape}).")
    # With nothing known, OpenCV hands the input back: the hidden pixels must not be in it.
    hidden = np.where(mask[..., None], np.uint8(128), image)
    return cv2.inpaint(hidden, mask.astype(np.uint8), _RADIUS, method)
