"""The 19 classes of a face layout, their colours, and layouts to and from pictures.

A layout is an H x W uint8 array of class ids in the order of CelebAMask-HQ (Lee et al. 2020).
"""

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

GLASSES, SKIN, HAIR = (CLASSES.index(name) for name in ("eyeglasses", "skin", "hair"))
EYES = CLASSES.index("left eye"), CLASSES.index("right eye")
MOUTH = "mouth", "upper lip", "lower lip"

RIM = 8
"""So many of 256 pixels from their edge inwards new glasses are painted; further in one sees through them."""

MIRRORED_CLASSES = (0, 1, 2, 3, 5, 4, 7, 6, 9, 8, 10, 11, 12, 13, 14, 15, 16, 17, 18)
"""The class that each class becomes when the picture is flipped left to right."""


def class_ids(*names):
    """The ids of classes, a list."""
    return [CLASSES.index(name) for name in names]


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
