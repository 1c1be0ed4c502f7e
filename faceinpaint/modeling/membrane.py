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
    share = _halve(known)
    coarse = membrane(_halve(values) / share.clamp(min=0.25), (share == 0).to(hole.dtype))
    filled = values + hole * F.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=False)
    # One step of relaxation takes the squares of the coarser level away.
    return values + hole * _mean_of_nine(F.pad(filled, (1, 1, 1, 1), mode="replicate"))


# Both written out: on a CPU PyTorch's pooling of few channels takes about ten times as long.
def _halve(x):
    rows = x[..., ::2, :] + x[..., 1::2, :]
    return (rows[..., ::2] + rows[..., 1::2]) / 4


def _mean_of_nine(x):
    rows = x[..., :-2, :] + x[..., 1:-1, :] + x[..., 2:, :]
    return (rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]) / 9
