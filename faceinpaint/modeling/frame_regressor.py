"""Where a face lies in a picture that shows it roughly aligned."""

import torch
import torch.nn.functional as F
from torch import nn

from .layers import ResidualBlock, conv3x3

SEEN = 0.75
"""The share of a picture's side that is looked at, in its middle.

Training pictures end at their frame; a network that saw where would go by that, and by nothing in a photo.
"""


class FrameRegressor(nn.Module):
    """A small CNN that tells by which similarity a roughly aligned face is off the FFHQ frame.

    Places are complex numbers x + iy, x and y from -1 at the picture's left and top edge to 1 at its right
    and bottom edge.

    Args:
        channels: widths at 1/4, 1/8, 1/16 and 1/32 of `size`.
        width: width of the hidden layer.
        size: side in pixels that pictures are shrunk to before their middle is looked at.
    """

    def __init__(self, channels=(48, 96, 160, 192), width=128, size=128):
        super().__init__()
        self.size = size
        c1, c2, c3, c4 = channels
        self.trunk = nn.Sequential(
            nn.PixelUnshuffle(4),
            conv3x3(4 * 16, c1, bias=False),
            nn.BatchNorm2d(c1),
            nn.ReLU(),
            ResidualBlock(c1, c2, stride=2),
            ResidualBlock(c2, c3, stride=2),
            ResidualBlock(c3, c4, stride=2),
        )
        self.head = nn.Sequential(
            nn.Flatten(),
            nn.Linear(c4 * (round(SEEN * size) // 32) ** 2, width),
            nn.ReLU(),
            nn.Linear(width, 4),
        )
        nn.init.zeros_(self.head[-1].weight)
        nn.init.zeros_(self.head[-1].bias)

    def forward(self, image, mask):
        """Tell where each place of the picture lies in the frame.

        Args:
            image: N x 3 x H x W in [-1, 1], H and W a multiple of `size`; hidden pixels are not looked at.
            mask: N x 1 x H x W, 1 = unknown.

        Returns:
            Complex factors and offsets, N each: the place z lies at factor * z + offset in the frame.
        """
        edge = round((1 - SEEN) / 2 * image.shape[-1])
        x = torch.cat([image * (1 - mask), mask], 1)[..., edge:-edge, edge:-edge]
        x = F.avg_pool2d(x, image.shape[-1] // self.size)
        x = self.trunk(x.contiguous(memory_format=torch.channels_last))
        growth, angle, right, down = self.head(x.contiguous()).float().unbind(1)
        return torch.polar(growth.exp(), angle), torch.complex(right, down)
