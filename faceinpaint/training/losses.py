"""Perceptual and style losses on VGG19, cross-entropy and Jaccard loss for layouts."""

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn

from ..datasets import UNLABELLED
from ..semantics import NUM_CLASSES, one_hot

CLASS_WEIGHTS = torch.ones(NUM_CLASSES)
CLASS_WEIGHTS[[3, 4, 5, 6, 7, 10, 11, 12, 15, 16]] = 2.0
"""Weights of the cross-entropy: small classes count twice (not hats: they turned up in light hair)."""


class Vgg19Features(nn.Module):
    """VGG19 (Simonyan and Zisserman 2015) up to conv3_1, frozen, with normalised activations.

    Args:
        path: safetensors file with `preprocess`, `conv1_1` ... `conv3_1`, each `.weight` and `.bias`.
    """

    names = ("conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1")
    tapped = ("conv1_2", "conv2_2", "conv3_1")
    channels = (64, 128, 256)

    def __init__(self, path):
        super().__init__()
        tensors = load_file(path)
        for name in ("preprocess", *self.names):
            self.register_buffer(name + "_weight", tensors[name + ".weight"])
            self.register_buffer(name + "_bias", tensors[name + ".bias"])

    def forward(self, image):
        """N x 3 x H x W in [-1, 1] to the feature maps of conv1_2, conv2_2 and conv3_1, after their ReLU."""
        x = F.conv2d((image + 1) / 2, self.preprocess_weight, self.preprocess_bias)
        features = []
        for name in self.names:
            if name in ("conv2_1", "conv3_1"):
                x = F.max_pool2d(x, 2, ceil_mode=True)
            x = F.pad(x, (1, 1, 1, 1), mode="reflect")
            x = F.relu(F.conv2d(x, getattr(self, name + "_weight"), getattr(self, name + "_bias")))
            if name in self.tapped:
                features.append(x)
        return features


def feature_loss(fake, real):
    """Mean absolute difference of lists of feature maps (Johnson et al. 2016), averaged over the list."""
    return sum((f - r).abs().mean(dtype=torch.float32) for f, r in zip(fake, real, strict=True)) / len(fake)


def unit_feature_loss(fake, real):
    """Mean squared distance of the maps' channel vectors brought to length 1, averaged over the list.

    As LPIPS compares them (Zhang et al. 2018, equation 1), without its learnt weights: dark hair, where
    features are weak, counts as much as a bright edge.
    """
    distances = [(_unit(f) - _unit(r)).square().sum(1).mean() for f, r in zip(fake, real, strict=True)]
    return sum(distances) / len(distances)


def style_loss(fake, real, regions):
    """Difference of the Gram matrices (Gatys et al. 2016) of each region's features, averaged over the list.

    Absolute and in proportion to the real region's own matrix, so that dark hair counts as much as a bright
    wall.

    Args:
        fake: list of N x channels x h x w features.
        real: likewise.
        regions: N x R x H x W, 1 inside each region; one that takes less than 1/64 of its picture does not
            count.
    """
    counts = (regions.mean((2, 3)) >= 1 / 64).float()
    losses = []
    for f, r in zip(fake, real, strict=True):
        shares = F.adaptive_avg_pool2d(regions, f.shape[-2:])
        f, r = _gram(f, shares), _gram(r, shares)
        error = (f - r).abs().mean((2, 3)) / (r.abs().mean((2, 3)) + 1e-4)
        losses.append((error * counts).sum() / counts.sum().clamp(min=1))
    return sum(losses) / len(losses)


def detail_loss(fake, real, regions):
    """How far each region's fine detail is from being as strong as the true one's.

    Mean absolute logarithm of the ratio of the bands' powers, two octaves of a Laplacian pyramid (Burt and
    Adelson 1983): losses that compare pixel by pixel, or features place by place, blur what cannot be
    foretold, such as hair.

    Args:
        fake: N x 3 x H x W in [-1, 1].
        real: likewise.
        regions: as of `style_loss`, N x R x H x W.
    """
    counts = (regions.mean((2, 3)) >= 1 / 64).float()
    losses = [
        ((_power(f, regions) / _power(r, regions)).log().abs() * counts).sum() / counts.sum().clamp(min=1)
        for f, r in zip(_bands(fake), _bands(real), strict=True)
    ]
    return sum(losses) / len(losses)


def layout_loss(logits, labels, weight):
    """Class- and place-weighted cross-entropy with label smoothing 0.02.

    Args:
        logits: N x 19 x h x w.
        labels: N x h x w class ids; `UNLABELLED` pixels do not count.
        weight: N x h x w, how much each pixel counts.
    """
    labels = labels.masked_fill(labels == UNLABELLED, -100)
    loss = F.cross_entropy(
        logits.float(), labels, CLASS_WEIGHTS.to(logits.device), reduction="none", label_smoothing=0.02
    )
    weight = weight * (labels >= 0)
    return (loss * weight).sum() / weight.sum().clamp(min=1)


def soft_layout_loss(logits, target, weight):
    """Class- and place-weighted cross-entropy to probabilities.

    Args:
        logits: N x 19 x h x w.
        target: N x 19 x h x w probabilities.
        weight: N x h x w, how much each pixel counts.
    """
    classes = CLASS_WEIGHTS.to(logits.device).view(1, -1, 1, 1)
    loss = -(target * classes * logits.float().log_softmax(1)).sum(1)
    return (loss * weight).sum() / weight.sum().clamp(min=1)


def jaccard_loss(logits, labels, weight):
    """1 - soft intersection over union, averaged over the classes that the batch has (Rahman and Wang 2016).

    Classes are pooled over the batch, as `ConfusionMatrix.mean_iou` pools them over a set: an earring
    counts as much as all skin.

    Args:
        logits: N x 19 x h x w.
        labels: N x h x w class ids; `UNLABELLED` pixels do not count.
        weight: N x h x w, how much each pixel counts.
    """
    known = labels != UNLABELLED
    weight = (weight * known)[:, None]
    truth = one_hot(labels.masked_fill(~known, 0)) * weight
    found = logits.float().softmax(1) * weight
    both = (found * (truth > 0)).sum((0, 2, 3))
    either = found.sum((0, 2, 3)) + truth.sum((0, 2, 3)) - both
    present = (truth.sum((0, 2, 3)) > 0).float()
    return (present * (1 - both / either.clamp(min=1e-6))).sum() / present.sum().clamp(min=1)


def _unit(x):
    x = x.float()
    return x * (x.square().sum(1, keepdim=True) + 1e-4).rsqrt()


def _bands(image):
    """The two finest octaves of a picture's brightness, N x 1 x H x W each."""
    levels = [image.float().mean(1, keepdim=True)]
    for spacing in (1, 2):
        x = levels[-1]
        for axis, padding in (2, (0, 0, spacing, spacing)), (3, (spacing, spacing, 0, 0)):
            length = x.shape[axis]
            x = F.pad(x, padding, mode="replicate")
            before, middle, after = (x.narrow(axis, start * spacing, length) for start in range(3))
            x = before / 4 + middle / 2 + after / 4
        levels.append(x)
    return [finer - coarser for finer, coarser in zip(levels[:-1], levels[1:], strict=True)]


def _power(band, regions):
    """Mean square of N x 1 x H x W over each region, N x R; a little noise is in every picture."""
    return (band.square() * regions).sum((2, 3)) / regions.sum((2, 3)).clamp(min=1) + 1e-5


def _gram(x, shares):
    """Gram matrices N x R x channels x channels, each of its region's places alone."""
    x, shares = x.float().flatten(2), shares.float().flatten(2)
    weighted = x[:, None] * shares[:, :, None]
    return weighted @ x.mT[:, None] / (shares.sum(2)[..., None, None] + 1e-6)
