"""The worst results, to be looked at, and what they have in common."""

from collections import Counter
from functools import partial

import numpy as np
from tqdm import tqdm

from ..layout_decoding import WORN
from ..semantics import CLASSES, layout_to_picture
from ..skin_and_pose import groups_of
from .holes import check_labelled, hide, pair_masks, percent
from .methods import OURS, restore
from .report import Report, about, markdown_table, picture_sheet

COUNT = 40
"""How many results count as the worst."""

MIN_PIXELS = 30
"""What is worn counts from so many pixels on."""

LEAST_SHARE = 0.05
"""Rarer traits say nothing: two of 40 may be chance."""


def measure(inpainter, faces, masks, lpips):
    """Find the results that are furthest from the truth.

    Args:
        inpainter: `FaceInpainter`.
        faces: `datasets.Faces` with label maps.
        masks: N x H x W bool tensor; each face gets one of each tenth of hole ratio.
        lpips: `metrics.Lpips`.

    Returns:
        `Report`. Its results hold `worst`, a list of `face` (key), `mask` (index), `hole` (such as
        "50-60%") and `lpips`, the worst first; and by name of each trait of faces and holes `traits`: the
        share of the worst and of all results that have it, `worst` and `all`, and `ratio`.

    Raises:
        ValueError: a face has no label map, or no mask has a hole.
    """
    check_labelled(faces, "worst")
    pairs = pair_masks(masks, len(faces))
    traits = [
        _traits_of_face(image.numpy(), labels.numpy())
        for image, labels in zip(faces.images, faces.labels, strict=True)
    ]
    distances = []
    for face, mask, _ in tqdm(pairs, desc="restoring", unit="picture"):
        image = faces.images[face].numpy()
        pictures, _ = restore(inpainter, image, masks[mask].numpy(), baselines=())
        distances.append(float(lpips(pictures[OURS][None], image[None])[0]))
    order = np.argsort(distances)[::-1][:COUNT]
    worst = [pairs[i] for i in order]
    shares = [_shares(chosen, traits, faces, masks) for chosen in (worst, pairs)]
    results = about(inpainter, faces, len(pairs)) | {
        "lpips_net": lpips.net,
        "worst": [
            {"face": faces.keys[face], "mask": mask, "hole": percent(tenth, 1), "lpips": distances[i]}
            for i, (face, mask, tenth) in zip(order, worst, strict=True)
        ],
        "traits": {
            name: {"worst": share, "all": shares[1][name], "ratio": share / shares[1][name]}
            for name, share in shares[0].items()
            if share >= LEAST_SHARE
        },
    }
    return Report(
        results,
        format_table(results),
        f"the {len(worst)} worst of {len(pairs):,} pictures ({len(faces):,} faces, each with one mask of "
        "each tenth of hole ratio)",
        f"Worst is what LPIPS ({lpips.net}) of the whole picture calls so, from "
        f"{min(distances[i] for i in order):.3f} up; the mean of all is {np.mean(distances):.3f}. Traits of "
        f"less than {LEAST_SHARE:.0%} of the worst are left out. What is hidden is a share of the holes' "
        "pixels, by the true label maps.",
        partial(draw, inpainter, faces, masks, worst),
    )


def format_table(results):
    """`measure`'s results as a Markdown table, what marks the worst out most at the top."""
    header = ["trait", "of the worst", "of all", "ratio"]
    traits = sorted(results["traits"].items(), key=lambda item: -item[1]["ratio"])
    return markdown_table(
        header,
        [
            [name, f"{share['worst']:.0%}", f"{share['all']:.0%}", f"{share['ratio']:.1f}"]
            for name, share in traits
        ],
    )


def draw(inpainter, faces, masks, worst):
    """The picture sheet: a row for each of the `worst`, (face index, mask index, tenth)."""
    rows = []
    for face, mask, _ in worst:
        image, hole = faces.images[face].numpy(), masks[mask].numpy()
        pictures, layout = restore(inpainter, image, hole, baselines=())
        rows.append(
            {
                "input": hide(image, hole, 255),
                "layout": np.asarray(layout_to_picture(layout)),
                "result": pictures[OURS],
                "truth": image,
            }
        )
    return picture_sheet(rows)


def _traits_of_face(image, labels):
    worn = [f"worn: {CLASSES[c]}" for c in WORN if np.count_nonzero(labels == c) >= MIN_PIXELS]
    return groups_of(image, labels) + worn


def _shares(pairs, traits, faces, masks):
    """By trait the share of `pairs` whose face has it, or whose hole is of it."""
    counts = Counter()
    for face, mask, tenth in pairs:
        counts.update(traits[face])
        counts[f"hole: {percent(tenth, 1)}"] += 1
        hidden = faces.labels[face].numpy()[masks[mask].numpy()]
        for index in np.unique(hidden[hidden < len(CLASSES)]):
            counts[f"hidden: {CLASSES[index]}"] += np.count_nonzero(hidden == index) / hidden.size
    return {name: count / len(pairs) for name, count in counts.items()}
