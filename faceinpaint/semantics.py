"""The 19 classes of a face layout, their colours, and layouts to and from pictures.

A layout is an H x W uint8 array of class ids in the order of CelebAMask-HQ (Lee et al. 2020).
"""

import math

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

CLASSES = (
    "background", "skin", "nose", "eyeglasses", "left eye", "right eye", "left brow", "right brow",
    "left ear", "right ear", "mouth", "upper lip", "lower lip", "hair", "hat", "earring", "necklace",
    "neck", "cloth",
)  # fmt: skip
"""Class names by id; left and right are the person's own, so the left eye stands right in the picture."""

NUM_CLASSES = len(CLASSES)

PALETTE = np.array(
    [
        (32, 36, 48), (242, 196, 164), (222, 142, 106), (64, 196, 255), (46, 125, 50), (129, 199, 54),
        (109, 76, 65), (161, 120, 90), (255, 167, 38), (255, 213, 79), (120, 20, 40), (233, 30, 99),
        (255, 110, 150), (94, 53, 177), (0, 150, 136), (255, 241, 118), (224, 64, 251), (188, 143, 143),
        (66, 103, 178),
    ],
    dtype=np.uint8,
)  # fmt: skip
"""One RGB colour a class, 19 x 3 uint8."""

MEAN_CENTRES = {
    "right eye": (96.8, 122.0),
    "left eye": (158.4, 122.1),
    "right brow": (94.7, 105.7),
    "left brow": (159.8, 105.5),
    "nose": (127.3, 147.4),
    "mouth": (127.5, 191.9),
}
"""Where parts lie in a 256 x 256 layout, x and y: means over 1,000 training layouts of CelebAMask-HQ."""

SAME_COLOUR = 12
"""A colour no further from a class's than this, in RGB steps, is that class's."""

WORN = tuple(CLASSES.index(name) for name in ("eyeglasses", "hat", "earring", "necklace"))
"""Classes that a person may have on or not: where none of it is seen, none is missed."""

SMALL_PARTS = {
    CLASSES.index(part): pixels
    for part, pixels in {
        "left eye": 150,
        "right eye": 150,
        "left brow": 270,
        "right brow": 265,
        "mouth": 300,
        "upper lip": 260,
        "lower lip": 445,
    }.items()
}
"""Classes that every face has and that take little room, and of how many pixels of 256 x 256 they mostly are:
the median of 1,587 CelebAMask-HQ layouts, of those with more than 30.
"""

SMALL_PARTS_GAIN = 5.0
"""How much the logits of small parts are raised in a hole at most, times the share of the picture it takes.

Of 92 validation faces the eyes have 1.08 of their true area then with one half hidden, 0.91 with all but the
border, and 1.07 under irregular holes. None have less than 35% of it; 9%, 4% and 5% have more than 160%.
"""

HAIR = CLASSES.index("hair")

ISLANDS = (HAIR, CLASSES.index("hat"), CLASSES.index("earring"))
"""Classes of which pieces that lie alone in the hole are mistakes more often than not."""

LEAST_SEEN = 30
"""Fewer pixels of a class, of 256 x 256, are no sight of it."""

LEAST_OF_OTHER_LENS = 0.25
"""Glasses have two lenses: the smaller half of them is at least this share of the larger.

So are 163 of 165 pairs in training faces, far turned ones too. Of 16 pairs that Stage 1 would draw in 400
holes of validation faces, 5 are not, 4 of them on faces without glasses.
"""

GLASSES, SKIN = CLASSES.index("eyeglasses"), CLASSES.index("skin")
EYES = CLASSES.index("left eye"), CLASSES.index("right eye")

RIM = 8
"""So many of 256 pixels from their edge inwards new glasses are painted; further in one sees through them."""

MIRRORED_CLASSES = (0, 1, 2, 3, 5, 4, 7, 6, 9, 8, 10, 11, 12, 13, 14, 15, 16, 17, 18)
"""The class that each class becomes when the picture is flipped left to right."""


def layout_to_picture(layout):
    """Paint a layout (H x W class ids) in the classes' colours; returns an RGB PIL image of that size."""
    return Image.fromarray(PALETTE[check_layout(layout)])


def picture_to_layout(picture):
    """Read a layout from a painted picture; each colour snaps to the class of the nearest colour.

    A colour that is no class's own, next to some that are, is a stroke's soft edge: it snaps to one of those,
    so that a blend of two classes is never taken for a third.

    Args:
        picture: PIL image or H x W x 3 uint8 array, as painted over `layout_to_picture`.

    Returns:
        H x W uint8 class ids.
    """
    if isinstance(picture, Image.Image):
        picture = picture.convert("RGB")
    picture = np.asarray(picture)
    colours, inverse = np.unique(picture.reshape(-1, 3), axis=0, return_inverse=True)
    distance = ((colours[:, None].astype(np.int32) - PALETTE[None].astype(np.int32)) ** 2).sum(-1)
    inverse = inverse.reshape(picture.shape[:2])
    layout = distance.argmin(1).astype(np.uint8)[inverse]
    blended = (distance.min(1) > SAME_COLOUR**2)[inverse]
    if blended.any() and not blended.all():
        neighbourhood = np.ones((5, 5), np.uint8)
        near = np.stack(
            [
                cv2.dilate(((layout == index) & ~blended).astype(np.uint8), neighbourhood)
                for index in range(NUM_CLASSES)
            ],
            -1,
        )[blended]
        # Without a pure colour nearby, every class is as likely as before.
        near |= ~near.any(-1, keepdims=True)
        away = np.where(near > 0, distance[inverse[blended]], np.iinfo(np.int32).max)
        layout[blended] = away.argmin(-1)
    return layout


def check_layout(layout):
    """Return `layout` as an H x W uint8 array; ValueError if it is not a map of the ids 0 to 18."""
    layout = np.asarray(layout)
    if layout.ndim != 2 or not np.issubdtype(layout.dtype, np.integer):
        raise ValueError("The layout must be a picture with one whole number, a class id, at each pixel.")
    if layout.size and (layout.min() < 0 or layout.max() >= NUM_CLASSES):
        raise ValueError(f"The layout holds a number outside the class ids 0 to {NUM_CLASSES - 1}.")
    return layout.astype(np.uint8)


def likeliest_layout(logits, mask):
    """The likeliest class of each pixel, but for two things that go wrong pixel by pixel in the hole.

    Nothing is worn of which nothing is seen beside the hole, nor are glasses of one lens: there would be
    pieces of glasses on a face whose eyes are hidden. And who knows little of where an eye is finds skin
    likelier at every single pixel: small parts get as large as expected, or as they mostly are.

    Args:
        logits: N x 19 x H x W, Stage 1's.
        mask: N x 1 x H x W, 1 = hole.

    Returns:
        N x H x W class ids, int64.
    """
    # On a CPU `argmax` takes half as long again.
    layouts = logits.max(1).indices
    for each, layout, hole in zip(logits, layouts, mask[:, 0] > 0, strict=True):
        # On a CPU three times as fast as `each[:, hole]`.
        inside = each.flatten(1).index_select(1, hole.flatten().nonzero()[:, 0])
        expected = inside.softmax(0).sum(1)
        inside[_unlikely_worn(layout, hole)] = -math.inf
        inside += _raise_of_small_parts(inside, expected, layout, hole)[:, None]
        layout[hole] = inside.max(0).indices
    return layouts


def _unlikely_worn(layout, hole):
    """Those of the classes in `WORN` that nobody in this layout, H x W, is likely to have on in the hole."""
    worn = layout == torch.tensor(WORN, device=layout.device)[:, None, None]
    unlikely = (worn & ~hole).sum((1, 2)) < LEAST_SEEN * hole.numel() / 256**2
    # Glasses are the first of what is worn.
    lenses = torch.stack([half.sum() for half in worn[0].chunk(2, 1)])
    unlikely[0] |= lenses.amin() < LEAST_OF_OTHER_LENS * lenses.amax()
    return [kind for kind, left_out in zip(WORN, unlikely.tolist(), strict=True) if left_out]


def _raise_of_small_parts(inside, expected, layout, hole):
    """By how much to raise the logits of each class, 19 numbers.

    `inside` are the logits in the hole, 19 x M, and `expected` the pixels of each class that they promise.
    """
    raised = inside.new_zeros(NUM_CLASSES)
    limit = SMALL_PARTS_GAIN * inside.shape[1] / hole.numel()
    best, kinds = inside.max(0)
    seen = torch.bincount(layout[~hole], minlength=NUM_CLASSES)
    for part, pixels in SMALL_PARTS.items():
        wanted = max(expected[part], pixels * hole.numel() / 256**2 - seen[part])
        rank = round(float(wanted))
        ahead = inside[part] - best
        own = kinds == part
        rivals = inside[:, own]
        rivals[part] = -math.inf
        ahead[own] -= rivals.max(0).values - best[own]
        near = ahead[ahead > -limit]
        if 0 < rank <= len(near):
            raised[part] = -near.kthvalue(len(near) + 1 - rank).values
        elif rank:
            raised[part] = limit
    return raised


def without_islands(layout, hole):
    """Take pieces of hair, hats and earrings that lie alone in the hole for what is around them.

    Nine of ten pixels of such pieces of Stage 1's are none of it in truth; they would show as dark blots on a
    forehead or in the hair.

    Args:
        layout: H x W uint8 class ids.
        hole: H x W bool.

    Returns:
        H x W uint8 class ids. The largest piece of hair stays, wherever it is.
    """
    changed = layout
    for kind in np.intersect1d(ISLANDS, layout[hole]):
        count, pieces, boxes, _ = cv2.connectedComponentsWithStats((layout == kind).astype(np.uint8))
        stays = np.bincount(pieces[~hole], minlength=count) > 0
        stays[0] = True
        if kind == HAIR and count > 1:
            stays[1 + boxes[1:, cv2.CC_STAT_AREA].argmax()] = True
        for piece in np.flatnonzero(~stays):
            if changed is layout:
                changed = layout.copy()
            island = pieces == piece
            around = (cv2.dilate(island.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0) & ~island
            changed[island] = np.bincount(changed[around]).argmax()
    return changed


def behind_lenses(layout, rim=RIM):
    """What is seen through the lenses of glasses, the eyes included.

    Args:
        layout: H x W uint8 class ids.
        rim: how many pixels from the edge of the glasses to their inside are not seen through.

    Returns:
        H x W bool.
    """
    outlines, _ = cv2.findContours(
        (layout == GLASSES).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    whole = cv2.drawContours(np.zeros_like(layout), outlines, -1, 1, -1)
    return cv2.distanceTransform(whole, cv2.DIST_L2, 5) > rim


def one_hot(labels):
    """Class ids N x H x W (any integer dtype) as probabilities N x 19 x H x W, float32."""
    # On a CPU eight times as fast as `F.one_hot`, which goes by way of 64-bit numbers.
    return F.embedding(labels.long(), torch.eye(NUM_CLASSES, device=labels.device)).permute(0, 3, 1, 2)


def mirror_classes(layout):
    """Flip class probabilities or logits N x 19 x H x W left to right and swap those of the two sides."""
    return layout.flip(-1)[:, list(MIRRORED_CLASSES)]


def mirror_labels(labels):
    """Flip class ids (tensor, ... x H x W) left to right and swap the classes of the two sides."""
    lookup = torch.tensor(MIRRORED_CLASSES, dtype=torch.long, device=labels.device)
    return lookup[labels.flip(-1).long()].to(labels.dtype)
