"""Adversaries: heads on frozen features (hinge), and patch critics on pictures or layouts."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from ..semantics import NUM_CLASSES


class ProjectedDiscriminator(nn.Module):
    """Small heads on frozen feature maps, each told the layout (Sauer et al. 2021, Projected GANs).

    Args:
        channels: widths of the feature maps.
        width: width of the heads.
    """

    def __init__(self, channels, width=64):
        super().__init__()
        self.heads = nn.ModuleList(
            nn.ModuleList(
                [
                    spectral_norm(nn.Conv2d(c, width, 1)),
                    spectral_norm(nn.Conv2d(width + NUM_CLASSES, width, 3, padding=1)),
                    spectral_norm(nn.Conv2d(width, width, 3, stride=2, padding=1)),
                    spectral_norm(nn.Conv2d(width, 1, 1)),
                ]
            )
            for c in channels
        )

    def forward(self, features, layouts):
        """Verdicts, positive for real, one map a head.

        Args:
            features: feature maps N x c x h x w.
            layouts: for each map N x 19 x H x W probabilities of the same view, H a multiple of h.
        """
        verdicts = []
        for (reduce, look, merge, judge), feature, layout in zip(self.heads, features, layouts, strict=True):
            parts = F.avg_pool2d(layout, layout.shape[-1] // feature.shape[-1])
            h = F.leaky_relu(reduce(feature), 0.2)
            h = F.leaky_relu(look(torch.cat([h, parts], 1)), 0.2)
            verdicts.append(judge(F.leaky_relu(merge(h), 0.2)).float())
        return verdicts


class PatchCritic(nn.Module):
    """A patch critic trained from scratch (Isola et al. 2017), without batch statistics, as WGAN-GP needs.

    Args:
        in_channels: channels of what it looks at.
        width: width of the first layer; doubled at each of three further strides.
    """

    def __init__(self, in_channels, width=32):
        super().__init__()
        widths = [in_channels, width, 2 * width, 4 * width, 8 * width]
        self.layers = nn.ModuleList(
            nn.Conv2d(a, b, 4, stride=2, padding=1) for a, b in zip(widths[:-1], widths[1:], strict=True)
        )
        self.judge = nn.Conv2d(widths[-1], 1, 3, padding=1)

    def forward(self, x):
        """N x in_channels x H x W to verdicts N x 1 x H/16 x W/16, high for real."""
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
        return self.judge(x).float()


def hinge_discriminator_loss(real, fake, weights):
    """Hinge loss of the discriminator (Lim and Ye 2017).

    Args:
        real: verdict maps N x 1 x h x w.
        fake: likewise.
        weights: for each map how much each place counts, N x 1 x H x W; pictures are fake in the hole only.
    """
    losses = [
        _average(F.relu(1 - r), w) + _average(F.relu(1 + f), w)
        for r, f, w in zip(real, fake, weights, strict=True)
    ]
    return sum(losses) / len(losses)


def hinge_generator_loss(fake, weights):
    """What the generator adds to its loss so that the verdicts on its pictures rise; arguments as above."""
    return -sum(_average(f, w) for f, w in zip(fake, weights, strict=True)) / len(fake)


def _average(verdict, weight):
    weight = F.adaptive_avg_pool2d(weight, verdict.shape[-2:])
    return (verdict * weight).sum() / weight.sum().clamp(min=1e-3)


def gradient_penalty(critic, real, fake, generator):
    """Mean squared distance from 1 of the critic's gradient norm between real and fake (WGAN-GP).

    Gulrajani et al. 2017, equation 3, without the factor lambda.
    """
    share = torch.rand(len(real), 1, 1, 1, device=real.device, generator=generator)
    between = (share * real + (1 - share) * fake).detach().float().requires_grad_()
    with torch.autocast(between.device.type, enabled=False):
        (slope,) = torch.autograd.grad(critic(between).mean((1, 2, 3)).sum(), between, create_graph=True)
    return (slope.flatten(1).norm(dim=1) - 1).square().mean()
