"""Stage 1: the layout of the whole face from its visible part (arXiv 2512.05039, section on stage one)."""

import torch
import torch.nn.functional as F
from torch import nn

from ..semantics import NUM_CLASSES, mirror_classes
from .inputs import start_of_face, with_mirror_image
from .layers import ResidualBlock, TransformerGrid, conv3x3, double

DROPOUT = 0.1
"""Share of the coarsest channels and the Transformer's branches that training leaves out; at 1/8 half of it.

Stage 1 learns faces by heart otherwise.
"""

PATCH = 16
"""Side of the Transformer's patches, in pixels."""

SECOND_LOOK, SECOND_SAY = 1 / 2, 0.4
"""The second look's size as a share of the first one's, and its share in the mean of the two.

At another size it errs in other places, and takes less time. Mean IoU and accuracy of 400 holes of 20-60%:
one look 0.564, 0.884; with a second one at 128 of 256 pixels 0.568, 0.887, at 160 0.566, 0.887, at 176 0.567,
0.886, at 192 0.566, 0.886.
"""


class LayoutGenerator(nn.Module):
    """Hybrid CNN and Vision Transformer encoder, 1 x 1 fusion, and a decoder with skips.

    The CNN branch (residual blocks, stride 2) sees local texture, the Vision Transformer branch (16 x 16
    patches) the whole face; both end on a grid of 1/16 of the picture and are joined by a 1 x 1 convolution.
    With an empty mask the network is a face parser. What it sees is the visible face joined to the face
    prior's picture in the hole, the mirror image of that, and the prior's picture by itself.

    Either branch can do without the other. The Transformer alone has no finer features to hand to the
    decoder; they are made from its last ones, as in the simple feature pyramid of Li et al. 2022 (ViTDet).

    Args:
        channels: widths at 1/2, 1/4, 1/8 and 1/16 of the picture's side.
        depth: Transformer blocks.
        heads: attention heads.
        use_prior: whether the face prior's picture is looked at.
        size: side of the pictures that positions are learnt for, in pixels.
        branches: which encoders there are, "cnn", "vit" or both.
    """

    def __init__(
        self,
        channels=(32, 64, 128, 256),
        depth=4,
        heads=8,
        use_prior=True,
        size=256,
        branches=("cnn", "vit"),
    ):
        super().__init__()
        self.use_prior = use_prior
        self.branches = tuple(branches)
        inputs = 8 + 3 * use_prior
        c1, c2, c3, c4 = self.channels = tuple(channels)
        if "cnn" in self.branches:
            self.stem = nn.Sequential(
                nn.PixelUnshuffle(2), conv3x3(4 * inputs, c1, bias=False), nn.BatchNorm2d(c1), nn.ReLU()
            )
            self.down1 = nn.Sequential(ResidualBlock(c1, c2, stride=2), ResidualBlock(c2, c2))
            self.down2 = nn.Sequential(ResidualBlock(c2, c3, stride=2), ResidualBlock(c3, c3))
            self.down3 = nn.Sequential(ResidualBlock(c3, c4, stride=2), ResidualBlock(c4, c4))
        else:
            self.finer = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in ((c2, c1), (c3, c2), (c4, c3)))
        if "vit" in self.branches:
            self.patches = nn.Conv2d(inputs, c4, PATCH, stride=PATCH)
            self.transformer = TransformerGrid(c4, depth, heads, size // PATCH, drop_path=DROPOUT)
        self.fuse = nn.Conv2d(len(self.branches) * c4, c4, 1)

        self.up3 = ResidualBlock(c4 + c3, c3)
        self.up2 = ResidualBlock(c3 + c2, c2)
        self.up1 = ResidualBlock(c2 + c1, c1)
        self.head = conv3x3(c1, NUM_CLASSES)

    def encode(self, image, mask, prior):
        """Features of the visible face.

        Args:
            image: N x 3 x H x W in [-1, 1], H and W multiples of 16; hidden pixels are not looked at.
            mask: N x 1 x H x W, 1 = hole.
            prior: N x 3 x H x W in [-1, 1], the face prior's picture; not looked at without `use_prior`.

        Returns:
            Four feature maps, at 1/2, 1/4, 1/8 and 1/16 of the picture, `channels` wide.
        """
        return self._encode(self._inputs(image, mask, prior))

    def _inputs(self, image, mask, prior):
        inputs = [with_mirror_image(start_of_face(image, mask, prior if self.use_prior else None), mask)]
        if self.use_prior:
            inputs.append(prior)
        return torch.cat(inputs, 1).contiguous(memory_format=torch.channels_last)

    def _encode(self, x):
        ends = []
        if "cnn" in self.branches:
            f1 = self.stem(x)
            f2 = self.down1(f1)
            f3 = F.dropout2d(self.down2(f2), DROPOUT / 2, self.training)
            ends.append(F.dropout2d(self.down3(f3), DROPOUT, self.training))
        if "vit" in self.branches:
            ends.append(self.transformer(self.patches(x)))
        f4 = F.dropout2d(self.fuse(torch.cat(ends, 1)), DROPOUT, self.training)
        if "cnn" not in self.branches:
            to1, to2, to3 = self.finer
            f3 = F.relu(to3(double(f4)))
            f2 = F.relu(to2(double(f3)))
            f1 = F.relu(to1(double(f2)))
        return f1, f2, f3, f4

    def decode(self, features):
        """Class logits N x 19 x H/2 x W/2 from the features of `encode`."""
        f1, f2, f3, f4 = features
        x = self.up3(torch.cat([double(f4), f3], 1))
        x = self.up2(torch.cat([double(x), f2], 1))
        x = self.up1(torch.cat([double(x), f1], 1))
        return self.head(x)

    def forward(self, image, mask, prior):
        """Class logits N x 19 x H x W, float32; for the arguments see `encode`."""
        return double(self.decode(self.encode(image, mask, prior)).float())

    def look_twice(self, image, mask, prior):
        """The same, but with a second look, at the mirror image; a smaller one if any of them has a hole."""
        x = self._inputs(image, mask, prior)
        # Where nothing is hidden, thin rims and lips are all that is in doubt.
        share = SECOND_LOOK if mask.any() else 1
        side = [PATCH * round(share * length / PATCH) for length in x.shape[-2:]]
        # The face comes with its mirror image beside it: flipped, the two have changed places.
        mirrored = F.interpolate(x.flip(-1), size=side, mode="bilinear", align_corners=False)
        first, second = (self.decode(self._encode(view)).float() for view in (x, mirrored))
        second = F.interpolate(second, size=first.shape[-2:], mode="bilinear", align_corners=False)
        return double(torch.lerp(first, mirror_classes(second), SECOND_SAY))
