"""Sample sheets: pictures in columns, one row for each stage of the work."""

import numpy as np
import torch
from PIL import Image

from ..semantics import PALETTE


def photo_rows(images):
    """N x 3 x H x W in [-1, 1] as N x H x W x 3 uint8."""
    return ((images.float().clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()


def layout_rows(layouts):
    """N x H x W class ids as N x H x W x 3 uint8 in the classes' colours."""
    return PALETTE[layouts.cpu().numpy()]


def stack_rows(*rows):
    """One PIL picture of rows, each N x H x W x 3 uint8, N pictures side by side."""
    return Image.fromarray(np.concatenate([np.concatenate(list(row), 1) for row in rows], 0))


def as_images(pictures):
    """N x H x W x 3 uint8 tensor as N x 3 x H x W in [-1, 1]."""
    return pictures.permute(0, 3, 1, 2).to(torch.float32) / 127.5 - 1
