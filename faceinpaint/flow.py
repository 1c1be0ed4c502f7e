"""Clean lines and strands: what is painted around the face follows the flow of its neighbourhood.

Where each strand of hair runs can't be known, so networks paint crinkles. The flow can be known: it is what
visible and painted lines agree on over some width, their structure tensor. The painting is smoothed along it
(coherence-enhancing filtering, Kyprianidis and Kang 2011), and hidden hair gets strands, noise that is
smoothed along it (line integral convolution, Cabral and Leedom 1993), to be as finely structured as what is
seen of it.
"""

import functools
import math
from typing import NamedTuple

import cv2
import numpy as np

from .detail import MEDIAN_OF_SQUARED_NORMAL, around, bands, coarsen, luminance
from .semantics import CLASSES, HAIR

_FLOWING = np.isin(CLASSES, ("background", "hair", "hat", "earring", "necklace", "neck", "cloth"))
"""By class, whether it is smoothed. Not the face: its shadings and short lines are what it is known by."""

_FINE, _WIDE = 0.5, 6.0
"""Blur of the picture whose gradients count, and of the tensor, so far around lines run alike; in pixels."""

_SHRINK = 4
"""The tensor is blurred on a picture so many times smaller."""

_SEEN_SAY = 2.0
"""Gradients of what is visible count so much more than those of what was painted."""

_DARKEST, _SHADE_BLUR = 12.0, 6.0
"""Structure is in proportion to the brightness: of at least so much of 255, blurred by so many pixels."""

_REACHES = 1, 3, 7, 15
"""How far to both sides each mean along the flow takes from, in pixels; a mean of means, so they add up."""

_HAIR_REACH, _REST_REACH = 4, 7
"""Reaches up to this are used in hair, and in the rest; in pixels of the networks."""

_MARGIN = 32
"""So far around the hole the painting is smoothed: `match_edge` looks 21 pixels off, the means 11 further."""

_HAIR_SHARE = 0.2
"""How much of the smoothed picture there is in hair.

LPIPS is the same with 0.4, the power of hair's finest octave 0.85 instead of 0.87 of the true one.
"""

_REST_SHARES = np.where(_FLOWING, np.float32(0.3), np.float32(0))
_REST_SHARES[[CLASSES.index("background"), HAIR]] = 0.7, 0
"""By class, how much of it there is in the rest: clothes all smoothed look like glass.

LPIPS of 100 validation faces with holes of 20-40% and 40-60%: all of it 0.0306, 0.0653, half of it 0.0305,
0.0649, none 0.0308, 0.0652, and so 0.0304, 0.0649.
"""

_STRAND_BLURS = 1.0, 2.0, 4.0
"""Strands are finer than the first, between it and the second, and so on up to 2 pixels, or, where these are
wider, one of the networks'; in pixels.
"""

_BLUR_REACH = 4
"""Where a blur ends, in its deviations."""

_GAIN, _OUTLIER, _COHERENCE = 1.2, 4.0, 0.8
"""Contrast of strands; structure beyond so many deviations is an edge; power of the coherence they go with.

Chosen, as all numbers here, by LPIPS and the power of hair's finest octave on 160 validation pictures: 0.0419
and 0.54 of the true power without grain, strands and smoothing; with strands of 1.2 times the contrast that
is lacking 0.0423 and 0.87, of 1.15 times 0.0422 and 0.84. In the 400 pictures of the model card's table these
have 0.72 and 0.70 of it; the goal is 0.7.
"""

_CURLY, _USUAL, _SLEEK = 0.2, 0.55, 0.7
"""Mean coherence of hair that is not combed at all, of most, and of hair that is combed all over.

In photos of ten people with half of the hair hidden the visible half's is within 0.12 of what the hidden
one's is in truth: 0.24 for short curls, 0.5 to 0.72 for others.
"""

_SHADES = 0.3, 2.0
"""Strands are at least and at most so bright against those in hair of middling brightness."""

_HAIR_TO_FACE = 0.045
"""Where no hair is seen: so much stronger than the visible face's is the power of hair's finest octaves,
times its brightness in levels of 255.

The median of 584 CelebAMask-HQ faces, for two octaves 0.045 and 0.036; of 16 larger photos, for three 0.059,
0.045 and 0.028. Two in three have 0.4 to 2.5 times of it.
"""

_LEAST_SEEN, _LEAST_HIDDEN = 200, 50
"""With fewer pixels of visible or of hidden hair there is nothing to go by, or to do."""


class Flow(NamedTuple):
    """Where lines run: unit vectors (x, y), H x W x 2, and how far they agree, H x W from 0 to 1; float32."""

    direction: np.ndarray
    coherence: np.ndarray


def find_flow(painted, unknown, layout, step=1):
    """The flow of what is around the face.

    Args:
        painted: H x W x 3 uint8, the painted face, where it is visible, too: beside the hole's edge the photo
            has another brightness, and that would count as a line.
        unknown: H x W bool, true where it is hidden.
        layout: H x W class ids.
        step: side of one of the networks' pixels in these; finer lines than the networks' have no say.

    Returns:
        A `Flow` of H x W.
    """
    light = luminance(painted)
    hair = (layout == HAIR).astype(np.uint8)
    # Where hair ends is not where it flows.
    reach = 2 * round(step) + 1
    weight = _FLOWING[layout] & (cv2.erode(hair, np.ones((reach, reach), np.uint8)) == hair)
    weight = weight * np.where(unknown, 1, _SEEN_SAY).astype(np.float32) / _shade(light, step)
    fine = cv2.GaussianBlur(light, (0, 0), _FINE * step)
    x, y = (cv2.Scharr(fine, cv2.CV_32F, *order) * weight for order in ((1, 0), (0, 1)))
    tensor = np.stack([x * x, x * y, y * y], -1)
    size = [max(1, round(length / (_SHRINK * step))) for length in light.shape[::-1]]
    tensor = cv2.resize(tensor, size, interpolation=cv2.INTER_AREA)
    tensor = cv2.GaussianBlur(tensor, (0, 0), _WIDE / _SHRINK)
    xx, xy, yy = cv2.split(cv2.resize(tensor, light.shape[::-1], interpolation=cv2.INTER_LINEAR))
    spread = np.hypot(xx - yy, 2 * xy)
    # Half the angle of the gradients, turned by a right one: by roots, much faster than by angles.
    cosine = (xx - yy) / np.maximum(spread, 1e-12)
    across = np.sqrt((1 - cosine) / 2), np.sqrt((1 + cosine) / 2)
    direction = cv2.merge([np.copysign(across[0], -xy), across[1]])
    return Flow(direction, spread / (xx + yy + 1e-6))


def smooth_along(flow, painted, unknown, layout):
    """Take the crinkles out of hair, clothes and background, not out of the face.

    The painting of what is visible beside the hole is smoothed, too: `detail.match_edge` tells by it what the
    networks miss there.

    Args:
        flow: from `find_flow`.
        painted: the painted face that it was found in.
        unknown: size x size bool, true where it is hidden.
        layout: size x size class ids.

    Returns:
        The painted face, smoothed in the hole and around it.
    """
    if not unknown.any():
        return painted
    near = around(unknown, _MARGIN)
    painted = painted.copy()
    painted[near] = _smooth(flow.direction[near], painted[near], layout[near])
    return painted


def _smooth(direction, painted, layout):
    hair = layout == HAIR
    parts = np.stack([hair, _FLOWING[layout] & ~hair], -1).astype(np.float32)
    light = luminance(painted)
    # The means of hair are of hair alone, and those of the rest of the rest.
    sums = hair_sums = np.concatenate([parts * light[..., None], parts], -1)
    for reach in _reaches(_REST_REACH):
        sums = _mean_along(direction, sums, reach)
        if reach <= _HAIR_REACH:
            hair_sums = sums
    smooth_hair = hair_sums[..., 0] / np.maximum(hair_sums[..., 2], 1e-3)
    smooth_rest = sums[..., 1] / np.maximum(sums[..., 3], 1e-3)
    shares = _HAIR_SHARE * _soft(layout), _REST_SHARES[layout]
    return _add(painted, shares[0] * (smooth_hair - light) + shares[1] * (smooth_rest - light))


def add_strands(flow, face, painted, unknown, layout, step=1):
    """Give hidden hair the fine structure of the visible hair, or of most that is as bright if none is seen.

    Args:
        flow: from `find_flow`.
        face: H x W x 3 uint8, the aligned face.
        painted: H x W x 3 uint8, the painted face with its grain.
        unknown: H x W bool, true where it was painted.
        layout: H x W class ids.
        step: side of one of the networks' pixels in these.

    Returns:
        The painted face, with strands where `unknown`.
    """
    strands = _strands(flow, face, painted, unknown, layout, step)
    return painted if strands is None else _add(painted, strands)


def _strands(flow, face, painted, unknown, layout, step):
    """What `add_strands` adds, H x W float32, or None: there is little hidden hair, or nothing to go by."""
    hair = (layout == HAIR).astype(np.uint8)
    hidden = cv2.erode(hair * unknown, np.ones((5, 5), np.uint8)) > 0
    if np.count_nonzero(hidden) < _LEAST_HIDDEN:
        return None
    seen = like = _off_from_hole(hair, unknown)
    reaches = _reaches(_HAIR_REACH * max(1, _combed(flow, seen) * step))
    no_hair_is_seen = np.count_nonzero(seen) < _LEAST_SEEN
    if no_hair_is_seen:
        seen, like = _off_from_hole(~_FLOWING[layout], unknown), hidden
        if np.count_nonzero(seen) < _LEAST_SEEN:
            return None
    light = luminance(np.where(unknown[..., None], painted, face))
    shade = _shade(light, step)
    share = _HAIR_TO_FACE * np.median(shade[hidden]) if no_hair_is_seen else 1
    shade = np.clip(shade / np.median(shade[like]), *_SHADES)
    blurs = [blur for blur in _STRAND_BLURS if blur <= max(2, step)]
    near = around(unknown & (hair > 0), math.ceil(sum(reaches) + _BLUR_REACH * blurs[-1]))
    lines = _noise(light.shape)[near]
    for reach in reaches:
        lines = _mean_along(flow.direction[near], lines, reach)
    strands = np.zeros_like(lines)
    for now, line in zip(bands(light, blurs), bands(lines, blurs), strict=True):
        power = now[seen] ** 2
        wanted = share * np.minimum(power, _OUTLIER**2 / MEDIAN_OF_SQUARED_NORMAL * np.median(power)).mean()
        lacking = max(0, wanted - np.mean((now[hidden] / shade[hidden]) ** 2))
        strands += _GAIN * np.sqrt(lacking / line[hidden[near]].var()) * line
    strands *= shade[near] * cv2.pow(flow.coherence[near], _COHERENCE) * _soft(layout[near])
    everywhere = np.zeros_like(light)
    everywhere[near] = np.where(unknown[near], strands, 0)
    return everywhere


def comb_enlarged(painted, hole, layout, step):
    """Make strands of the crinkles that an enlarged face has for hair, as far as visible hair is combed.

    At full size crinkles look like wool, whatever LPIPS says: of 16 large photos, a half or all above the
    brows hidden, it is 0.1044 and 0.0630 so, 0.1038 and 0.0616 without.

    Args:
        painted: H x W x 3 uint8, the restored face, enlarged over the photo.
        hole: H x W bool.
        layout: H x W class ids.
        step: side of one of the networks' pixels in pixels of the photo.

    Returns:
        The painted face, its hair in the hole smoothed along its flow, and that `Flow`, of the smaller
        picture that `coarsen` makes; None where no hair is hidden.
    """
    _, small_hole = coarsen(step, hole)
    layout = _shrink_to(layout, small_hole)
    hidden = small_hole & (layout == HAIR)
    if not hidden.any():
        return painted, None
    step, small = coarsen(step, painted)
    flow = find_flow(small, small_hole, layout, step)
    reaches = _reaches(_HAIR_REACH * step)
    near = around(hidden, sum(reaches))
    light, hair = luminance(small[near]), (layout[near] == HAIR).astype(np.float32)
    sums = np.stack([hair * light, hair], -1)
    for reach in reaches:
        sums = _mean_along(flow.direction[near], sums, reach)
    share = _combed(flow, _off_from_hole(layout == HAIR, small_hole))
    share = share * flow.coherence[near] * _soft(layout[near])
    change = np.zeros(small_hole.shape, np.float32)
    change[near] = share * (sums[..., 0] / np.maximum(sums[..., 1], 1e-3) - light)
    return _add_enlarged(painted, change, hole), flow


def add_strands_enlarged(flow, photo, painted, hole, layout, step):
    """Give hidden hair of an enlarged face the strands that are finer than the networks' pixels.

    Args:
        flow: from `comb_enlarged`.
        photo: H x W x 3 uint8.
        painted: H x W x 3 uint8, the restored face with its grain, enlarged over the photo.
        hole: H x W bool.
        layout: H x W class ids.
        step: side of one of the networks' pixels in pixels of the photo.

    Returns:
        The painted face, with strands in the hole.
    """
    if flow is None:
        return painted
    step, photo, small, small_hole = coarsen(step, photo, painted, hole)
    layout = _shrink_to(layout, small_hole)
    strands = _strands(flow, photo, small, small_hole, layout, step)
    return painted if strands is None else _add_enlarged(painted, strands, hole)


def _off_from_hole(kind, unknown):
    inside = cv2.erode(kind.astype(np.uint8), np.ones((7, 7), np.uint8))
    return (inside > 0) & (cv2.dilate(unknown.astype(np.uint8), np.ones((9, 9), np.uint8)) == 0)


def _combed(flow, seen):
    """How much hidden hair is to be combed, 0 to 1: as the visible hair is, or as most hair where none is."""
    coherence = flow.coherence[seen].mean() if np.count_nonzero(seen) >= _LEAST_SEEN else _USUAL
    return min(1, max(0, (coherence - _CURLY) / (_SLEEK - _CURLY)))


def _shrink_to(layout, small):
    return cv2.resize(layout, small.shape[::-1], interpolation=cv2.INTER_NEAREST)


def _add_enlarged(painted, change, hole):
    """`painted`, changed in the hole by so much, which was found on a smaller picture."""
    return _add(painted, hole * cv2.resize(change, hole.shape[::-1], interpolation=cv2.INTER_LINEAR))


@functools.lru_cache(maxsize=2)  # of the aligned face's size, and of an enlarged one's
def _noise(shape):
    return np.random.default_rng(0).standard_normal(shape, np.float32)


def _mean_along(direction, values, reach):
    """Means of `values`, H x W (x C) float32, in three places: here and at `reach` pixels to both sides."""
    height, width = values.shape[:2]
    here = np.empty((height, width, 2), np.float32)
    here[..., 0], here[..., 1] = np.arange(width), np.arange(height)[:, None]
    step = reach * direction
    total = values.copy()
    for there in (here - step, here + step):
        total += cv2.remap(values, there, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    total *= np.float32(1 / 3)
    return total


def _reaches(furthest):
    return [reach for reach in _REACHES if reach <= furthest]


def _shade(light, step):
    return np.maximum(cv2.GaussianBlur(light, (0, 0), _SHADE_BLUR * step), _DARKEST)


def _soft(layout):
    """How far inside the hair a pixel is, H x W float32 from 0 to 1."""
    hair = cv2.erode((layout == HAIR).astype(np.uint8), np.ones((3, 3), np.uint8))
    return cv2.GaussianBlur(hair.astype(np.float32), (0, 0), 1.5)


def _add(painted, change):
    return np.clip(painted + change[..., None], 0, 255).round().astype(np.uint8)
