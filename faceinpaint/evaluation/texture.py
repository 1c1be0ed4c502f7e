"""Whether painted hair and skin have the fine structure of real ones, by their power spectra."""

from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from tqdm import tqdm

from ..semantics import CLASSES
from .holes import check_labelled, hide, pair_bands
from .methods import OURS, restore
from .report import Report, about, bootstrap, goal, interval, markdown_table, picture_sheet

GOAL = (0.7, 1.3)
"""Between what the power ratio of the top octave shall lie."""

BANDS = (1, 2)
"""Holes of 20-60%."""

CLASSES_MEASURED = ("hair", "skin")

PATCH, STEP = 32, 8
"""Side of the patches and the distance from one to the next, in pixels."""

MIN_SHARE = 0.9
"""Least share of a patch that is of the class; all of it lies in the hole."""

OCTAVES = ("1/32 to 1/16", "1/16 to 1/8", "1/8 to 1/4", "1/4 to 1/2")
"""The octaves of spatial frequency, in cycles a pixel."""

SHEET_ROWS = 8

_FREQUENCY = np.hypot(np.fft.fftfreq(PATCH)[:, None], np.fft.fftfreq(PATCH)[None])
_EDGES = 0.5 ** np.arange(len(OCTAVES) + 1, 0, -1)
_WINDOW = np.hanning(PATCH + 2)[1:-1, None] * np.hanning(PATCH + 2)[1:-1]


def octave_power(patches):
    """Radially averaged power spectra in octaves.

    Args:
        patches: N x 32 x 32 brightness, of any unit.

    Returns:
        N x 4 float64, the mean power in each of `OCTAVES` (squared units) under a Hann window, the patch's
        mean taken off.
    """
    patches = np.asarray(patches, np.float64)
    centred = patches - (patches * _WINDOW).sum((1, 2), keepdims=True) / _WINDOW.sum()
    power = np.abs(np.fft.fft2(centred * _WINDOW)) ** 2
    octave = np.digitize(_FREQUENCY, _EDGES) - 1
    return np.stack([power[:, octave == index].mean(1) for index in range(len(OCTAVES))], 1)


def find_patches(hole, part):
    """Where patches lie wholly in the hole and for `MIN_SHARE` on a class: K x 2 int (top, left).

    Args:
        hole: H x W bool.
        part: H x W bool, where the layout has the class.
    """

    def share(area):
        return F.avg_pool2d(torch.from_numpy(area)[None, None].float(), PATCH, STEP)[0, 0].numpy()

    return np.argwhere((share(hole) > 1 - 1e-6) & (share(part) >= MIN_SHARE)) * STEP


def prepare(args):
    """The measurement; it has no options."""
    return measure


def measure(inpainter, faces, masks):
    """Compare the spectra of painted hair and skin with the true ones at the same places.

    Args:
        inpainter: `FaceInpainter`.
        faces: `datasets.Faces` with label maps.
        masks: N x H x W bool tensor; each face gets one of each of `BANDS`.

    Returns:
        `Report`. Its results hold `classes`, by name: `patches`, `pictures` (those with a patch), and
        `methods`, by name a list of the power ratio in each of `OCTAVES`, `mean` and `half_width`.

    Raises:
        ValueError: a face has no label map, or no mask is of 20-40% or of 40-60%.
    """
    check_labelled(faces, "texture")
    pairs = pair_bands(masks, len(faces), BANDS)
    # By class one row a picture: the true power and each method's, summed over patches.
    powers = {name: [] for name in CLASSES_MEASURED}
    counts = dict.fromkeys(CLASSES_MEASURED, 0)
    rows = []
    for face, mask, _ in tqdm(pairs, desc="restoring", unit="picture"):
        image, hole, labels = faces.images[face].numpy(), masks[mask].numpy(), faces.labels[face].numpy()
        places = {name: find_patches(hole, labels == CLASSES.index(name)) for name in CLASSES_MEASURED}
        if not any(map(len, places.values())):
            continue
        pictures, _ = restore(inpainter, image, hole, baselines=["Telea"])
        for name, corners in places.items():
            if len(corners):
                counts[name] += len(corners)
                powers[name].append(
                    [_power(picture, corners).sum(0) for picture in (image, *pictures.values())]
                )
        if len(rows) < SHEET_ROWS:
            rows.append({"input": hide(image, hole, 255), **pictures, "truth": image})
    results = about(inpainter, faces, len(pairs)) | {
        "goal": GOAL,
        "octaves": OCTAVES,
        "classes": {
            name: {
                "patches": counts[name],
                "pictures": len(powers[name]),
                "methods": _ratios(np.array(powers[name])),
            }
            for name in CLASSES_MEASURED
        },
    }
    return Report(
        results,
        format_table(results),
        f"{len(pairs):,} pictures ({len(faces):,} faces, each with a mask of 20-40% and one of 40-60%)",
        f"Power of the brightness in {PATCH} x {PATCH} patches that lie in the hole and on the class "
        "(true label map), Hann window, averaged radially: painted over true, by octave of spatial frequency "
        f"in cycles a pixel. Goal {GOAL[0]} to {GOAL[1]} in the top octave. ± half of the 95% confidence "
        "interval, by bootstrap over pictures.",
        partial(picture_sheet, rows),
    )


def format_table(results):
    """`measure`'s results as a Markdown table."""
    rows = []
    low, high = results["goal"]
    for part, figures in results["classes"].items():
        for name, ratios in figures["methods"].items():
            cells = [interval(ratio, 2) for ratio in ratios]
            if name == OURS and ratios[-1]["mean"] is not None:
                cells[-1] = goal(cells[-1], low <= ratios[-1]["mean"] <= high)
            rows.append([part, f"{figures['patches']:,} ({figures['pictures']})", name, *cells])
    return markdown_table(["class", "patches (pictures)", "method", *results["octaves"]], rows)


def _power(picture, corners):
    """`octave_power` of the patches of a picture (H x W x 3 uint8) at `corners`."""
    grey = picture.astype(np.float64) @ (0.299, 0.587, 0.114)
    return octave_power([grey[top : top + PATCH, left : left + PATCH] for top, left in corners])


def _ratios(powers):
    """By method the ratio to the true power by octave; `powers` is pictures x (truth, methods) x octaves."""
    return {
        name: [
            bootstrap(
                powers[:, [0, method], octave] if len(powers) else powers,
                lambda sums: sums[:, 1].sum() / max(sums[:, 0].sum(), 1e-9),
            )
            for octave in range(len(OCTAVES))
        ]
        for method, name in enumerate((OURS, "Telea"), 1)
    }
