"""What the hole takes over from the photo: tone, sharpness, grain, and detail beyond 256 x 256 pixels.

Contextual residual aggregation (Yi et al. 2020, section 3.2): what an enlarged face lacks, the residual of
the visible skin and hair, is carried into the hole, from where Stage 2's own attention looked as it painted.
"""

import bisect
import itertools
import math

import cv2
import numpy as np
import torch

from .semantics import CLASSES, NUM_CLASSES, SKIN, class_ids

CELL = 8
"""Side of the cells that detail is carried by, in pixels of the aligned face: those of the attention."""

_LAYOUT_SAY = 10.0
"""How much the layouts' agreement counts beside the logarithm of the attention."""

_LIKE_BRIGHTNESS = 10.0
"""By so many levels of 255 a cell's mean brightness is off its source's where that counts e times less.

Grain of stubble, or of shadow, looks like leather on a bright cheek. LPIPS of 64 holes in large photos:
0.06838 where brightness has no say, 0.06828, 0.06823, 0.06827 with 20, 10 and 5.
"""

_LEAST_AGREEMENT = 0.5
"""Share of a cell that must be of its source's kind; else it gets no detail: it would be a stranger's."""

_MOST_USES = 16
"""So many cells at most take their detail from one: in a face of which only an ear was seen, one showed as
stripes in 224. LPIPS of 160 validation pictures: 0.04225 without this limit, 0.04226 with it, 0.04231 with 8.
"""

_KINDS = np.arange(NUM_CLASSES, dtype=np.uint8)
_KINDS[class_ids("nose", "neck", "left ear", "right ear")] = SKIN
"""What each class is made of: all skin is skin, so that the few cells of one part need not serve all."""

_SKIN_BLUR = 4.0
"""Skin's colours are blurred by so many pixels of the aligned face."""

_SKIN_MARGIN = 32
"""So far around the hole, too: `match_edge` looks 21 pixels off, and the blur reaches further."""

_SHARPNESS_BLURS = 0.7, 1.4, 2.8
"""Blurs, in pixels of the aligned face, between which lie the octaves that tell how sharp a picture is."""

_SHARPER, _AS_SHARP = (1.2, 0.6), (0.3, 0.3)
"""By so many factors of two the two finest octaves may be stronger in the hole, against the third: before it
is blurred, and after.

None of 250 holes in sharp validation photos is blurred, and 181 of 200 in photos that were blurred by 1, 2 or
3 pixels or shrunk to 64 or 128: their LPIPS falls from 0.0949, 0.1223, 0.1515, 0.1296 and 0.0916 to 0.0813,
0.0849, 0.0877, 0.0929 and 0.0870.
"""

_LEAST_POWER = 0.01
"""Octaves of less power, in squared levels of 255, are nothing but rounding."""

_SOFT_BLURS = 0.5, 0.7, 0.85, 1.0, 1.2, 1.4, 1.7, 2.0, 2.4, 2.8, 3.4
"""What the hole is blurred by, in pixels of the aligned face: the first one that is enough."""

_EDGE_LEVELS = ((4, 3, 12, 10), (1.5, 1.5, 6, 10), (0.5, 0.7, 4, 20), (0.3, 0.3, 3, 40))
"""Blur, width of the ring that is looked at and reach of `match_edge`, in pixels of the aligned face; and its
largest jump, in levels of 255: a larger one is another thing beside the hole, not another brightness.
"""

_FINEST_STEP = 4
"""Where a pixel of the networks is more photo pixels wide, a smaller picture is worked on."""

_GRAIN, _GRAIN_LIMIT, _GRAIN_SHARE, _GRAIN_GAIN = 1.0, 4.2, 0.8, 1.5
"""Grain is what is finer than this blur, in pixels of the aligned face, up to so many times its lower
quartile; the hole is to have so much of its power, and gets at most so many times the grain.

Chosen by LPIPS and the power of skin's finest octave on 160 validation pictures: 0.0634 and 0.79 of the true
power; half of the grain for all 0.0632 and 0.75. With noise of 6, 12 or 20 levels 0.0927, 0.0988 and 0.1053;
half of it for all 0.1054, 0.1289 and 0.1558 (60 pictures). All that was with medians.
"""

_GRAIN_STEPS, _STRONGEST_GRAIN = 64, 4095
"""Grain is reckoned in so many steps of a level; what is stronger than so many of them counts as these."""

_MOST_LINES, _LINES, _FAINT = 2.5, 2.8, 0.5
"""Skin gives no grain where what is coarser than that, but finer than this blur in pixels of the aligned
face, is so many times as strong as its grain is, and that counts as so many levels at least: ears have folds,
which were veins on a forehead. By LPIPS it makes no difference, 1.5 or 4.0 neither; with 4.0 there are some
veins left, with 1.5 skin lost grain.
"""

MEDIAN_OF_SQUARED_NORMAL, _QUARTILE_OF_NORMAL = 0.455, 0.319
"""Median of the square, and lower quartile of the size, of a normal variable of deviation 1."""

_STEPS = np.diff(np.eye(256), axis=0)
_TONE_STIFFNESS = 0.4 * _STEPS.T @ _STEPS
"""What a tone's curve pays for its squared steps from level to level, beside the mean squared misfit."""

_TONE_CELLS = 16
"""So many cells along a side are compared with the curve, each by its mean colour: that has no grain."""

_OFF_TONE, _GREY_OFF, _TINT_OFF = 2, 0.25, 0.12
"""How far the cells of a photo in one tone are off its curve at most, root mean square in levels; and how far
without a doubt: so many levels, or such a share of what the curve is off grey. Much in a colour photo may be
white, grey or black, hardly all of it sepia.
"""

_DOUBT, _LARGEST_WISH = 6, 8
"""In doubt it is in one tone if the networks, which saw it, painted it nearly so: off the curve by no more
levels than the first number divided by those that the photo is off, nor than the second.

All this was chosen on 4,748 colour photos with skin hidden, face and ears, these and the neck, or all but a
border: 69 of 18,992 holes are toned, 23 of them by more than 5 levels; 1,136 when single pixels decided. Of
2,580 holes in photos made grey, sepia, blue, faded, noisy or stained 10 are not; 326 then.
"""

_LEAST_SEEN, _LEAST_PAINTED = 1000, 100
"""Fewer visible pixels do not tell the tone or the sharpness of a photo, fewer painted ones not theirs."""

_ENLARGED_GRAIN = 0.75
"""How much of an aligned face's grain is kept where it is enlarged: the photo's own is finer.

LPIPS of 64 holes in 16 photos with faces of 420 to 1,024 pixels: 0.0687, 0.0684 and 0.0684 with 0.5, 0.75 and
1. Where the upsampler sees that grain 0.0684, too; but it makes worms of it, which show at full size.
"""

_FINE_GRAIN = 0.35
"""What is finer than this blur, in pixels of the aligned face, is grain of an enlarged one.

LPIPS of 160 validation pictures, painted at a half and at a third of their size and enlarged to it: 0.0461
and 0.0497; with a blur of 0.25 0.0464 and 0.0494, of 0.5 0.0463 and 0.0506.
"""

_EDGE_BLUR, _EDGE_PULL = 0.5, 0.00625
"""How wide the edges are that are steepened, in pixels of the aligned face, and how far pixels are pulled.

The LPIPS above is 0.0463 and 0.0508 without, 0.0466 and 0.0499 with twice as much of it.
"""

_LARGEST_PULL = 0.75
"""No pixel is pulled further, in pixels of the aligned face."""

_SHARP_MARGIN = 24
"""So far around the hole edges are steepened, too: `match_edge` looks 21 pixels off."""

_ROWS_AT_ONCE = 256
"""Rows of the photo that are worked on at once: a large photo's index arrays would not fit otherwise."""


def even_skin(painted, unknown, layout):
    """Take blotches of colour out of painted skin; its brightness stays.

    Skin is blotchy in truth, too, but where can't be known, and at random places it looks like stains. LPIPS
    of 160 validation pictures: 0.0634 without, 0.0632 with it.

    Args:
        painted: size x size x 3 uint8, the painted face, where it is visible, too.
        unknown: size x size bool, true where it is hidden.
        layout: size x size class ids.

    Returns:
        The painted face, its skin's colours evened out in the hole and around it.
    """
    if not unknown.any():
        return painted
    near = around(unknown, _SKIN_MARGIN)
    skin = (_KINDS[layout[near]] == SKIN).astype(np.uint8)
    inside = cv2.erode(skin, np.ones((5, 5), np.uint8))
    if not inside.any():
        return painted
    picture = cv2.cvtColor(painted[near], cv2.COLOR_RGB2YCrCb)
    # The means of skin are of skin alone; at half the size they cost a quarter.
    sums = cv2.bitwise_and(picture, picture, mask=skin)
    sums[..., 0] = 255 * skin
    sums = cv2.resize(sums, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA).astype(np.float32)
    sums = cv2.GaussianBlur(sums, (0, 0), _SKIN_BLUR / 2)
    means = 255 * sums[..., 1:] / np.maximum(sums[..., :1], 1)
    picture[..., 1:] = np.rint(cv2.resize(means, skin.shape[::-1], interpolation=cv2.INTER_LINEAR))
    painted = painted.copy()
    painted[near] = cv2.copyTo(cv2.cvtColor(picture, cv2.COLOR_YCrCb2RGB), inside, painted[near])
    return painted


def match_sharpness(face, painted, unknown, layout):
    """Blur the hole of a photo that is not sharp itself.

    The background has no say: behind a sharp face it may well be blurred.

    Args:
        face: size x size x 3 uint8, an aligned face.
        painted: size x size x 3 uint8, the painted face.
        unknown: size x size bool, true where it was painted.
        layout: size x size class ids.

    Returns:
        The painted face, no sharper in the hole than the face is beside it.
    """
    seen = _well_visible(unknown, layout)
    hidden = cv2.erode(unknown.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    hidden &= layout != CLASSES.index("background")
    if np.count_nonzero(seen) < _LEAST_SEEN or np.count_nonzero(hidden) < _LEAST_PAINTED:
        return painted
    light, sharp = luminance(painted), _sharpness(luminance(face), seen)
    if (_sharpness(light, hidden) - sharp <= _SHARPER).all():
        return painted

    def is_soft(blur):
        return (_sharpness(cv2.GaussianBlur(light, (0, 0), blur), hidden) - sharp <= _AS_SHARP).all()

    blur = _SOFT_BLURS[bisect.bisect_left(_SOFT_BLURS[:-1], True, key=is_soft)]
    return np.where(unknown[..., None], cv2.GaussianBlur(painted, (0, 0), blur), painted)


def _well_visible(unknown, layout):
    """The face without its background, off from the hole."""
    beside = cv2.dilate(unknown.astype(np.uint8), np.ones((11, 11), np.uint8)) > 0
    return ~beside & (layout != CLASSES.index("background"))


def _sharpness(light, area):
    """How much stronger the two finest octaves are in an area than the third, in factors of two."""
    powers = [np.mean(band[area] ** 2) + _LEAST_POWER for band in bands(light, _SHARPNESS_BLURS)]
    return np.log2(powers[:2]) - np.log2(powers[2])


def luminance(picture):
    """Brightness of H x W x 3 uint8 RGB as H x W float32, 0 to 255."""
    return cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)


def bands(light, blurs):
    """What of H x W brightness is finer than the first blur, between that and the second, and so on.

    Args:
        light: H x W float32.
        blurs: deviations of Gaussian blurs in pixels, finest first.

    Returns:
        A list of as many H x W float32 arrays as there are blurs.
    """
    blurred = [light, *(cv2.GaussianBlur(light, (0, 0), blur) for blur in blurs)]
    return [finer - coarser for finer, coarser in itertools.pairwise(blurred)]


def match_tone(face, unknown, painted):
    """Keep the hole in the one tone of a grey or sepia photo.

    Args:
        face: size x size x 3 uint8, an aligned face.
        unknown: size x size bool, true where it was painted.
        painted: size x size x 3 uint8, the painted face.

    Returns:
        The painted face; where the visible colours follow from the brightness alone, so do its own.
    """
    seen = ~unknown
    if not unknown.any() or np.count_nonzero(seen) < _LEAST_SEEN:
        return painted
    picture, toned = (cv2.cvtColor(rgb, cv2.COLOR_RGB2YCrCb) for rgb in (face, painted))
    curve, tint = _tone_curve(*(plane[seen] for plane in cv2.split(picture)))
    off = _off_curve(picture, seen, curve)
    if off > _OFF_TONE:
        return painted
    # With the skin hidden, what is left of a colour photo may well be white, grey and black.
    if off > max(_GREY_OFF, _TINT_OFF * tint):
        wish = _off_curve(toned, unknown, curve)
        if wish > min(_DOUBT / off, _LARGEST_WISH):
            return painted
    toned[..., 1:] = curve.round().take(toned[..., 0], 0)
    return cv2.cvtColor(toned, cv2.COLOR_YCrCb2RGB)


def _tone_curve(light, *colours):
    """The colour that each brightness has in a photo, and how far that is off grey.

    A least squares fit that hardly changes from level to level where few pixels are: between the levels that
    are seen it goes straight, beyond them it stays.

    Args:
        light: N uint8, the visible pixels' brightness.
        colours: their Cr and Cb, N uint8 each.

    Returns:
        256 x 2 float32, and the root mean square of the pixels' distances, in levels.
    """
    share = np.bincount(light, minlength=256) / len(light)
    sums = np.stack([np.bincount(light, colour, 256) for colour in colours], -1) / len(light)
    # By PyTorch: for a while after such a call NumPy's threads keep the networks' from the cores.
    matrix = torch.from_numpy(np.diag(share) + _TONE_STIFFNESS)
    curve = torch.linalg.solve(matrix, torch.from_numpy(sums)).numpy()
    return curve.astype(np.float32), math.sqrt((share * ((curve - 128) ** 2).sum(1)).sum())


def _off_curve(picture, area, curve):
    """Root mean square by which the cells' mean colours are off a tone's curve, H x W x 3 uint8 YCrCb."""
    cells = _TONE_CELLS, _TONE_CELLS
    off = (picture[..., 1:] - curve.take(picture[..., 0], 0)) * area[..., None]
    off = cv2.resize(off, cells, interpolation=cv2.INTER_AREA)
    share = cv2.resize(area.astype(np.float32), cells, interpolation=cv2.INTER_AREA)
    there = share > 0
    return math.sqrt(((off[there] ** 2).sum(-1) / share[there]).sum() / share.sum())


def pick_sources(attention, restored, unknown, layout):
    """For each cell of an aligned face, the visible cell to take detail from: of its kind and brightness.

    The residuals of one cell are taken, not the mean of many, which would have no grain left. Among cells
    that do about alike one is drawn, always in the same way, and none is taken many times: later ones get the
    next best.

    Args:
        attention: T x T weights from each cell to each, row by row, as `TextureGenerator` tells them.
        restored: size x size x 3 uint8, the aligned face with its hole filled.
        unknown: size x size bool, true where the face was painted.
        layout: size x size class ids: hair gives to hair, skin to skin.

    Returns:
        side x side x 2 int array of the way from each painted cell to its source, x and y in pixels of the
        aligned face, none where no visible cell is alike or left; None where no cell that could give any is
        fully visible.
    """
    side = unknown.shape[0] // CELL
    # The filter that aligned the face reaches two pixels further than a cell.
    near = cv2.dilate(unknown.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    light, kinds = luminance(restored), _KINDS[layout]
    visible = ~_cells(near, side).any(-1).ravel() & ~_lined_skin(light, (kinds == SKIN) & ~near, side)
    if not visible.any():
        return None
    targets = np.flatnonzero(_cells(unknown, side).any(-1).ravel())
    sources = np.flatnonzero(visible)
    cells = _cells(kinds, side).reshape(side * side, -1) + NUM_CLASSES * np.arange(side * side)[:, None]
    shares = np.bincount(cells.ravel(), minlength=NUM_CLASSES * side * side).reshape(-1, NUM_CLASSES)
    agreement = np.zeros((len(targets), len(sources)), np.uint8)
    for share in shares.T[shares.any(0)].astype(np.uint8):
        agreement += np.minimum(share[targets, None], share[sources])
    likely = np.exp(_LAYOUT_SAY * np.arange(CELL * CELL + 1, dtype=np.float32) / CELL**2)
    likely = (attention.take(targets, 0).take(sources, 1) + 1e-6) * likely[agreement]
    light = cv2.resize(light, (side, side), interpolation=cv2.INTER_AREA).ravel()
    likely *= np.exp(np.abs(light[targets, None] - light[sources]) / -_LIKE_BRIGHTNESS)
    # The earliest of exponential waiting times is a draw in proportion to their rates.
    waits = np.random.default_rng(0).standard_exponential(likely.shape, np.float32) / likely
    # Strangers are never taken from.
    waits[agreement < _LEAST_AGREEMENT * CELL**2] = np.inf
    chosen = _take_turns(waits)
    targets, chosen = targets[chosen >= 0], sources[chosen[chosen >= 0]]
    steps = np.zeros((side * side, 2), int)
    steps[targets] = np.stack([chosen % side - targets % side, chosen // side - targets // side], -1) * CELL
    return steps.reshape(side, side, 2)


def _lined_skin(light, skin, side):
    """Which cells have more lines than grain: side*side bool, row by row; only those of visible `skin`."""
    if not skin.any():
        return np.zeros(side * side, bool)
    grain, lines = bands(light, (_GRAIN, _LINES))
    strength = np.quantile(np.abs(grain[skin]), 0.25) / _QUARTILE_OF_NORMAL
    powers, share = (
        cv2.resize(values, (side, side), interpolation=cv2.INTER_AREA).ravel()
        for values in (lines * lines, skin.astype(np.float32))
    )
    return (share > 0.5) & (powers > (_MOST_LINES * max(strength, _FAINT)) ** 2)


def _take_turns(waits):
    """For each row the column whose wait is shortest, none of them more than `_MOST_USES` times.

    Args:
        waits: R x C numbers, infinite where a row must not take a column; those that are used up become so.

    Returns:
        R columns; -1 where none is left.
    """
    taken = np.full(len(waits), -1)
    uses = np.zeros(waits.shape[1], int)
    waiting = np.arange(len(waits))
    while waiting.size:
        column = waits[waiting].argmin(1)
        wait = waits[waiting, column]
        order = np.lexsort((wait, column))
        order = order[np.isfinite(wait[order])]
        waiting, column = waiting[order], column[order]
        _, first, count = np.unique(column, return_index=True, return_counts=True)
        earlier = np.arange(len(column)) - np.repeat(first, count)
        served = earlier < _MOST_USES - uses[column]
        taken[waiting[served]] = column[served]
        uses += np.bincount(column[served], minlength=len(uses))
        waits[:, uses >= _MOST_USES] = np.inf
        waiting = waiting[~served]
    return taken


def match_edge(photo, painted, hole, step):
    """Take the jump in brightness and colour out of the hole's edge.

    What the networks painted beside the hole, where the photo is known, tells how far off they are; that
    difference is carried into the hole from its edge and fades out, coarse first, then fine: a membrane
    (Perez et al. 2003) of short reach, so that a layout that was repainted keeps its colours.

    Args:
        photo: H x W x 3 uint8.
        painted: H x W x 3 uint8, the networks' picture over the photo, its visible part too.
        hole: H x W bool.
        step: side of one of the networks' pixels in pixels of the photo.

    Returns:
        `painted`, H x W x 3 uint8, matched where `hole` is true.
    """
    small_step, *small = coarsen(step, photo, painted, hole)
    offset = _edge_offset(*small, small_step)
    offset = cv2.resize(offset, hole.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.clip(painted + offset, 0, 255).astype(np.uint8)


def coarsen(step, *pictures):
    """Make pictures smaller where one of the networks' pixels is more than `_FINEST_STEP` photo pixels wide.

    Args:
        step: side of one of the networks' pixels in pixels of the photo.
        pictures: H x W (x C) uint8, or H x W bool, where a pixel that a true one has any part in is true.

    Returns:
        The step on the smaller pictures, and these; or all as it was.
    """
    shrink = math.ceil(step / _FINEST_STEP)
    if shrink == 1:
        return step, *pictures
    height, width = pictures[0].shape[:2]
    size = math.ceil(width / shrink), math.ceil(height / shrink)

    def smaller(picture):
        if picture.dtype == bool:
            return cv2.resize(picture.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0
        return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)

    return step / shrink, *map(smaller, pictures)


def _edge_offset(photo, painted, hole, step):
    """What `match_edge` adds, H x W x 3 int16; nothing far from the hole."""
    levels = [
        (max(0.6, sigma * step), max(1, ring * step), max(2, reach * step), largest)
        for sigma, ring, reach, largest in _EDGE_LEVELS
    ]
    offset = np.zeros(painted.shape, np.int16)
    # The blurs end at four times their width.
    near = around(hole, math.ceil(max(ring + 4 * sigma for sigma, ring, *_ in levels)) + 2)
    hole = hole[near].astype(np.uint8)
    outside = cv2.distanceTransform(1 - hole, cv2.DIST_L2, 3)
    inside = cv2.distanceTransform(hole, cv2.DIST_L2, 3)
    by_level = []
    for sigma, ring, reach, largest in levels:
        at_edge = np.float32((outside > 0) & (outside <= ring))
        spread = cv2.GaussianBlur(at_edge, (0, 0), sigma)
        share = cv2.exp(inside / -reach) / np.maximum(spread, 1e-6) * (spread > 1e-6)
        by_level.append((sigma, largest, at_edge, share))
    # Plane by plane: what is the same for all three is worked out once, and nothing is broadcast.
    for channel in range(3):
        known, plane = (np.float32(picture[near][..., channel]) for picture in (photo, painted))
        result = plane.copy()
        for sigma, largest, at_edge, share in by_level:
            jump = np.clip(known - result, -largest, largest) * at_edge
            result += cv2.GaussianBlur(jump, (0, 0), sigma) * share
        offset[near][..., channel] = np.rint(result - plane)
    return offset


def around(area, margin):
    """The part of the picture, as slices, that holds the bool area with a margin of so many pixels."""
    here = []
    for axis in (1, 0):
        places = np.flatnonzero(area.any(axis))
        here.append(slice(max(0, places[0] - margin), places[-1] + margin + 1))
    return tuple(here)


def soften(face, painted, unknown, layout):
    """An aligned face without its grain: what `carry_detail` is to take for seen at its own size.

    Networks paint hair and skin too smoothly even at the size that they see, and noise not at all. As much
    grain is taken out, and so carried into the hole, as the painted face lacks, each kind of thing by itself.

    Args:
        face: size x size x 3 uint8.
        painted: size x size x 3 uint8, the painted face.
        unknown: size x size bool; these pixels of the face have no say in others.
        layout: size x size class ids: how strong grain is, each class tells for itself.

    Returns:
        size x size x 3 uint8.
    """
    known = (~unknown).astype(np.float32)[..., None]
    weight = cv2.GaussianBlur(known, (0, 0), _GRAIN)[..., None]
    smooth = cv2.GaussianBlur(face * known, (0, 0), _GRAIN) / np.maximum(weight, 1e-3)
    painted = painted.astype(np.float32)
    grain = np.where(unknown[..., None], painted - cv2.GaussianBlur(painted, (0, 0), _GRAIN), face - smooth)
    grain = np.rint(_GRAIN_STEPS * grain).astype(np.int16)
    return _without_grain(face, grain, unknown, layout)


def soften_enlarged(photo, painted, hole, layout, step):
    """A large photo without its fine grain: what `carry_detail` is to take for seen.

    As much grain is taken out, and so carried into the hole, as the enlarged face lacks, as in `soften`.

    Args:
        photo: H x W x 3 uint8.
        painted: H x W x 3 uint8, the restored face, enlarged over the photo and matched to it at the edge.
        hole: H x W bool.
        layout: H x W class ids.
        step: side of one of the networks' pixels in pixels of the photo.

    Returns:
        H x W x 3 uint8; nothing is taken out in the hole.
    """
    # Its brightness must not jump at the hole: that would be grain.
    picture = cv2.copyTo(painted, hole.view(np.uint8), photo.copy())
    small_step, small = coarsen(step, picture)
    smooth = cv2.GaussianBlur(small.astype(np.int16) * _GRAIN_STEPS, (0, 0), _FINE_GRAIN * small_step)
    grain = picture.astype(np.int16) * _GRAIN_STEPS
    grain -= cv2.resize(smooth, hole.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return _without_grain(photo, grain, hole, layout)


def _without_grain(photo, grain, hole, layout):
    """Take out of the visible as much grain as the hole lacks, each kind of thing by itself.

    What is beyond a few times the lower quartile is an edge, not grain; it is cut down to grain, since in
    another place it would be a scratch.

    Args:
        photo: H x W x 3 uint8.
        grain: H x W x 3 int16, of the visible and, in the hole, of what was painted, in `_GRAIN_STEPS`.
        hole: H x W bool.
        layout: H x W class ids.

    Returns:
        H x W x 3 uint8; nothing is taken out in the hole.
    """
    kinds = _KINDS[layout]
    # A hundred thousand pixels tell as much of grain as millions.
    some = np.s_[:: 1 + len(photo) // 512, :: 1 + photo.shape[1] // 512]
    strengths = np.minimum(np.abs(grain[some]), _STRONGEST_GRAIN)
    # Hidden kinds come after the visible ones.
    groups = kinds[some] + NUM_CLASSES * hole[some].astype(np.intp)
    counts = np.bincount(
        (groups[..., None] * (_STRONGEST_GRAIN + 1) + strengths).ravel(),
        minlength=2 * NUM_CLASSES * (_STRONGEST_GRAIN + 1),
    ).reshape(2, NUM_CLASSES, -1)
    limits, gains = np.zeros((2, 256), np.float32)
    for kind in np.flatnonzero(counts[0].any(-1)):
        limits[kind], gains[kind] = _grain_to_carry(*counts[:, kind])
    kinds[hole] = 255
    result = np.empty_like(photo)
    for top in range(0, len(photo), _ROWS_AT_ONCE):
        strip = slice(top, top + _ROWS_AT_ONCE)
        limit, gain = (cv2.merge(3 * [cv2.LUT(kinds[strip], values)]) for values in (limits, gains))
        carried = np.clip(grain[strip], -limit, limit) * (gain / _GRAIN_STEPS)
        result[strip] = cv2.subtract(photo[strip], carried, dtype=cv2.CV_8U)
    return result


def _grain_to_carry(seen, own):
    """How strong grain of one kind may be, in `_GRAIN_STEPS`, and what it is to be multiplied by.

    `seen` and `own` count how often the visible grain and that of the painting is of which strength. By
    lower quartiles: grain is everywhere, and what is stronger may be lines.
    """
    level = _lower_quartile(seen)
    own_level = _lower_quartile(own) if own.any() else level
    limit = _GRAIN_LIMIT * level
    lacking = max(0, _GRAIN_SHARE * level**2 - own_level**2) / _QUARTILE_OF_NORMAL**2
    power = np.average(np.minimum(np.arange(len(seen)), limit) ** 2, weights=seen)
    return limit, min(_GRAIN_GAIN, math.sqrt(lacking / max(power, 1)))


def _lower_quartile(counts):
    """The lower quartile of whole numbers from zero on, of how often each occurs."""
    below = counts.cumsum()
    return int(np.searchsorted(below, below[-1] / 4))


def enlarge(restored, upsampled, grain, face, unknown, layout):
    """A restored face for a larger photo, in the hole as sharp as the photo around it, and in its one tone.

    Args:
        restored: 256 x 256 x 3 uint8, the aligned face with its hole filled, but without grain there.
        upsampled: the same at twice its size, by `FaceUpsampler`.
        grain: 256 x 256 x 3 int16, what `carry_detail` added to it.
        face: size x size x 3 uint8, the aligned face as the photo has it, at most as large as `upsampled`.
        unknown: size x size bool, true where it is hidden.
        layout: 256 x 256 class ids.

    Returns:
        size x size x 3 uint8.
    """
    side = face.shape[1::-1]
    layout = cv2.resize(layout, side, interpolation=cv2.INTER_NEAREST)
    soft = cv2.resize(restored, side, interpolation=cv2.INTER_CUBIC)
    sharp = cv2.resize(upsampled, side, interpolation=cv2.INTER_AREA)
    new = _as_far_as_seen(soft, sharp, face, unknown, layout)
    if unknown.any():
        step = len(face) / len(restored)
        near = around(unknown, math.ceil(_SHARP_MARGIN * step))
        new[near] = _steepen_edges(new[near], step)
    new = match_sharpness(face, new, unknown, layout)
    # Not by the network, which would make lines of it.
    grain = cv2.resize(grain.astype(np.float32), side, interpolation=cv2.INTER_CUBIC)
    new = cv2.add(new, _ENLARGED_GRAIN * grain, dtype=cv2.CV_8U)
    # A network that adds detail adds a little colour, too.
    return match_tone(face, unknown, new)


def _as_far_as_seen(soft, sharp, face, unknown, layout):
    """As much of what has been added to `soft` as is in what is visible: least squares; all if little is."""
    seen = _well_visible(unknown, layout)
    if np.count_nonzero(seen) < _LEAST_SEEN:
        return sharp
    added = sharp.astype(np.int16) - soft
    at_seen = added[seen].ravel().astype(np.float32)
    lacking = (face[seen].astype(np.int16) - soft[seen]).ravel().astype(np.float32)
    share = np.clip(at_seen @ lacking / max(at_seen @ at_seen, 1), 0, 1)
    return np.clip(np.rint(soft + share * added), 0, 255).astype(np.uint8)


def _steepen_edges(picture, step):
    """Enhancement by warping (Arad and Gotsman 1999).

    Every pixel is taken from a little further off the edge that it lies beside, so that edges get narrower
    without getting stronger, and no light or dark lines come beside them. `step` is the side of one of the
    networks' pixels in those of the picture.
    """
    height, width = picture.shape[:2]
    light = cv2.GaussianBlur(luminance(picture), (0, 0), 0.7 * _EDGE_BLUR * step)
    edges = cv2.GaussianBlur(cv2.magnitude(*_gradient(light)), (0, 0), _EDGE_BLUR * step)
    limit = _LARGEST_PULL * step
    x, y = (np.clip(-_EDGE_PULL * step**3 * slope, -limit, limit) for slope in _gradient(edges))
    x += np.arange(width, dtype=np.float32)
    y += np.arange(height, dtype=np.float32)[:, None]
    return cv2.remap(picture, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)


def _gradient(values):
    return tuple(cv2.Scharr(values, cv2.CV_32F, *order, scale=1 / 32) for order in ((1, 0), (0, 1)))


def carry_detail(photo, seen, painted, hole, sources, frame):
    """Add the photo's own detail to the restored face.

    A pixel of the hole gets the residual, photo minus photo without detail, of the pixel that lies as far
    from it as its cell's source does: residuals are moved by whole pixels, so that grain stays as sharp as it
    is.

    Args:
        photo: H x W x 3 uint8.
        seen: H x W x 3 uint8, the photo without its detail, from `soften` or `soften_enlarged`.
        painted: H x W x 3 uint8, the restored face over the photo.
        hole: H x W bool.
        sources: from `pick_sources`.
        frame: `FaceFrame` that takes these pixels to those of the aligned face.

    Returns:
        H x W x 3 uint8: `painted` with detail where `hole` is true.
    """
    steps = np.rint(sources @ frame.inverse[:, :2].T).astype(np.int32)
    result = painted.copy()
    height, width = hole.shape
    for top in range(0, height, _ROWS_AT_ONCE):
        y, x = np.nonzero(hole[top : top + _ROWS_AT_ONCE])
        y += top
        cell = np.rint(frame.to_frame(np.column_stack([x, y]))).astype(np.int32) // CELL
        cell = np.clip(cell, 0, len(sources) - 1)
        step = steps[cell[:, 1], cell[:, 0]]
        from_x = np.clip(x + step[:, 0], 0, width - 1)
        from_y = np.clip(y + step[:, 1], 0, height - 1)
        residual = photo[from_y, from_x].astype(np.int16) - seen[from_y, from_x]
        # Rounding may lead back into the hole.
        residual[hole[from_y, from_x]] = 0
        result[y, x] = np.clip(painted[y, x] + residual, 0, 255)
    return result


def _cells(picture, side):
    """side*CELL x side*CELL as side x side x CELL*CELL."""
    return picture.reshape(side, CELL, side, CELL).swapaxes(1, 2).reshape(side, side, CELL * CELL)
