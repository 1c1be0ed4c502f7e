"""Training of the frame regressor, which brings roughly aligned faces into the frame."""

import torch
import torch.nn.functional as F

from ..alignment import LOOKS, NEAR
from ..checkpoint import save_network
from ..images import as_pictures
from ..modeling.frame_regressor import FrameRegressor
from ..precision import autocast
from ..semantics import MEAN_CENTRES
from .augment import degrade
from .loop import Task, adamw, descend
from .sheets import stack_rows

COARSE, FINE = (0.22, 0.28, 0.25), (0.05, 0.06, 0.05)
"""Deviations of the misalignment: logarithm of the scale, angle in radians, shift in half sides."""

STRANGE_SHARE = 0.5
"""Share of samples with another picture around the face; the others end where the photo ends."""

CUT, FADE = 0.3, 0.1
"""Most that is cut off each side of a face, and the width over which it goes over into the other picture."""


class FrameTask(Task):
    """Distance of the eyes and the mouth from where they are, in distances between the eyes.

    The faces are to come as they stand in their sets: nothing else tells where the frame is.

    Args:
        options: namespace of the command line.
    """

    moved_share = 0.0

    def __init__(self, options):
        self.device = torch.device(options.device)
        self.dtype = options.dtype
        network = FrameRegressor().to(self.device, memory_format=torch.channels_last)
        super().__init__(
            {"frame_regressor": network}, {"frame_regressor": adamw(network, options.learning_rate, 0.9)}
        )
        places = [MEAN_CENTRES[name] for name in ("right eye", "left eye", "mouth")]
        self.places = torch.tensor([complex((x + 0.5) / 128 - 1, (y + 0.5) / 128 - 1) for x, y in places])
        self.places = self.places.to(self.device)

    def step(self, batch, seen, generator):
        """Train on a batch of aligned faces, moved away from their frame; see `Task.step`."""
        # Two of five faces are whole.
        hidden = torch.arange(len(batch), device=self.device).view(-1, 1, 1, 1) % 5 < 3
        image, mask = degrade(batch.image, generator), torch.where(hidden, batch.mask, 1 - batch.valid)
        truth = self._misalign(len(image), generator)
        image, mask = _move(image, mask, *truth, generator)
        with autocast(self.device, self.dtype):
            found = self.networks["frame_regressor"](image, mask)
        distance = self._distance(found, truth)
        # By its logarithm what can't be told does not outweigh all that can.
        losses = {"logarithm": (distance / NEAR).log1p().mean(), "distance": distance.mean()}
        descend(self.optimizers["frame_regressor"], losses["logarithm"])
        return losses

    def validate(self, batch):
        """Median distance, and the share below `NEAR`, after `LOOKS` looks; see `Task.validate`."""
        found, truth, *_ = self._align(batch)
        distance = self._distance(found, truth)
        return {"median": float(distance.median()), "near": float((distance < NEAR).float().mean())}

    def sheet(self, batch):
        """Misaligned faces, and the same brought into the frame; see `Task.sheet`."""
        *_, moved, aligned = self._align(batch)
        return stack_rows(as_pictures(moved[:16]), as_pictures(aligned[:16]))

    def export(self, folder):
        """Write frame_regressor.safetensors and .json; see `Task.export`."""
        save_network(folder, "frame_regressor", self.average, {})

    @torch.no_grad()
    def _align(self, batch):
        """Similarities found and true, misaligned faces, and these as they are found to stand."""
        generator = torch.Generator(self.device).manual_seed(0)
        truth = self._misalign(len(batch), generator)
        moved, hole = _move(batch.image, batch.mask, *truth, generator)
        factor, offset = torch.ones_like(truth[0]), torch.zeros_like(truth[1])
        image, mask = moved, hole
        for _ in range(LOOKS):
            further, shift = self.average(image, mask)
            # Found places lie further on: the whole way there counts.
            factor, offset = further * factor, further * offset + shift
            image, mask, _ = _sample(moved, hole, 1 / factor, -offset / factor)
        return (factor, offset), truth, moved, image

    def _misalign(self, count, generator):
        """Factors and offsets of random similarities, a quarter of them coarse."""
        drawn = torch.randn(count, 4, device=self.device, generator=generator)
        coarse = torch.arange(count, device=self.device)[:, None] % 4 == 0
        growth, angle, shift = (torch.where(coarse, a, b) for a, b in zip(COARSE, FINE, strict=True))
        drawn = drawn.clamp(-2.5, 2.5) * torch.cat([growth, angle, shift, shift], 1)
        return torch.polar(drawn[:, 0].exp(), drawn[:, 1]), torch.complex(drawn[:, 2], drawn[:, 3])

    def _distance(self, found, truth):
        """Mean distance of the places under two similarities, in distances between the eyes, N."""
        factor, offset = (value[:, None] for value in truth)
        there = (self.places - offset) / factor
        factor, offset = (value[:, None] for value in found)
        away = (factor * there + offset - self.places).abs() / (self.places[1] - self.places[0]).abs()
        return away.mean(1)


def _move(image, mask, factor, offset, generator):
    """Show faces from elsewhere: `_sample`, with another face or nothing known beyond a random rectangle.

    Where the picture of the set ends would give its frame away.
    """
    moved, unknown, grid = _sample(image, mask, factor, offset)
    drawn = torch.rand(len(image), 5, device=image.device, generator=generator)
    cut, strange = CUT * drawn[:, :4, None, None], (drawn[:, 4] < STRANGE_SHARE).view(-1, 1, 1, 1)
    x, y = grid.unbind(-1)
    inside = torch.minimum(
        torch.minimum(x + 1 - cut[:, 0], 1 - x - cut[:, 1]),
        torch.minimum(y + 1 - cut[:, 2], 1 - y - cut[:, 3]),
    )[:, None]
    around = F.interpolate(F.avg_pool2d(image.roll(1, 0), 8), size=image.shape[-2:], mode="bilinear")
    moved = torch.where(strange, around + (moved - around) * (inside / FADE).clamp(0, 1), moved)
    return moved, torch.where(strange, (unknown > 0) & (inside > 0), (unknown > 0) | (inside < 0)).float()


def _sample(image, mask, factor, offset):
    """Pictures whose place z shows what lies at factor * z + offset: mirrored beyond the edge.

    Returns:
        Pictures and masks of the shapes of `image` and `mask`, and the places that they show, N x H x W x 2.
    """
    rows = [factor.real, -factor.imag, offset.real, factor.imag, factor.real, offset.imag]
    grid = F.affine_grid(torch.stack(rows, 1).view(-1, 2, 3), image.shape, align_corners=False)
    both = F.grid_sample(torch.cat([image, mask], 1), grid, padding_mode="reflection", align_corners=False)
    beyond = (grid.abs() > 1).any(-1)[:, None]
    return both[:, :3], torch.where(beyond, 1.0, (both[:, 3:] > 1e-3).float()), grid
