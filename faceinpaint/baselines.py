"""What a user would pick instead: the classical inpainting methods of OpenCV, on the same input."""

import cv2
import numpy as np


def telea(image, mask, radius=3):
    """Fill a hole by the fast marching method (Telea 2004).

    Args:
        image: H x W x 3 uint8 RGB. What it holds inside the hole is never read.
        mask: H x W bool, true where the picture is to be filled.
        radius: how far around a pixel known ones are averaged, in pixels.

    Returns:
        H x W x 3 uint8 RGB; the known pixels are identical to the input's.

    Raises:
        ValueError: the mask is not of the picture's size.
    """
    return _inpaint(image, mask, radius, cv2.INPAINT_TELEA)


def navier_stokes(image, mask):
    """Fill a hole by carrying isophotes on into it (Bertalmio, Bertozzi and Sapiro 2001), radius 3 pixels.

    Arguments, result and errors are those of `telea`.
    """
    return _inpaint(image, mask, 3, cv2.INPAINT_NS)


BASELINES = {"Telea": telea, "Navier-Stokes": navier_stokes}
"""The methods by the name that tables and picture sheets give them."""


def _inpaint(image, mask, radius, method):
    image, mask = np.asarray(image), np.asarray(mask, dtype=bool)
    if image.shape != (*mask.shape, 3):
        raise ValueError(f"The mask ({mask.shape}) must have the picture's height and width ({image.shape}).")
    # With nothing known, OpenCV hands the input back: the hidden pixels must not be in it.
    hidden = np.where(mask[..., None], np.uint8(128), image)
    return cv2.inpaint(hidden, mask.astype(np.uint8), radius, method)
