"""Training batches: faces drawn, warped, recoloured and given a hole, by batched tensor operations."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from ..datasets import UNLABELLED
from ..images import as_images
from ..masks import PARTS, part_mask
from ..semantics import mirror_labels, one_hot

EMPTY_SHARE = 0.08
"""Share of samples without a hole: they keep Stage 1 a face parser."""

OLD_SHARE = 0.16
"""Share of samples that lose their colours as old prints do."""

SHADED_SHARE = 0.1
"""Share of samples of which one side lies in shadow, with a soft or a hard edge."""

BLURS = (128, 0, 0.09), (64, 0.09, 0.15), (32, 0.4, 0.46), (16, 0.46, 0.5)
"""To how many pixels a side samples are shrunk, and which: those that draw a number between the two."""

PART_SHARE = 0.25
"""Share of samples whose hole is a facial part."""


@dataclass
class Batch:
    """One training batch.

    Attributes:
        image: N x 3 x H x W in [-1, 1].
        labels: N x H x W int64, class ids or `UNLABELLED`.
        hole: N x 1 x H x W float, 1 = hidden from the networks and wanted back.
        valid: N x 1 x H x W float, 0 = padding: hidden from the networks, and no loss there.
    """

    image: torch.Tensor
    labels: torch.Tensor
    hole: torch.Tensor
    valid: torch.Tensor

    @property
    def mask(self):
        """What the networks are told is unknown: the hole and the padding, N x 1 x H x W."""
        return torch.maximum(self.hole, 1 - self.valid)

    def __len__(self):
        return len(self.image)

    def __getitem__(self, part):
        """The samples of a slice as a batch of their own."""
        return Batch(self.image[part], self.labels[part], self.hole[part], self.valid[part])


def draw_batch(faces, bank, indices, size, generator, moved_share=0.5):
    """Draw one augmented batch.

    Args:
        faces: `datasets.Faces` on the device.
        bank: M x S x S bool tensor of holes on the device, S the faces' size.
        indices: which faces, N int64.
        size: side of the batch's pictures; S must be a multiple of it.
        generator: torch generator on the device.
        moved_share: share of samples that are zoomed, stretched, turned and shifted a little.
    """
    device = faces.images.device

    def uniform(*shape, low=0.0, high=1.0):
        return low + (high - low) * torch.rand(*shape, device=device, generator=generator)

    count = len(indices)
    image = as_images(faces.images[indices])
    labels = faces.labels[indices]
    valid = faces.valid[indices][:, None].float()

    flip = uniform(count) < 0.5
    image = torch.where(flip[:, None, None, None], image.flip(-1), image)
    valid = torch.where(flip[:, None, None, None], valid.flip(-1), valid)
    flipped = labels.flip(-1)
    mirrored = torch.where(flipped == UNLABELLED, flipped, mirror_labels(labels.clamp(max=18)))
    labels = torch.where(flip[:, None, None], mirrored, labels)

    labels = labels.long()
    step = image.shape[-1] // size
    if step > 1:
        image, valid, labels = (
            F.avg_pool2d(image, step),
            -F.max_pool2d(-valid, step),
            shrink_labels(labels, step),
        )

    # The others stay as they are: resampling costs sharpness, and time.
    moved = int(moved_share * count)
    if moved:
        zoom = uniform(moved, 1, low=0.92, high=1.1)
        # Rounder and longer faces than there are: people, not only pictures, are to differ.
        stretch = uniform(moved, 1, low=0.94, high=1.06)
        angle = uniform(moved, 1, low=-0.1, high=0.1)
        shift = uniform(moved, 2, low=-0.06, high=0.06)
        width, height = zoom * stretch, zoom / stretch
        rows = [angle.cos() / width, -angle.sin() / height, shift[:, :1]]
        rows += [angle.sin() / width, angle.cos() / height, shift[:, 1:]]
        theta = torch.cat(rows, 1).view(-1, 2, 3)
        grid = F.affine_grid(theta, image[:moved].shape, align_corners=False)
        # Bilinearly half of hair's finest octave would be lost, and Stage 2 paints what it is shown.
        image[:moved] = F.grid_sample(
            image[:moved], grid, mode="bicubic", padding_mode="reflection", align_corners=False
        )
        valid[:moved] = F.grid_sample(valid[:moved], grid, mode="nearest", align_corners=False)
        labels[:moved] = F.grid_sample(
            labels[:moved, None].float(), grid, mode="nearest", padding_mode="reflection", align_corners=False
        )[:, 0].long()

    image = _recolour(_shade(image, uniform), uniform)
    hole = _draw_holes(labels, bank, size, uniform, generator)
    return Batch(image, labels, hole * valid, valid)


def shrink_labels(labels, step):
    """The commonest class of each cell of `step` x `step` pixels, N x H x W to N x H/step x W/step.

    `UNLABELLED` is what has no labelled pixel. Single pixels of the cells would move all parts to a side.
    """
    known = labels != UNLABELLED
    shares = F.avg_pool2d(one_hot(labels.masked_fill(~known, 0)) * known[:, None], step)
    return shares.argmax(1).masked_fill(shares.sum(1) == 0, UNLABELLED)


def degrade(image, generator):
    """Blur and grain on some samples of N x 3 x H x W pictures in [-1, 1], as phones and scans have them.

    Some have as little detail as faces of 16 pixels in the back row of a group.
    """
    choice = torch.rand(len(image), 1, 1, 1, device=image.device, generator=generator)
    amount = 0.15 * torch.rand(len(image), 1, 1, 1, device=image.device, generator=generator)
    grain = torch.randn(image.shape, device=image.device, generator=generator)
    size = image.shape[-1]
    for side, least, most in BLURS:
        small = F.adaptive_avg_pool2d(image, min(side, size))
        blurred = F.interpolate(small, size=image.shape[-2:], mode="bilinear")
        image = torch.where((choice >= least) & (choice < most), blurred, image)
    return torch.where((choice > 0.1) & (choice < 0.3), (image + amount * grain).clamp(-1, 1), image)


def _shade(image, uniform):
    """A straight shadow on some, as a lamp or a window casts it: portraits are lit from the front."""
    count, size = len(image), image.shape[-1]
    angle = uniform(count, 1, 1, high=2 * math.pi)
    side = torch.linspace(-1, 1, size, device=image.device)
    beyond = angle.cos() * side + angle.sin() * side[:, None] - uniform(count, 1, 1, low=-0.5, high=0.5)
    dark = torch.sigmoid(beyond / uniform(count, 1, 1, low=0.01, high=0.3))
    depth = (uniform(count, 1, 1) < SHADED_SHARE) * uniform(count, 1, 1, low=0.2, high=0.7)
    return (1 + image) * (1 - depth * dark)[:, None] - 1


def _recolour(image, uniform):
    """Other light and white balance for some; a sixth become old prints: grey or sepia, some faded."""
    count = len(image)
    touched = (uniform(count, 1, 1, 1) < 0.4).float()
    old = uniform(count, 1, 1, 1) < OLD_SHARE
    grey = image.mean(1, keepdim=True)
    saturation = 1 + touched * uniform(count, 1, 1, 1, low=-0.4, high=0.2)
    image = grey + torch.where(old, 0.0, saturation) * (image - grey)
    gain = 1 + touched * uniform(count, 3, 1, 1, low=-0.08, high=0.08)
    offset = touched * uniform(count, 1, 1, 1, low=-0.1, high=0.1)
    # Half of the old ones stay grey: the draw below nought stands for no warmth, no fading.
    warmth, fading = (torch.where(old, uniform(count, 1, 1, 1, low=-1.0).clamp(min=0), 0.0) for _ in range(2))
    sepia = torch.tensor([0.2, -0.05, -0.4], device=image.device).view(3, 1, 1)
    image = (1 + image) * (1 + warmth * sepia) - 1
    # Paper yellows and ink pales: what fades gets brighter, too.
    return ((1 - 0.4 * fading) * gain * image + 0.15 * fading + offset).clamp(-1, 1)


def _draw_holes(labels, bank, size, uniform, generator):
    count = len(labels)
    step = bank.shape[-1] // size
    pick = torch.randint(len(bank), (count,), device=bank.device, generator=generator)
    hole = bank[pick][:, ::step, ::step].float()
    for dims in ((1,), (2,)):
        hole = torch.where((uniform(count) < 0.5)[:, None, None], hole.flip(dims), hole)
    hole = torch.where((uniform(count) < 0.5)[:, None, None], hole.mT, hole)
    kind = uniform(count).tolist()
    part, grow = uniform(count).tolist(), uniform(count, low=0.005, high=0.06).tolist()
    names = list(PARTS)
    for i in range(count):
        if kind[i] < EMPTY_SHARE:
            hole[i] = 0
        elif kind[i] < EMPTY_SHARE + PART_SHARE:
            name = names[int(part[i] * len(names))]
            chosen = part_mask(labels[i : i + 1], name, max(1, round(grow[i] * size)))[0]
            # Not in this face or not labelled, or the whole picture: the hole from the bank stays.
            if 0.003 < chosen.float().mean() < 0.7:
                hole[i] = chosen.float()
    return hole[:, None]
