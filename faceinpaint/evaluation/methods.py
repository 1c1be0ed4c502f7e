"""The inpainter under test and the classical methods, on the same input."""

import numpy as np

from ..baselines import BASELINES
from .holes import hide

OURS = "faceinpaint"
"""The name of the inpainter under test in results, beside the names in `BASELINES`."""


def restore(inpainter, image, hole, seed=0, baselines=tuple(BASELINES)):
    """Restore one face by every method.

    Args:
        inpainter: a `FaceInpainter`, or anything with its call.
        image: the true face, H x W x 3 uint8.
        hole: H x W bool; what it hides is hidden from all methods.
        seed: of the inpainter.
        baselines: which of `BASELINES` to run as well.

    Returns:
        Dict of `OURS` and the baselines to H x W x 3 uint8 pictures, and the inpainter's layout.
    """
    hidden = hide(image, hole)
    result = inpainter(hidden, hole, align=False, seed=seed)
    pictures = {OURS: np.asarray(result.image.convert("RGB"))}
    pictures.update({name: BASELINES[name](hidden, hole) for name in baselines})
    return pictures, result.layout
