"""Sample sheets: pictures in columns, one row for each stage of the work."""

import numpy as np
from PIL import Image

from ..semantics import PALETTE


def layout_rows(layouts):
    """N x H x W class ids as N x H x W x 3 uint8 in the classes' colours."""
    return PALETTE[layouts.cpu().numpy()]


def stack_rows(*rows):
    """One PIL picture of rows, each N x H x W x 3 uint8, N pictures side by side."""
    return Image.fromarray(np.concatenate([np.concatenate(list(row), 1) for row in rows], 0))
