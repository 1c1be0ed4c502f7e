"""A face at twice its size."""

import torch.nn.functional as F
from torch import nn

from .layers import conv3x3

FACTOR = 2
"""How much larger the face comes out."""


class _Block(nn.Module):
    """Two 3 x 3 convolutions around a skip, without normalisation (Lim et al. 2017)."""

    def __init__(self, channels):
        super().__init__()
        self.conv1 = conv3x3(channels, channels)
        self.conv2 = conv3x3(channels, channels)
        nn.init.zeros_(self.conv2.weight)
        nn.init.zeros_(self.conv2.bias)

    def forward(self, x):
        h = F.leaky_relu(self.conv1(F.leaky_relu(x, 0.2)), 0.2)
        return x + self.conv2(h)


class FaceUpsampler(nn.Module):
    """A small residual network that adds to the bicubically enlarged picture what that lacks.

    It works at half the picture's size: pixels are brought there and back by sub-pixel convolution (Shi et
    al. 2016).

    Args:
        channels: width of the blocks.
        depth: number of blocks.
    """

    def __init__(self, channels=64, depth=4):
        super().__init__()
        self.head = nn.Sequential(nn.PixelUnshuffle(2), conv3x3(4 * 3, channels))
        self.blocks = nn.Sequential(*[_Block(channels) for _ in range(depth)])
        self.tail = nn.Sequential(conv3x3(channels, 3 * (2 * FACTOR) ** 2), nn.PixelShuffle(2 * FACTOR))
        nn.init.zeros_(self.tail[0].weight)
        nn.init.zeros_(self.tail[0].bias)

    def forward(self, image):
        """N x 3 x H x W in [-1, 1], H and W even, to N x 3 x 2H x 2W, roughly in [-1, 1]."""
        large = F.interpolate(image.float(), scale_factor=FACTOR, mode="bicubic", align_corners=False)
        return large + self.tail(self.blocks(self.head(image))).float()
