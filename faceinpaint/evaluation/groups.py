"""Whether everybody is served alike: by skin tone, by pose, and for grey and faded pictures."""

from functools import partial

import cv2
import numpy as np
from tqdm import tqdm

from ..metrics import layout_agreement, mean_iou
from ..semantics import CLASSES
from ..skin_and_pose import POSES, TONES, groups_of
from .holes import check_labelled, hide, pair_bands
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
        `layout_error_of_mean`, over everybody's in colour; and `classes`, those that every group has in its
        holes: groups with fewer rare ones would have better means over all that they have.

    Raises:
        ValueError: a face has no label map, or no mask is of 20-40%.
    """
    check_labelled(faces, "groups")
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
    figures = {name: figures[name] for name in order if name in figures}
    present = np.array([sum(matrix.counts for _, matrix in each).sum(1) > 0 for each in figures.values()])
    # A group may be labelled nowhere in its holes.
    classes = np.flatnonzero(present[present.any(1)].all(0)).tolist()
    summaries = {name: _summarize(each, classes) for name, each in figures.items()}
    everybody = summaries["everybody"]
    for summary in summaries.values():
        summary["lpips_of_mean"] = _ratio(summary["lpips"]["mean"], everybody["lpips"]["mean"])
        error, mean_error = (_error(group["accuracy"]["mean"]) for group in (summary, everybody))
        summary["layout_error_of_mean"] = _ratio(error, mean_error)
    results = about(inpainter, faces, len(faces) * len(VERSIONS)) | {
        "limit": LIMIT,
        "lpips_net": lpips.net,
        "groups": summaries,
        "classes": [CLASSES[each] for each in classes],
    }
    return Report(
        results,
        format_table(results),
        f"{len(faces):,} faces, each with one mask of 20-40%, in {len(VERSIONS)} versions",
        "LPIPS of whole pictures, layout figures inside the hole, mean IoU over the "
        f"{len(classes)} classes that every group has there (not "
        f"{', '.join(name for name in CLASSES if name not in results['classes'])}), ± half of the 95% "
        "confidence interval (of the mean IoU by bootstrap); beside them LPIPS and layout error "
        "(1 - accuracy) over everybody's, "
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


def _summarize(figures, classes):
    distances, matrices = zip(*figures, strict=True)
    # A face may be labelled, but not in its hole.
    matrices = [matrix for matrix in matrices if matrix.counts.any()]
    return {
        "samples": len(figures),
        "lpips": mean_and_half_width(distances),
        "accuracy": mean_and_half_width([matrix.accuracy for matrix in matrices]),
        "mean_iou": bootstrap(
            np.array([matrix.counts for matrix in matrices]), partial(mean_iou, classes=classes)
        ),
    }


def _error(accuracy):
    return None if accuracy is None else 1 - accuracy


def _ratio(value, mean):
    return value / mean if mean and value is not None else None
