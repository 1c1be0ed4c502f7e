"""Blocks that the networks are built from."""

import torch
import torch.nn.functional as F
from timm.layers import resample_abs_pos_embed
from timm.models.vision_transformer import Block
from torch import nn


def conv3x3(in_channels, out_channels, stride=1, bias=True):
    """A 3 x 3 convolution that keeps the size (or divides it by `stride`)."""
    return nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=bias)


def double(x):
    """Features at twice their height and width, bilinearly."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


class ResidualBlock(nn.Module):
    """Two batch-normalised 3 x 3 convolutions around a skip (He et al. 2016)."""

    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__()
        self.conv1 = conv3x3(in_channels, out_channels, stride, bias=False)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.conv2 = conv3x3(out_channels, out_channels, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.skip = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.skip = nn.Sequential(
                nn.AvgPool2d(stride) if stride != 1 else nn.Identity(),
                nn.Conv2d(in_channels, out_channels, 1),
            )

    def forward(self, x):
        """N x in x H x W to N x out x H/stride x W/stride."""
        h = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(h)) + self.skip(x))


class TransformerGrid(nn.Module):
    """Vision Transformer blocks (Dosovitskiy et al. 2021) over a feature map, with learned positions.

    Args:
        channels: width of the tokens.
        depth: number of blocks.
        heads: attention heads.
        grid: side of the grid that the positions are learnt for; other grids interpolate them.
        drop_path: how often training skips a block's branch for a sample (Huang et al. 2016).
    """

    def __init__(self, channels, depth, heads, grid, drop_path=0.0):
        super().__init__()
        self.grid = grid
        self.positions = nn.Parameter(0.02 * torch.randn(1, grid * grid, channels))
        self.blocks = nn.Sequential(
            *[Block(channels, heads, qkv_bias=True, drop_path=drop_path) for _ in range(depth)]
        )
        for block in self.blocks:
            # In bfloat16 on some CPUs PyTorch's fused kernel takes twice as long as the products written out;
            # `precision.settle` measures.
            block.attn.fused_attn = False
        self.norm = nn.LayerNorm(channels)

    def forward(self, x):
        """N x channels x H x W to the same shape."""
        height, width = x.shape[-2:]
        positions = self.positions
        if (height, width) != (self.grid, self.grid):
            positions = resample_abs_pos_embed(
                positions, [height, width], [self.grid, self.grid], num_prefix_tokens=0
            )
        tokens = self.norm(self.blocks(x.flatten(2).mT + positions))
        return tokens.mT.unflatten(2, (height, width)).contiguous(memory_format=torch.channels_last)
