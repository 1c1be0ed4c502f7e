"""Pictures as the networks take and give them."""

import torch


def as_images(pictures):
    """N x H x W x 3 uint8 tensor as N x 3 x H x W in [-1, 1]."""
    return pictures.permute(0, 3, 1, 2).to(torch.float32) / 127.5 - 1


def as_pictures(images):
    """N x 3 x H x W in [-1, 1] as an array, N x H x W x 3 uint8."""
    return ((images.float().clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()
