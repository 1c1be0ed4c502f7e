"""Parts of training pictures: windows that losses look at, and materials that they compare by themselves."""

import torch

from ..semantics import class_ids

MATERIALS = [class_ids("hair"), class_ids("skin", "nose", "neck", "left ear", "right ear")]
"""Classes of one texture, which is compared by itself; what is of none of them is one more region."""


def materials(labels):
    """Which of N x H x W class ids are of which of the `MATERIALS`, or of none: N x 3 x H x W bool."""
    kinds = [torch.isin(labels, torch.tensor(classes, device=labels.device)) for classes in MATERIALS]
    return torch.stack([*kinds, ~torch.stack(kinds).any(0)], 1)


def draw_windows(area, side, generator):
    """Row and column, N x 2, of the top left corner of a window around a random pixel of each area.

    Args:
        area: N x 1 x S x S, above 0 where such a pixel may lie.
        side: of the windows, in pixels; in pictures that are smaller they are the picture.
        generator: torch generator on the device.
    """
    size = area.shape[-1]
    side = min(side, size)
    pixel = torch.multinomial(area.flatten(1) + 1e-9, 1, generator=generator)
    corner = torch.cat([pixel // size, pixel % size], 1) - side // 2
    return corner.clamp(0, size - side) // 4 * 4


def crop(x, windows, side):
    """The windows of N x C x H x W. They stay on the device: to ask it where they lie would hold it up."""
    side = min(side, x.shape[-1])
    rows, columns = (windows[:, k, None] + torch.arange(side, device=x.device) for k in (0, 1))
    x = x.gather(2, rows[:, None, :, None].expand(-1, x.shape[1], -1, x.shape[3]))
    x = x.gather(3, columns[:, None, None, :].expand(-1, x.shape[1], side, -1))
    return x.contiguous(memory_format=torch.channels_last)
