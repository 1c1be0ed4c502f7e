"""Hole masks: free-form strokes, blobs, boxes, halves, borders, and the parts of a face.

Masks are bool, True = hole. Random ones draw from the numpy generator they are given.
"""

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from .semantics import MOUTH, class_ids

_EYES_AND_BROWS = "eyeglasses", "left eye", "right eye", "left brow", "right brow"

PARTS = {
    "left eye": class_ids("left eye", "left brow"),
    "right eye": class_ids("right eye", "right brow"),
    "eyes": class_ids(*_EYES_AND_BROWS),
    "glasses": class_ids("eyeglasses"),
    "nose": class_ids("nose"),
    "mouth": class_ids(*MOUTH),
    "hair": class_ids("hair", "hat"),
    "skin": class_ids("skin", "nose"),
    "ears": class_ids("left ear", "right ear", "earring"),
    "lower face": class_ids("nose", *MOUTH),
    "inner face": class_ids("nose", *_EYES_AND_BROWS, *MOUTH),
}
"""Groups of layout classes, by id, that a hole can cover, by the name that a user sees."""

PART_GROWTH = 6
"""By so many pixels of 256 a part's hole reaches beyond it."""

SMALLEST_LEFT = 100
"""Pieces of fewer pixels of 256 x 256 are not left visible in or beside a part's hole."""


def strokes(rng, size):
    """Free-form brush strokes as in Yu et al. 2019: a few wide polylines with turning angles."""
    mask = np.zeros((size, size), np.uint8)
    for _ in range(rng.integers(1, 7)):
        point = rng.integers(0, size, 2)
        angle = rng.uniform(0, 2 * np.pi)
        width = int(size * rng.uniform(0.03, 0.16))
        for _ in range(rng.integers(1, 10)):
            angle += rng.normal(0, 0.9)
            length = size * rng.uniform(0.05, 0.3)
            end = np.clip(point + length * np.array([np.cos(angle), np.sin(angle)]), 0, size).astype(int)
            cv2.line(mask, point.tolist(), end.tolist(), 1, width)
            cv2.circle(mask, end.tolist(), width // 2, 1, -1)
            point = end
    return mask.astype(bool)


def blob(rng, size):
    """One large smooth blob: a level set of blurred noise around a random centre."""
    cells = rng.integers(3, 7)
    noise = cv2.resize(rng.normal(0, 1, (cells, cells)), (size, size), interpolation=cv2.INTER_CUBIC)
    y, x = np.mgrid[:size, :size] / size
    centre = rng.uniform(0.2, 0.8, 2)
    radius = rng.uniform(0.12, 0.5)
    return np.hypot(y - centre[0], x - centre[1]) + 0.08 * noise < radius


def boxes(rng, size):
    """One to three upright boxes."""
    mask = np.zeros((size, size), bool)
    for _ in range(rng.integers(1, 4)):
        height, width = (size * rng.uniform(0.1, 0.6, 2)).astype(int)
        top, left = rng.integers(0, size - height), rng.integers(0, size - width)
        mask[top : top + height, left : left + width] = True
    return mask


def half(rng, size):
    """One side of the picture, left, right, top or bottom, up to 40% to 60% of its width."""
    mask = np.zeros((size, size), bool)
    mask[: int(size * rng.uniform(0.4, 0.6))] = True
    return np.ascontiguousarray(np.rot90(mask, rng.integers(4)))


def all_but_border(rng, size):
    """Everything but a border of 8% to 25% of the side."""
    mask = np.zeros((size, size), bool)
    top, left, bottom, right = (size * rng.uniform(0.08, 0.25, 4)).astype(int)
    mask[top : size - bottom, left : size - right] = True
    return mask


KINDS = {strokes: 0.5, blob: 0.18, boxes: 0.16, half: 0.1, all_but_border: 0.06}
"""Kinds of random holes and how often `random_mask` draws each."""


def random_mask(rng, size, low=0.01, high=0.7):
    """Draw a hole that covers between `low` and `high` of a `size` x `size` picture; bool array."""
    kinds = list(KINDS)
    while True:
        kind = kinds[rng.choice(len(kinds), p=list(KINDS.values()))]
        mask = kind(rng, size)
        if kind is strokes and rng.random() < 0.35:
            mask |= strokes(rng, size)
        if low <= mask.mean() <= high:
            return mask


def mask_bank(count, size, seed):
    """`count` random holes as a count x size x size bool tensor, drawn beforehand for training."""
    rng = np.random.default_rng(seed)
    return torch.from_numpy(np.stack([random_mask(rng, size) for _ in range(count)]))


def part_mask(layout, part, grow):
    """The hole that covers one facial part.

    Args:
        layout: class ids, tensor N x H x W.
        part: a key of `PARTS`.
        grow: how far the hole reaches beyond the part, in pixels.

    Returns:
        N x H x W bool tensor.
    """
    mask = torch.isin(layout, torch.tensor(PARTS[part], dtype=layout.dtype, device=layout.device))
    return F.max_pool2d(mask[:, None].float(), 2 * grow + 1, stride=1, padding=grow)[:, 0] > 0


def grown_part(layout, part):
    """The hole that covers one facial part and a little around it, without crumbs left in it.

    Args:
        layout: 256 x 256 uint8 class ids.
        part: a key of `PARTS`.

    Returns:
        256 x 256 bool.
    """
    square = np.ones((2 * PART_GROWTH + 1, 2 * PART_GROWTH + 1), np.uint8)
    hole = cv2.dilate(np.isin(layout, PARTS[part]).astype(np.uint8), square) > 0
    _, pieces, boxes, _ = cv2.connectedComponentsWithStats((~hole).astype(np.uint8))
    # Of what is left of a mouth in hidden skin nobody would guess that it still counts.
    return hole | (boxes[:, cv2.CC_STAT_AREA] < SMALLEST_LEFT)[pieces]


def grown(area, reach):
    """An area, H x W bool, and what lies within so many pixels of it."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    return cv2.dilate(area.astype(np.uint8), disc) > 0


def lower_half(layout):
    """The hole of a medical mask, 256 x 256 bool: the face from the lower third of the nose down.

    `layout` are its class ids. The hole takes a little around that, as other parts' do: the rim of the chin
    would be left beside another chin.
    """
    rows = np.flatnonzero(np.isin(layout, PARTS["nose"]).any(1))
    top = (rows.min() + 2 * rows.max()) // 3 if rows.size else layout.shape[0] * 6 // 10
    mask = grown(np.isin(layout, class_ids("skin", "nose", *MOUTH)), PART_GROWTH)
    mask[:top] = False
    return mask


def resize_mask(mask, width, height):
    """A mask at another size; a smaller one that was made larger comes back unchanged. H x W bool."""
    if mask.shape == (height, width):
        return mask
    return np.asarray(Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST))


def repaint_mask(mask, painted):
    """Take over into `mask` what was painted, or erased, on a canvas of another size that showed it.

    Args:
        mask: H x W bool.
        painted: bool array of the canvas's size.

    Returns:
        H x W bool; it differs from `mask` only where the canvas differs from what it showed.
    """
    height, width = mask.shape
    changed = painted != resize_mask(mask, painted.shape[1], painted.shape[0])
    return np.where(resize_mask(changed, width, height), resize_mask(painted, width, height), mask)
