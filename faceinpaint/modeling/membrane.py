"""A smooth continuation of the visible into the hole, coarse to fine."""

import torch.nn.functional as F


def membrane(values, hole):
    """Continue known values smoothly into the hole: push-pull (Gortler et al. 1996, section 3.4), relaxed.

    Args:
        values: N x C x H x W; what is hidden is not looked at.
        hole: N x 1 x H x W, 1 = hole.

    Returns:
        N x C x H x W: `values` where they are known, zeros where nothing is.
    """
    known = 1 - hole
    values = values * known
    height, width = values.shape[-2:]
    if height % 2 or width % 2 or min(height, width) <= 2:
        mean = values.sum((2, 3), keepdim=True) / known.sum((2, 3), keepdim=True).clamp(min=1)
        return values + hole * mean
    share = F.avg_pool2d(known, 2)
    coarse = membrane(F.avg_pool2d(values, 2) / share.clamp(min=0.25), (share == 0).to(hole.dtype))
    filled = values + hole * F.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=False)
    # One step of relaxation takes the squares of the coarser level away.
    return values + hole * F.avg_pool2d(F.pad(filled, (1, 1, 1, 1), mode="replicate"), 3, 1)
