"""Ready-made edits of a layout, and what an edit asks of the hole.

Layouts are 256 x 256 uint8 class ids in the frame of the aligned face; "left" is the person's own.
"""

import cv2
import numpy as np

from .masks import grown
from .semantics import CLASSES, MEAN_CENTRES, MOUTH, RIM, behind_lenses

_ID = {name: index for index, name in enumerate(CLASSES)}
_BEHIND = ("background", "cloth", "neck")
"""What is behind hair: longer hair hangs over it, shorter hair leaves it to be seen."""

_EYES = ("right eye", "left eye")
_BROWS = ("right brow", "left brow")
_FACE = ("skin", "nose", *_EYES, *_BROWS, "eyeglasses", *MOUTH)
_FINE = ("eyeglasses", "hair", "hat", "earring", "necklace")
"""What ends finer than a layout shows: in strands, or in rims and their shadows."""

_WHOLE_EYE, _WHOLE_BROW = 100, 180
"""Eyes and brows of fewer pixels are but what glasses left of them."""

_WHOLE_GLASSES = 150
"""Glasses of more pixels are whole ones."""

_MOUTH_WIDTH = 54.0
_UPPER_LIP, _LOWER_LIP = 0.1, 0.15
"""Heights of drawn lips in their middle, as shares of the mouth's width."""

_LOWERING = 0.06
"""By this share of what it gets higher a mouth's centre sinks: it is the lower lip that goes.

Closed mouths painted so are read back at a mean IoU of 0.741; with 0 at 0.730, with 0.12 at 0.721.
"""

_SAME_MOUTH, _OTHER_MOUTH = 0.15, 0.25
"""A redrawn mouth that differs in a smaller share of its pixels is left as it is; one that changes in a
larger share outside of the hole is painted anew as a whole.
"""

_MEAN_FACE = 62, 194
"""Left and right end of a face where the layout has none, in pixels."""

_HAIR_BESIDE_FACE, _HAIR_ROUND_EYES = 30, 1.25
"""The oval of short hair reaches so many pixels beyond the face at the eyes, so many times as far below them
as the mouth, and as far above them as the picture.
"""

_LONGER, _TRIMMED = 56, 10
"""Pixels by which longer hair hangs lower, and that shorter hair loses at its edge."""

_HAIR_TAPER = 64
"""Within so many pixels of the picture's top less is trimmed off hair that leaves it there."""

WIDENING, WIDENING_OF_FINE = 3, 7
"""How far a widened hole reaches beyond the repainted place, in pixels of the aligned face, and how far where
something goes that ends finer than a layout shows.
"""


def smile(layout):
    """Open the mouth to a smile: wider, its corners up, teeth between the lips.

    In shape as the mean of 142 smiling CelebA-HQ faces against 186 with their mouths closed.
    """
    shape = {"lift": 0.09, "opening": 0.18}
    smiling = _draw_mouth(layout, **shape)
    if (smiling == layout).all():  # it was drawn here before
        return smiling
    right, left = (_centre(layout, name)[0] for name in _EYES)
    return _draw_mouth(layout, width=1.24, between=(0.9 * (left - right), 1.15 * (left - right)), **shape)


def close_mouth(layout):
    """Close the mouth: lips only, their corners level."""
    return _draw_mouth(layout, lift=0.02)


def add_glasses(layout):
    """Put glasses on: two lenses about the eyes, which show through them, a bridge, and temples to the ears.

    Whoever wears some keeps those.
    """
    if np.count_nonzero(_is_of(layout, "eyeglasses")) > _WHOLE_GLASSES:
        return layout.copy()
    edited = layout.copy()
    glasses = np.zeros(layout.shape, np.uint8)
    centres = [_centre(layout, name) for name in _EYES]
    apart = max(20.0, np.hypot(*np.subtract(*centres)))
    angle = np.degrees(np.arctan2(*np.subtract(centres[1], centres[0])[::-1]))
    for x, y in centres:
        cv2.ellipse(glasses, ((x, y + 0.06 * apart), (0.72 * apart, 0.52 * apart), angle), 1, -1)
    thickness = max(2, round(0.06 * apart))
    cv2.line(glasses, *(tuple(map(round, centre)) for centre in centres), 1, thickness)
    skin, temples = _is_of(layout, "skin"), np.zeros_like(glasses)
    for centre, other in (centres, centres[::-1]):
        # From the lens outwards, as far as there is skin.
        outwards = np.subtract(centre, other) / apart
        way = np.rint(centre + np.outer(np.arange(0.36 * apart, 1.5 * apart), outwards)).astype(int)
        way = way[((way >= 0) & (way < layout.shape[::-1])).all(1)]
        ends = np.flatnonzero(~skin[way[:, 1], way[:, 0]])
        for x, y in way[: ends[0] if ends.size else None].tolist():
            cv2.circle(temples, (x, y), thickness // 2, 1, -1)
    glasses |= temples & skin
    # Of a face in profile one eye is not seen, nor is its lens.
    bare = ~_is_of(layout, *_EYES, "background")
    edited[(glasses > 0) & bare] = _ID["eyeglasses"]
    return edited


def remove_glasses(layout):
    """Take glasses off: skin in their place, with eyes and brows where they are missing or but slits.

    Of a pair of which one is whole the other becomes its mirror image.
    """
    edited = layout.copy()
    edited[layout == _ID["eyeglasses"]] = _ID["skin"]
    if not (layout == _ID["eyeglasses"]).any():
        return edited
    eyes = [_centre(layout, eye) for eye in _EYES]
    for names, size, least in ((_BROWS, (40, 9), _WHOLE_BROW), (_EYES, (24, 10), _WHOLE_EYE)):
        areas = [(layout == _ID[name]).astype(np.uint8) for name in names]
        whole = [np.count_nonzero(area) >= least for area in areas]
        for side in (0, 1):
            if whole[side]:
                continue
            if whole[1 - side]:
                part = _mirror(areas[1 - side], *eyes)
            else:
                part = np.zeros(layout.shape, np.uint8)
                offset = np.subtract(MEAN_CENTRES[names[side]], MEAN_CENTRES[_EYES[side]])
                cv2.ellipse(part, (tuple(np.add(eyes[side], offset)), size, 0), 1, -1)
            edited[(part > 0) & (edited == _ID["skin"])] = _ID[names[side]]
    return edited


def lengthen_hair(layout):
    """Let the hair hang lower, over background, clothes, neck and ears, not over the face."""
    hair = (layout == _ID["hair"]).astype(np.uint8)
    # A column as structuring element: each hair pixel is drawn out downwards, and a little to the sides.
    column = np.zeros((2 * _LONGER + 1, 7), np.uint8)
    column[:_LONGER] = 1
    longer = cv2.dilate(hair, column) > 0
    over = _is_of(layout, *_BEHIND, "left ear", "right ear", "earring", "necklace")
    edited = layout.copy()
    edited[longer & over] = _ID["hair"]
    return edited


def shorten_hair(layout):
    """Cut the hair to an oval about the head that ends beside the mouth, and a little off its edge."""
    hair = layout == _ID["hair"]
    y, x = np.mgrid[: layout.shape[0], : layout.shape[1]]
    # Towards the face the outline stays; where the hair leaves the picture at the top it goes on beyond it.
    behind = _is_of(layout, *_BEHIND)
    depth = _TRIMMED * (np.minimum(1, y / _HAIR_TAPER) if hair[0].any() else 1)
    cut = hair & (cv2.distanceTransform((~behind).astype(np.uint8), cv2.DIST_L2, 5) <= depth)

    columns = np.flatnonzero(_is_of(layout, *_FACE).any(0))
    left, right = (columns[0], columns[-1]) if columns.size else _MEAN_FACE
    eyes = np.mean([_centre(layout, name)[1] for name in _EYES])
    mouth = _centre(layout, *MOUTH)[1]
    across = (x - (left + right) / 2) / ((right - left) / 2 + _HAIR_BESIDE_FACE)
    up, down = _HAIR_ROUND_EYES * np.maximum(20.0, (eyes, mouth - eyes))
    along = (y - eyes) / np.where(y < eyes, up, down)
    cut |= hair & (across**2 + along**2 > 1)
    return _fill_from_around(layout, cut, behind & (layout != _ID["neck"]))


EDITS = {
    "Smile": smile,
    "Close the mouth": close_mouth,
    "Glasses on": add_glasses,
    "Glasses off": remove_glasses,
    "Longer hair": lengthen_hair,
    "Shorter hair": shorten_hair,
}
"""The ready-made edits by the name that a user sees; each takes a layout and returns a new one."""

_TAKES_OFF = {"Glasses off": "eyeglasses", "Shorter hair": "hair"}


def edit_layout(name, layout, original):
    """One of `EDITS`; but what was put on since comes off first, and what it covered comes back.

    Args:
        name: the edit's.
        layout: H x W class ids.
        original: H x W class ids, the layout before it was edited.

    Returns:
        H x W class ids.
    """
    if name in _TAKES_OFF:
        kind = _ID[_TAKES_OFF[name]]
        put_on = (layout == kind) & (original != kind)
        if put_on.any():
            return np.where(put_on, original, layout)
    return EDITS[name](layout)


def fill_region(layout, old, new):
    """Give all pixels of class `old` the class `new`; ValueError if there are none."""
    region = layout == old
    if not region.any():
        raise ValueError(f"There is no {CLASSES[old]} in the layout.")
    return np.where(region, np.uint8(new), layout)


def widen_hole(mask, before, after, frame):
    """The hole that an edited layout needs: where it changed, nothing may stay as it is.

    Nor of a mouth that is no longer the same: its teeth would stand where they stood between other lips. But
    behind the lenses of new glasses the eyes are what they were.

    Args:
        mask: H x W bool, the hole in the photo.
        before: 256 x 256 class ids, the layout that was edited.
        after: 256 x 256 class ids, the edited layout.
        frame: `FaceFrame`, where the aligned face lies in the photo.

    Returns:
        H x W bool, `mask` and what was repainted outside of it; `mask` itself if nothing was.
    """
    # One pixel more: at its edge, a hole between the pixels of the face counts as one.
    hole = cv2.dilate(frame.area_in_face(mask).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    new_glasses = (after == _ID["eyeglasses"]) & (before != _ID["eyeglasses"])
    outside = (before != after) & ~hole & ~(new_glasses & behind_lenses(after, RIM - WIDENING))
    if not outside.any():
        return mask
    mouth = _is_of(before, *MOUTH) | _is_of(after, *MOUTH)
    if np.count_nonzero(outside & mouth) > _OTHER_MOUTH * np.count_nonzero(mouth):
        outside |= mouth & ~hole
    fine = outside & _is_of(before, *_FINE)
    area = grown(outside, WIDENING) | grown(fine, WIDENING_OF_FINE)
    return mask | frame.area_in_photo(area, mask.shape[1], mask.shape[0])


def cut_hair(before, after):
    """Hair that an edit takes away although it goes on outside the layout; H x W bool, often none of it.

    The arguments are those of `widen_hole`; `FaceInpainter.hair_beyond` tells where in the photo it goes on.
    """
    gone = ((before == _ID["hair"]) & (after != _ID["hair"])).astype(np.uint8)
    _, parts = cv2.connectedComponents(gone)
    leaving = np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]])
    return np.isin(parts, leaving[leaving > 0])


def _is_of(layout, *names):
    """Which pixels of a layout are of one of the classes, H x W bool."""
    return np.isin(layout, [_ID[name] for name in names])


def _centre(layout, *names):
    """Centre (x, y) of the classes taken together; the mean place of the first where there are none."""
    y, x = np.nonzero(_is_of(layout, *names))
    return (float(x.mean()), float(y.mean())) if x.size >= 12 else MEAN_CENTRES[names[0]]


def _mirror(area, eye, other_eye):
    """An area, uint8, as it is on the other side of the line midway between two eyes (x, y)."""
    across = np.subtract(other_eye, eye)
    across /= max(1e-6, np.hypot(*across))
    turn = np.eye(2) - 2 * np.outer(across, across)
    middle = np.add(eye, other_eye) / 2
    there = np.column_stack([turn, middle - turn @ middle])
    return cv2.warpAffine(area, there, area.shape[::-1], flags=cv2.INTER_NEAREST)


def _draw_mouth(layout, lift, width=1.0, between=(0.0, 0.0), opening=0.0):
    """Draw the mouth anew between parabolas, over its old place; drawn twice it is where it was.

    Args:
        layout: class ids.
        lift: how far the corners rise above the middle, as a share of the width.
        width: of the new mouth, as a share of the old one's.
        between: what it is at least and at most, in pixels; a wider one stays as wide.
        opening: height of the gap between the lips, as a share of the width.
    """
    old = _is_of(layout, *MOUTH)
    y, x = np.nonzero(old)
    lips = _UPPER_LIP + _LOWER_LIP
    if x.size >= 40:
        centre_x, centre_y, span = (x.min() + x.max()) / 2, y.mean(), x.max() - x.min() + 1
        height = 1.5 * x.size / span  # in the middle of a shape between parabolas
    else:
        (centre_x, centre_y), span = MEAN_CENTRES["mouth"], _MOUTH_WIDTH
        height = lips * span
    half = max(span, min(max(width * span, between[0]), between[1])) / 2
    centre_y += _LOWERING * (2 * half * (lips + opening) - height)
    # The line through the middle of corners and gap, from which everything is drawn, lies above the centre.
    line = centre_y - 2 * half * (0.3 * lift + 0.4 * (_LOWER_LIP - _UPPER_LIP))
    across = np.mgrid[: layout.shape[0], : layout.shape[1]]
    u = (across[1] - centre_x) / half
    # Height below that line; the mouth's middle hangs lower by `lift`.
    down = across[0] - line + 2 * half * lift * (u**2 - 0.5)
    bow = np.clip(1 - u**2, 0, None)
    gap, upper, lower = (2 * half * share for share in (opening / 2, _UPPER_LIP, _LOWER_LIP))
    edited = _fill_from_around(layout, old, layout == _ID["skin"])
    mouth = _is_of(edited, "skin", *MOUTH, "neck")
    mouth &= abs(u) < 1
    for name, top, bottom in (
        ("upper lip", -(gap + upper) * bow, -gap * bow),
        ("mouth", -gap * bow, gap * bow),
        ("lower lip", gap * bow, (gap + lower) * bow),
    ):
        edited[mouth & (down >= top) & (down < bottom)] = _ID[name]
    if np.count_nonzero(edited != layout) < _SAME_MOUTH * np.count_nonzero(old):
        return layout.copy()
    return edited


def _fill_from_around(layout, area, source):
    """Give each pixel of `area` the class of the nearest pixel of `source` outside of it."""
    source = source & ~area
    edited = layout.copy()
    if not area.any():
        return edited
    if not source.any():
        edited[area] = _ID["background"]
        return edited
    _, nearest = cv2.distanceTransformWithLabels(
        (~source).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    classes = np.zeros(nearest.max() + 1, np.uint8)
    classes[nearest[source]] = layout[source]
    edited[area] = classes[nearest[area]]
    return edited
