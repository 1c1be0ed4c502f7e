"""Groups of people that a face belongs to, by skin tone and by pose, as its picture and label map tell."""

import math

import cv2
import numpy as np

from .semantics import CLASSES, SKIN

TONES = {"very light": 55, "light": 41, "intermediate": 28, "tan": 10, "brown": -30, "dark": -90}
"""Skin tones by their least individual typology angle, in degrees (Del Bino and Bernerd 2013)."""

POSES = {"frontal (below 15°)": 15, "turned (15° to 30°)": 30, "far turned (30° and more)": 91}
"""Poses by the yaw that they stay below, in degrees."""

NOSE_DEPTH = 0.3
"""How far the middle of the nose stands before the eyes, in distances between the eyes; as assumed."""

MIN_PIXELS = 12


def skin_tone(image, labels):
    """Individual typology angle of a face, in degrees: high for light skin (Chardon et al. 1991).

    arctan((L* - 50) / b*) of the median L* and b* of the skin. It measures the picture, its light included.

    Args:
        image: H x W x 3 uint8.
        labels: H x W class ids.

    Returns:
        A float, -90 to 90; None where no skin is labelled.
    """
    skin = labels == SKIN
    if skin.sum() < MIN_PIXELS:
        return None
    lab = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[skin]
    lightness, _, yellow = np.median(lab, axis=0)
    # Skin without yellow, as in a grey picture, is at the end of the scale.
    return math.degrees(math.atan((lightness - 50) / max(yellow, 1e-3)))


def yaw(labels):
    """How far a face is turned to the side, in degrees, from where its nose stands between its eyes.

    Args:
        labels: H x W class ids of an aligned face.

    Returns:
        A float, 0 to 90, whichever the side; 90 where an eye and its brow are both out of sight, None where
        the nose is.
    """

    def centre(*names):
        for name in names:
            y, x = np.nonzero(labels == CLASSES.index(name))
            if x.size >= MIN_PIXELS:
                return np.array([x.mean(), y.mean()])
        return None

    nose = centre("nose")
    right, left = (centre(f"{side} eye", f"{side} brow") for side in ("right", "left"))
    if nose is None:
        return None
    if right is None or left is None:
        return 90.0
    across = left - right
    # Seen from the front the middle of the nose is between the eyes; turning moves it by its depth.
    offset = (nose - (left + right) / 2) @ across / (across @ across)
    return math.degrees(math.atan(abs(offset) / NOSE_DEPTH))


def groups_of(image, labels):
    """The names of the groups of people that a face belongs to, such as "skin: light", "pose: frontal"."""
    tone, turn = skin_tone(image, labels), yaw(labels)
    named = []
    if tone is not None:
        named.append("skin: " + next(name for name, least in TONES.items() if tone >= least))
    if turn is not None:
        named.append("pose: " + next(name for name, most in POSES.items() if turn < most))
    return named
