"""Whether everybody is served alike: by skin tone, by pose, and for grey and faded pictures."""

import math
from functools import partial

import cv2
import numpy as np
from tqdm import tqdm

from ..metrics import Lpips, layout_agreement, mean_iou
from ..semantics import CLASSES
from .holes import hide, pair_bands
from .methods import OURS, restore
from .report import (
    Report,
    about,
    bootstrap,
    goal,
    interval,
    markdown_table,
    mean_and_half_width,
    picture_sheet,
)

LIMIT = 1.15
"""No group's LPIPS or layout error may be more than this many times the mean."""

BAND = 1
"""Holes of 20-40%."""

TONES = {"very light": 55, "light": 41, "intermediate": 28, "tan": 10, "brown": -30, "dark": -90}
"""Skin tones by their least individual typology angle, in degrees (Del Bino and Bernerd 2013)."""

POSES = {"frontal (below 15°)": 15, "turned (15° to 30°)": 30, "far turned (30° and more)": 91}
"""Poses by the yaw that they stay below, in degrees."""

NOSE_DEPTH = 0.3
"""How far the middle of the nose stands before the eyes, in distances between the eyes; as assumed."""

MIN_PIXELS = 12

SHEET_ROWS = 8

_WARM = np.array([1.0, 0.93, 0.8])


def greyscale(image):
    """A picture, H x W x 3 uint8, without its colours."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return np.repeat(grey[..., None], 3, 2)


def faded(image):
    """A picture, H x W x 3 uint8, as an old print: sepia, its contrast down to 60%, blacks risen to 70."""
    return np.rint((70 + 0.6 * greyscale(image)) * _WARM).astype(np.uint8)


VERSIONS = {"in colour": lambda image: image, "greyscale": greyscale, "faded": faded}
"""The versions of a picture that are restored; groups of people are measured in colour."""


def skin_tone(image, labels):
    """Individual typology angle of a face, in degrees: high for light skin (Chardon et al. 1991).

    arctan((L* - 50) / b*) of the median L* and b* of the skin. It measures the picture, its light included.

    Args:
        image: H x W x 3 uint8.
        labels: H x W class ids.

    Returns:
        A float, -90 to 90; None where no skin is labelled.
    """
    skin = labels == CLASSES.index("skin")
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


def prepare(args):
    """The measurement with the network `args.lpips_net`; ValueError where it is not to be had."""
    return partial(measure, lpips=Lpips(args.lpips_net))


def measure(inpainter, faces, masks, lpips):
    """Measure restored faces group by group.

    Args:
        inpainter: `FaceInpainter`.
        faces: `datasets.Faces` with label maps.
        masks: N x H x W bool tensor; each face gets one of 20-40%, the same for all its versions.
        lpips: `metrics.Lpips`.

    Returns:
        `Report`. Its results hold by group ("everybody", "picture: faded", "skin: tan", ...): `samples`,
        `lpips`, `accuracy` and `mean_iou` of the layout inside the hole, `lpips_of_mean` and
        `layout_error_of_mean`, over everybody's in colour.

    Raises:
        ValueError: a face has no label map, or no mask is of 20-40%.
    """
    if not faces.labelled.all():
        raise ValueError("--measure groups needs a label map for each face.")
    figures, rows = {"everybody": []}, []
    for face, mask, _ in tqdm(pair_bands(masks, len(faces), [BAND]), desc="restoring", unit="face"):
        hole, labels = masks[mask].numpy(), faces.labels[face].numpy()
        row = {}
        for version, change in VERSIONS.items():
            image = change(faces.images[face].numpy())
            pictures, layout = restore(inpainter, image, hole, baselines=())
            distance = float(lpips(pictures[OURS][None], image[None])[0])
            names = [f"picture: {version}"]
            if version == "in colour":
                names = ["everybody", *groups_of(image, labels)]
            for name in names:
                figures.setdefault(name, []).append((distance, layout_agreement(layout, labels, hole)))
            row |= {f"{version}, input": hide(image, hole, 255), f"{version}, result": pictures[OURS]}
        if len(rows) < SHEET_ROWS:
            rows.append(row)
    order = [f"skin: {tone}" for tone in TONES] + [f"pose: {pose}" for pose in POSES]
    order = ["everybody", *(f"picture: {version}" for version in VERSIONS if version != "in colour"), *order]
    summaries = {name: _summarize(figures[name]) for name in order if name in figures}
    everybody = summaries["everybody"]
    for summary in summaries.values():
        error, mean_error = (1 - group["accuracy"]["mean"] for group in (summary, everybody))
        summary["lpips_of_mean"] = _ratio(summary["lpips"]["mean"], everybody["lpips"]["mean"])
        summary["layout_error_of_mean"] = _ratio(error, mean_error)
    results = about(inpainter, faces, len(faces) * len(VERSIONS)) | {
        "limit": LIMIT,
        "lpips_net": lpips.net,
        "groups": summaries,
    }
    return Report(
        results,
        format_table(results),
        f"{len(faces):,} faces, each with one mask of 20-40%, in {len(VERSIONS)} versions",
        "LPIPS of whole pictures, layout figures inside the hole, ± half of the 95% confidence interval (of "
        "the mean IoU by bootstrap); beside them LPIPS and layout error (1 - accuracy) over everybody's, "
        f"flagged ✗ above {LIMIT:.2f}. A small group differs by chance: see its interval. Skin tone is the "
        "individual typology angle of the skin in the true picture, its light included; pose is the yaw "
        "estimated from where the label map has nose and eyes. Age and sex are not in the table: the sets' "
        "keys do not carry them, and they are not guessed.",
        partial(picture_sheet, rows),
    )


def format_table(results):
    """`measure`'s results as a Markdown table."""
    header = [
        "group",
        "faces",
        f"LPIPS {results['lpips_net']} ↓",
        "of the mean",
        "layout accuracy ↑",
        "error of the mean",
        "layout mean IoU ↑",
    ]
    rows = []
    for name, figures in results["groups"].items():
        ratios = [
            "–" if ratio is None else goal(f"{ratio:.2f}", ratio <= results["limit"])
            for ratio in (figures["lpips_of_mean"], figures["layout_error_of_mean"])
        ]
        lpips, accuracy, iou = (interval(figures[key], 3) for key in ("lpips", "accuracy", "mean_iou"))
        rows.append([name, str(figures["samples"]), lpips, ratios[0], accuracy, ratios[1], iou])
    return markdown_table(header, rows)


def _summarize(figures):
    distances, matrices = zip(*figures, strict=True)
    return {
        "samples": len(figures),
        "lpips": mean_and_half_width(distances),
        "accuracy": mean_and_half_width([matrix.accuracy for matrix in matrices]),
        "mean_iou": bootstrap(np.stack([matrix.counts for matrix in matrices]), mean_iou),
    }


def _ratio(value, mean):
    return value / mean if mean else None
