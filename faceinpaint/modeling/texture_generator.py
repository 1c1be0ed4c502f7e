"""Stage 2: the face's texture from its visible part and a layout (arXiv 2512.05039, on stage two)."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from ..semantics import CLASSES, NUM_CLASSES
from .inputs import start_of_face, with_mirror_image
from .layers import TransformerGrid, conv3x3, double

REACH = 16
"""How far in pixels the two finest scales carry anything, rounded up: 2 and 2 convolutions, 2 doublings."""

REACH_AT_QUARTER = 20
"""The same of the scale at 1/4: 4 convolutions, and the blur of what attention found."""

MATERIALS_BESIDE_FACE = (("background",), ("hair",), ("hat",), ("cloth", "necklace"))
"""Classes of one material, as far as attention goes; all others are of the face's."""

OTHER_MATERIAL = 2.0
"""By so much the logarithm of a key's weight is smaller where it is of another material than what looks.

A red wall next to the head once coloured a cheek. LPIPS of 64 validation faces: 0.0683 without, 0.0681 with
it; 0.0686 where the attention at 1/8 heeds it, too.
"""


class ContextualAttention(nn.Module):
    """Every position looks at the known ones: contextual attention (Yu et al. 2018) for any mask shape.

    A key's weight is proportional to the known share of its cell, so hidden cells are never looked at; beside
    them there is a learned key, which has little weight but where nothing is known. No parameter depends on
    the mask's shape.

    Args:
        channels: width of the feature map.
        width: width of queries, keys and values.
        heads: attention heads.
        cell: side of the square of positions that make one token.
    """

    def __init__(self, channels, width, heads, cell=1):
        super().__init__()
        self.heads = heads
        self.cell = cell
        self.fused_attn = False
        token = channels * cell * cell
        self.norm = nn.LayerNorm(token)
        self.query_key_value = nn.Linear(token, 3 * width)
        self.nothing_known = nn.Parameter(0.02 * torch.randn(2, width))
        self.output = nn.Linear(width, token)
        nn.init.zeros_(self.output.weight)

    def forward(self, x, mask):
        """Add to each position what it finds in the known ones.

        Args:
            x: N x channels x H x W features.
            mask: N x 1 x H' x W', 1 = hole, H' a multiple of H.

        Returns:
            Features of x's shape.
        """
        return self.look(x, mask)[0]

    def look(self, x, mask, region=None, tell=False, materials=None):
        """As `forward`, and where each token looked, the mean over heads.

        Args:
            x: as of `forward`.
            mask: likewise.
            region: box of the positions that look, as `region_around` says it, in pixels of the mask and in
                whole cells; None for all.
            tell: whether to tell where each token looked.
            materials: N x M x H/cell x W/cell, how much of each token is of which material; see
                `OTHER_MATERIAL`. None where tokens look at any.

        Returns:
            Features, and N x tokens x tokens weights, float32, from each token that is partly hidden to each
            known one, zeros from all others; None instead unless `tell`.
        """
        height, width = x.shape[-2:]
        step = mask.shape[-1] * self.cell // width
        cells = F.pixel_unshuffle(x, self.cell) if self.cell > 1 else x
        q, k, v = (
            self.query_key_value(self.norm(cells.flatten(2).mT))
            .unflatten(2, (3, self.heads, -1))
            .permute(2, 0, 3, 1, 4)
        )
        known = F.avg_pool2d(1 - mask.float(), step).flatten(1)
        seen = slice(None)
        if len(x) == 1 and x.is_cpu:
            # A batch's samples have other holes each, and to count what is known would hold a GPU up.
            seen = known[0].nonzero()[:, 0]
            k, v = k[:, :, seen], v[:, :, seen]
        missing = self.nothing_known.to(k.dtype).view(2, 1, self.heads, 1, -1).expand(-1, len(x), -1, -1, -1)
        k, v = torch.cat([missing[0], k], 2), torch.cat([missing[1], v], 2)
        tokens = torch.arange(known.shape[1], device=x.device)
        x = _crop(x, region, step // self.cell)
        asking = _crop(tokens.view(height // self.cell, width // self.cell), region, step)
        asks = slice(None) if region is None else asking.flatten()
        q = q[:, :, asks]
        bias = F.pad(known[:, seen], (1, 0), value=1e-2).log()[:, None, None]
        if materials is not None:
            materials = materials.float().flatten(2)
            other = math.exp(-OTHER_MATERIAL)
            alike = (materials.mT[:, asks] @ materials[:, :, seen] + other) / (1 + other)
            bias = bias + F.pad(alike.log(), (1, 0))[:, None]
        bias = bias.to(q.dtype)
        heads = None if self.fused_attn else _attention_weights(q, k, bias)
        weights = None
        if tell:
            weights = known.new_zeros(len(x), known.shape[1], known.shape[1])
            looking = (known[:, asks] < 1).any(0).nonzero()[:, 0]
            if heads is None:
                told = _attention_weights(
                    q[:, :, looking], k, bias if materials is None else bias[:, :, looking]
                )
            else:
                told = heads[:, :, looking]
            # Added up one by one: on a CPU the mean over a dimension takes three times as long.
            told = sum(told.unbind(1))[..., 1:].float() / self.heads
            # What is hidden in another sample of the batch may be known in this one.
            told = told * (known[:, asks][:, looking] < 1)[..., None]
            weights[:, tokens[asks][looking, None], tokens[seen]] = told
        found = F.scaled_dot_product_attention(q, k, v, bias) if heads is None else heads.to(v.dtype) @ v
        found = self.output(found.transpose(1, 2).flatten(2)).mT.unflatten(2, asking.shape)
        return x + (_smooth(F.pixel_shuffle(found, self.cell)) if self.cell > 1 else found), weights


class LayoutModulation(nn.Module):
    """Normalise the features, then scale and shift them by what the layout says there (SPADE, Park 2019).

    Args:
        channels: width of the features.
        layout_channels: width of the embedded layout.
        normalise: without it how large the features are is kept, as colours need it.
    """

    def __init__(self, channels, layout_channels, normalise=True):
        super().__init__()
        self.channels = channels
        self.normalise = normalise
        self.scale_shift = nn.Conv2d(layout_channels, 2 * channels, 1)

    def forward(self, x, layout):
        """N x channels x H x W and N x layout_channels x H x W to N x channels x H x W."""
        # Two convolutions: halves of one are no dense tensors, and several times slower to add and multiply.
        (scale_weight, shift_weight), (scale_bias, shift_bias) = (
            parameter.chunk(2) for parameter in (self.scale_shift.weight, self.scale_shift.bias)
        )
        scale = F.conv2d(layout, scale_weight, 1 + scale_bias)
        shift = F.conv2d(layout, shift_weight, shift_bias)
        if self.normalise:
            x = F.layer_norm(x.permute(0, 2, 3, 1), (self.channels,)).permute(0, 3, 1, 2)
        return torch.addcmul(shift, x.to(shift.dtype), scale)


class Noise(nn.Module):
    """Add one random number a position, times a learned strength a channel (Karras et al. 2019)."""

    def __init__(self, channels):
        super().__init__()
        self.strength = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x, generator):
        """Features of x's shape; without a generator nothing is added."""
        if generator is None:
            return x
        noise = torch.randn(len(x), *x.shape[-2:], 1, device=x.device, generator=generator)
        # A product of matrices: broadcasting over the innermost dimension is ten times slower.
        tokens = x.permute(0, 2, 3, 1)
        noisy = torch.addmm(tokens.reshape(-1, x.shape[1]), noise.view(-1, 1), self.strength.view(1, -1))
        return noisy.view(tokens.shape).permute(0, 3, 1, 2)


class ModulatedBlock(nn.Module):
    """A residual block whose two normalisations the layout modulates, with noise between them."""

    def __init__(self, in_channels, out_channels, layout_channels):
        super().__init__()
        self.modulate1 = LayoutModulation(in_channels, layout_channels)
        self.conv1 = conv3x3(in_channels, out_channels)
        self.noise = Noise(out_channels)
        self.modulate2 = LayoutModulation(out_channels, layout_channels)
        self.conv2 = conv3x3(out_channels, out_channels)
        self.skip = nn.Conv2d(in_channels, out_channels, 1) if in_channels != out_channels else nn.Identity()

    def forward(self, x, layout, generator):
        """N x in x H x W to N x out x H x W; `layout` is the embedded layout at that size."""
        h = self.conv1(_activate(self.modulate1(x, layout)))
        h = self.conv2(_activate(self.modulate2(self.noise(h, generator), layout)))
        return self.skip(x) + h


class PlainBlock(nn.Module):
    """A residual block of the encoder: two 3 x 3 convolutions, no normalisation."""

    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__()
        self.conv1 = conv3x3(in_channels, out_channels, stride)
        self.conv2 = conv3x3(out_channels, out_channels)
        nn.init.zeros_(self.conv2.weight)
        self.skip = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.skip = nn.Sequential(nn.AvgPool2d(stride), nn.Conv2d(in_channels, out_channels, 1))

    def forward(self, x):
        """N x in x H x W to N x out x H/stride x W/stride."""
        return self.skip(x) + self.conv2(_activate(self.conv1(_activate(x))))


class TextureGenerator(nn.Module):
    """Multi-modal generator: visible pixels, layout and face prior in, a face out.

    An encoder with Transformer blocks at 1/16; contextual attention at 1/16, 1/8 and, over 2 x 2 cells, 1/4;
    a decoder that the layout and a summary of the visible face modulate at every scale. The output is a
    correction of the prior's picture, which is first joined to the visible face; the encoder sees this and
    its mirror image.

    Args:
        channels: widths at 1/2, 1/4, 1/8 and 1/16 of the picture's side.
        top_channels: width at the full size.
        layout_channels: width of the embedded layout.
        depth: Transformer blocks.
        heads: attention heads.
        use_prior: whether the start of the output is the face prior's picture joined to the visible face, or
            nothing but the smooth continuation of the visible.
        size: side of the pictures that positions are learnt for, in pixels.
        use_attention: whether there is contextual attention; without it only the Transformer blocks carry
            anything far.
    """

    def __init__(
        self,
        channels=(32, 64, 128, 256),
        top_channels=24,
        layout_channels=32,
        depth=4,
        heads=8,
        use_prior=True,
        size=256,
        use_attention=True,
    ):
        super().__init__()
        self.use_prior = use_prior
        self.use_attention = use_attention
        c1, c2, c3, c4 = self.channels = tuple(channels)
        self.stem = conv3x3(4 * 8 + NUM_CLASSES, c1)
        self.down1 = nn.Sequential(PlainBlock(c1, c2, stride=2), PlainBlock(c2, c2))
        self.down2 = nn.Sequential(PlainBlock(c2, c3, stride=2), PlainBlock(c3, c3))
        self.down3 = nn.Sequential(PlainBlock(c3, c4, stride=2), PlainBlock(c4, c4))
        self.transformer = TransformerGrid(c4, depth, heads, size // 16)
        self.summary = nn.Sequential(nn.Linear(c4, c4), nn.LeakyReLU(0.2), nn.Linear(c4, 4 * layout_channels))

        self.layouts = nn.ModuleList(conv3x3(NUM_CLASSES, layout_channels) for _ in range(4))
        if use_attention:
            self.attention4 = ContextualAttention(c4, c4, heads)
            self.attention3 = ContextualAttention(c3, c3, heads // 2)
            self.attention2 = ContextualAttention(c2, c3, heads // 2, cell=2)
            self.register_buffer("materials", _materials_of_classes(), persistent=False)
        self.block4 = ModulatedBlock(c4, c4, layout_channels)
        self.reduce3 = nn.Conv2d(c4 + c3, c3, 1)
        self.block3 = nn.ModuleList(ModulatedBlock(c3, c3, layout_channels) for _ in range(2))
        self.reduce2 = nn.Conv2d(c3 + c2, c2, 1)
        self.block2 = nn.ModuleList(ModulatedBlock(c2, c2, layout_channels) for _ in range(2))
        self.reduce1 = nn.Conv2d(c2 + c1, c1, 1)
        self.block1 = ModulatedBlock(c1, c1, layout_channels)

        self.colours = nn.Conv2d(c1, 3, 1)
        nn.init.zeros_(self.colours.weight)
        # Interpolated, then convolved: a transposed convolution leaves a checkerboard.
        self.top_in = conv3x3(c1 + 4, top_channels)
        self.top_layout = nn.Conv2d(NUM_CLASSES, top_channels, 1)
        self.top_modulate = LayoutModulation(top_channels, top_channels, normalise=False)
        self.top_noise = Noise(top_channels)
        self.top_out = conv3x3(top_channels, 3)
        nn.init.zeros_(self.top_out.weight)

    def forward(self, image, mask, prior, layout, generator=None, with_attention=False, region=None):
        """Paint faces; known pixels are for the caller to put back.

        Args:
            image: N x 3 x H x W in [-1, 1], H and W multiples of 32; hidden pixels are not looked at.
            mask: N x 1 x H x W, 1 = hole.
            prior: N x 3 x H x W in [-1, 1], the face prior's picture; not looked at without `use_prior`.
            layout: N x 19 x H x W class probabilities.
            generator: of the noise, on the image's device; None for no noise.
            with_attention: also tell where the finest attention looks.
            region: what `region_around` says of the holes; the finest scales are worked out there only, and
                all else is what the painting starts from. None for everywhere.

        Returns:
            N x 3 x H x W, in or near [-1, 1]; with attention, that and N x T x T weights from each cell of
            8 x 8 pixels (row by row) that is partly hidden to each known one: zeros from all others, and in a
            network without attention.
        """
        start = start_of_face(image, mask, prior if self.use_prior else None)
        layout1 = F.avg_pool2d(layout.contiguous(memory_format=torch.channels_last), 2)
        x = with_mirror_image(start, mask).contiguous(memory_format=torch.channels_last)
        x = F.pixel_unshuffle(x, 2).contiguous(memory_format=torch.channels_last)
        f1 = self.stem(torch.cat([x, layout1], 1))
        f2 = self.down1(f1)
        f3 = self.down2(f2)
        f4 = self.transformer(self.down3(f3))

        pyramid = [layout1]
        for _ in range(3):
            pyramid.append(F.avg_pool2d(pyramid[-1], 2))
        summaries = self.summary(f4.mean((2, 3))).chunk(4, 1)
        l1, l2, l3, l4 = (
            F.relu(embed(level) + summary[..., None, None])
            for embed, level, summary in zip(self.layouts, pyramid, summaries, strict=True)
        )

        if self.use_attention:
            f4 = self.attention4(f4, mask)
        x = self.reduce3(torch.cat([double(self.block4(f4, l4, generator)), f3], 1))
        if self.use_attention:
            x = self.attention3(x, mask)
        for block in self.block3:
            x = block(x, l3, generator)
        x = self.reduce2(torch.cat([double(x), f2], 1))
        wide = _widened(region, *mask.shape[-2:])
        if self.use_attention:
            materials = torch.einsum("nchw,cm->nmhw", pyramid[2], self.materials)
            x, weights = self.attention2.look(x, mask, wide, with_attention, materials)
        else:
            x = _crop(x, wide, 4)
        for block in self.block2:
            x = block(x, _crop(l2, wide, 4), generator)
        x = double(_crop(x, _within(wide, region), 4))
        x = self.reduce1(torch.cat([x, _crop(f1, region, 2)], 1))
        x = self.block1(x, _crop(l1, region, 2), generator)

        # Beside the top, whose width is small: colours are a matter of half the size.
        correction = double(self.colours(x).float())
        top = _crop(torch.cat([start, mask], 1), region).to(x.dtype)
        top = top.contiguous(memory_format=torch.channels_last)
        x = self.top_noise(self.top_in(torch.cat([double(x), top], 1)), generator)
        x = self.top_modulate(x, F.relu(self.top_layout(_crop(layout, region))))
        painted = start.clone()
        _crop(painted, region).add_(correction + self.top_out(_activate(x)).float())
        if not with_attention:
            return painted
        if not self.use_attention:
            cells = mask[0].numel() // 64
            return painted, mask.new_zeros(len(x), cells, cells)
        return painted, weights


def region_around(mask):
    """A box around the hole outside of which nothing that is worked out reaches into it.

    Args:
        mask: H x W bool array, true in the hole; H and W multiples of 4.

    Returns:
        Its top, bottom, left and right in pixels, multiples of 4.
    """
    box = []
    for axis in (1, 0):
        hidden = np.flatnonzero(mask.any(axis))
        first, last = (hidden[0], hidden[-1]) if hidden.size else (0, 0)
        box += [max(0, first - REACH) // 4 * 4, min(mask.shape[1 - axis], (last + REACH) // 4 * 4 + 4)]
    return tuple(map(int, box))


def _widened(region, height, width):
    """The box around a region that its part of the scale at 1/4 depends on, in whole cells of attention."""
    if region is None:
        return None
    top, bottom, left, right = region
    return (
        max(0, top - REACH_AT_QUARTER) // 8 * 8,
        min(height, (bottom + REACH_AT_QUARTER + 7) // 8 * 8),
        max(0, left - REACH_AT_QUARTER) // 8 * 8,
        min(width, (right + REACH_AT_QUARTER + 7) // 8 * 8),
    )


def _within(outer, region):
    """A region as seen from the corner of the box that it lies in."""
    if region is None:
        return None
    top, bottom, left, right = region
    return top - outer[0], bottom - outer[0], left - outer[2], right - outer[2]


def _crop(x, region, step=1):
    """The region's part of N x C x H x W features at 1/`step` of the picture's side."""
    if region is None:
        return x
    top, bottom, left, right = (edge // step for edge in region)
    return x[..., top:bottom, left:right]


def _materials_of_classes():
    """Which class is of which material: NUM_CLASSES x 5, the last one the face's."""
    kinds = torch.tensor([[name in names for names in MATERIALS_BESIDE_FACE] for name in CLASSES])
    return torch.cat([kinds, ~kinds.any(1, keepdim=True)], 1).float()


def _attention_weights(q, k, bias):
    return (q * q.shape[-1] ** -0.5 @ k.mT + bias).softmax(-1)


def _activate(x):
    return F.leaky_relu(x, 0.2)


def _smooth(x):
    """Blur by [1, 2, 1] both ways: cells that do not overlap would show as a grid."""
    kernel = torch.tensor([0.25, 0.5, 0.25], dtype=x.dtype, device=x.device)
    kernel = torch.outer(kernel, kernel).expand(x.shape[1], 1, 3, 3)
    return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), kernel, groups=x.shape[1])
