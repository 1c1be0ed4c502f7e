"""How much the variations of one hole differ, and how far results are from real faces as a set."""

from functools import partial
from itertools import combinations

import numpy as np
from tqdm import tqdm

from ..baselines import BASELINES
from ..metrics import kernel_distance
from .holes import hide, pair_bands, percent
from .methods import OURS
from .report import Report, about, interval, markdown_table, mean_and_half_width, picture_sheet

BANDS = (1, 2)
"""Holes of 20-60%; faces take turns between the bands."""

VARIATIONS = 3

SUBSETS = 100
"""How many random halves of the pictures show the spread of the KID."""

FEWEST = 4
"""With fewer pictures there are no halves to compare."""

BATCH_SIZE = 16

SHEET_ROWS = 8


def measure(inpainter, faces, masks, lpips):
    """Paint each face several times and compare the pictures.

    Args:
        inpainter: `FaceInpainter`.
        faces: `datasets.Faces`.
        masks: N x H x W bool tensor; each face gets one, of 20-40% and of 40-60% by turns.
        lpips: `metrics.Lpips`, for the distances and for the features that the KID compares.

    Returns:
        `Report`. Its results hold `groups`, by hole ratio: `samples`; `between`, the mean LPIPS between two
        variations inside the hole; `to_truth`, that of the first one and the truth; and `kid` by method,
        `mean` over random halves and `deviation`.

    Raises:
        ValueError: no mask of 20-40% or of 40-60%.
    """
    # By pairs of faces: which tenth of its band a face gets goes by whether its number is even.
    pairs = [pair for pair in pair_bands(masks, len(faces), BANDS) if pair[0] // 2 % 2 == pair[2] - BANDS[0]]
    between, to_truth, rows = [], [], []
    features = {"truth": [], OURS: [], "Telea": []}
    with tqdm(total=len(pairs), desc="painting", unit="picture") as progress:
        for start in range(0, len(pairs), BATCH_SIZE):
            batch = pairs[start : start + BATCH_SIZE]
            truths = faces.images[[face for face, _, _ in batch]].numpy()
            holes = masks[[mask for _, mask, _ in batch]].numpy()
            painted, telea = [], []
            for image, hole in zip(truths, holes, strict=True):
                hidden = hide(image, hole)
                results = inpainter(hidden, hole, align=False, num_variations=VARIATIONS)
                painted.append([np.asarray(result.image.convert("RGB")) for result in results])
                telea.append(BASELINES["Telea"](hidden, hole))
                if len(rows) < SHEET_ROWS:
                    variations = {f"variation {i + 1}": picture for i, picture in enumerate(painted[-1])}
                    rows.append({"input": hide(image, hole, 255), **variations, "truth": image})
                progress.update()
            painted = np.stack(painted, 1)
            between += list(np.mean([lpips(a, b, holes) for a, b in combinations(painted, 2)], axis=0))
            to_truth += list(lpips(painted[0], truths, holes))
            for name, pictures in (("truth", truths), (OURS, painted[0]), ("Telea", np.stack(telea))):
                features[name].append(lpips.features(pictures))
    features = {name: np.concatenate(parts) for name, parts in features.items()}
    between, to_truth, bands = np.array(between), np.array(to_truth), np.array([band for *_, band in pairs])
    chosen = {percent(band): bands == band for band in BANDS} | {"20-60%": bands > 0}
    results = about(inpainter, faces, len(pairs)) | {
        "lpips_net": lpips.net,
        "groups": {
            name: {
                "samples": int(here.sum()),
                "between": mean_and_half_width(between[here]),
                "to_truth": mean_and_half_width(to_truth[here]),
                "kid": {
                    method: spread_distance(features["truth"][here], features[method][here])
                    for method in (OURS, "Telea")
                },
            }
            for name, here in chosen.items()
            if here.any()
        },
    }
    return Report(
        results,
        format_table(results),
        f"{len(pairs):,} faces, each with one mask and {VARIATIONS} variations",
        f"LPIPS ({lpips.net}) is averaged inside the hole: between two variations, and between the first one "
        "and the truth, ± half of the 95% confidence interval. The kernel distance is the KID with the cubic "
        f"kernel, but on features of the LPIPS network {lpips.net} (last layer, averaged over places), not "
        "of Inception, so it compares methods here only; whole pictures against the true ones, pairs of the "
        f"same face left out; mean ± deviation over {SUBSETS} random halves.",
        partial(picture_sheet, rows),
    )


def spread_distance(a, b, seed=0):
    """`kernel_distance` of two sets of N x d features: `mean` and `deviation` over random halves.

    Both are None for fewer than `FEWEST`.
    """
    if len(a) < FEWEST:
        return {"mean": None, "deviation": None}
    rng = np.random.default_rng(seed)
    halves = [rng.permutation(len(a))[: len(a) // 2] for _ in range(SUBSETS)]
    distances = [kernel_distance(a[half], b[half]) for half in halves]
    return {"mean": float(np.mean(distances)), "deviation": float(np.std(distances, ddof=1))}


def format_table(results):
    """`measure`'s results as a Markdown table."""
    net = results["lpips_net"]
    header = [
        "hole",
        "pictures",
        "method",
        f"LPIPS {net} between variations ↑",
        f"LPIPS {net} to the truth ↓",
        f"KID on {net} ↓",
    ]
    rows = []
    for group, figures in results["groups"].items():
        for name, kid in figures["kid"].items():
            cells = [interval(figures[k], 3) if name == OURS else "" for k in ("between", "to_truth")]
            known = kid["mean"] is not None
            distance = f"{kid['mean']:.3g} ± {kid['deviation']:.2g}" if known else "–"
            rows.append([group, str(figures["samples"]), name, *cells, distance])
    return markdown_table(header, rows)
