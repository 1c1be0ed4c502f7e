"""How close restored faces come to the true ones, by hole ratio and beside classical methods.

Every face gets one mask of each tenth of hole ratio (0-10%, 10-20%, ...) for which there are masks. All
methods see the same picture, its hole painted grey, and are measured on the whole picture that comes back.
"""

from collections import defaultdict
from functools import partial

import numpy as np
from tqdm import tqdm

from ..metrics import ConfusionMatrix, layout_agreement, psnr, ssim
from ..semantics import CLASSES, layout_to_picture
from .holes import hide, pair_masks, percent
from .methods import OURS, restore
from .report import (
    Report,
    about,
    interval,
    markdown_table,
    mean_and_half_width,
    number,
    picture_sheet,
)

BATCH_SIZE = 16


def measure(inpainter, faces, masks, lpips):
    """A `Report` of `evaluate`; the arguments are the same."""
    results = evaluate(inpainter, faces, masks, lpips)
    return Report(
        results,
        format_table(results),
        f"{results['samples']:,} pictures ({results['faces']:,} faces, each with one mask of each tenth of "
        "hole ratio)",
        "Means over whole pictures, ± half of the 95% confidence interval, pictures taken as independent; "
        "layout figures are inside the hole. An arrow points to where better is.",
        partial(sheet, inpainter, faces, masks),
    )


def evaluate(inpainter, faces, masks, lpips, seed=0):
    """Measure an inpainter and the baselines on the pairs of `pair_masks`.

    Args:
        inpainter: a `FaceInpainter`, or anything with its call, `predict_layout` and `weights_sha256`.
        faces: `datasets.Faces`, all of the masks' size.
        masks: N x H x W bool tensor, true in the hole.
        lpips: the `metrics.Lpips` to measure with.
        seed: of the pairing and of the inpainter.

    Returns:
        Dict of plain values:
        - `date`, `samples`, `faces`, `seed`, `lpips_net`, `weights_sha256`, `torch`: what was measured.
        - `bands` and `tenths`, by hole ratio such as "20-40%": `samples`; `methods`, by name the `mean` and
          `half_width` of `psnr` (dB), `ssim` and `lpips`, and `lpips_of_telea`, the ratio of the means;
          `layout`, the `accuracy` and `mean_iou` inside the hole.
        - `parser`, Stage 1 without a hole: `accuracy`, `mean_iou`, and `iou` by name of each class present.

        A half width is that of the 95% confidence interval with pictures taken as independent. None stands
        for what cannot be known (no label maps, a single picture). The PSNR of identical pictures is
        `math.inf`.

    Raises:
        ValueError: no mask has a hole.
    """
    figures = defaultdict(lambda: defaultdict(list))
    layouts = defaultdict(ConfusionMatrix)
    pairs = pair_masks(masks, len(faces.keys), seed)
    with tqdm(total=len(pairs), desc="evaluating", unit="picture") as progress:
        for start in range(0, len(pairs), BATCH_SIZE):
            batch = pairs[start : start + BATCH_SIZE]
            restored = defaultdict(list)
            for face, mask, tenth in batch:
                hole = masks[mask].numpy()
                pictures, layout = restore(inpainter, faces.images[face].numpy(), hole, seed)
                for name, picture in pictures.items():
                    restored[name].append(picture)
                for group in _groups(tenth):
                    layouts[group].update(layout, faces.labels[face], hole)
                progress.update()
            truths = faces.images[[face for face, _, _ in batch]].numpy()
            for name, pictures in restored.items():
                distances = lpips(np.stack(pictures), truths)
                for picture, truth, distance, (_, _, tenth) in zip(
                    pictures, truths, distances, batch, strict=True
                ):
                    figure = (psnr(picture, truth), ssim(picture, truth), float(distance))
                    for group in _groups(tenth):
                        figures[group][name].append(figure)

    groups = {group: _summarize(figures[group], layouts[group]) for group in sorted(figures)}
    return {
        **about(inpainter, faces, len(pairs)),
        "seed": seed,
        "lpips_net": lpips.net,
        "bands": {percent(*group): summary for group, summary in groups.items() if group[1] == 2},
        "tenths": {percent(*group): summary for group, summary in groups.items() if group[1] == 1},
        "parser": _evaluate_parser(inpainter, faces),
    }


def format_table(results):
    """The bands of `evaluate`'s results as a Markdown table, and a line on Stage 1 as a face parser."""
    header = [
        "hole",
        "method",
        "PSNR (dB) ↑",
        "SSIM ↑",
        f"LPIPS {results['lpips_net']} ↓",
        "of Telea's",
        "layout accuracy ↑",
        "layout mean IoU ↑",
    ]
    rows = []
    for band, summary in results["bands"].items():
        for name, method in summary["methods"].items():
            cells = [
                band,
                name,
                interval(method["psnr"], 2),
                interval(method["ssim"], 3),
                interval(method["lpips"], 3),
                number(method["lpips_of_telea"], 2),
                number(summary["layout"]["accuracy"], 3) if name == OURS else "",
                number(summary["layout"]["mean_iou"], 3) if name == OURS else "",
            ]
            rows.append(cells)
    parser = results["parser"]
    return (
        f"{markdown_table(header, rows)}\n\n"
        f"Stage 1 as a face parser (no hole): accuracy {number(parser['accuracy'], 3)}, "
        f"mean IoU over the classes present {number(parser['mean_iou'], 3)}."
    )


def sheet(inpainter, faces, masks, seed=0):
    """Show one pair of each tenth of hole ratio, every time another face, as a picture.

    Arguments and errors are those of `evaluate`; nobody's face is in it but those of `faces`.

    Returns:
        PIL RGB image with a row per tenth: input with its hole, layout, result, truth, each baseline.
    """
    by_tenth = defaultdict(list)
    for pair in pair_masks(masks, len(faces.keys), seed):
        by_tenth[pair[2]].append(pair)
    rows = []
    for row, pairs in enumerate(by_tenth.values()):
        face, mask, _ = pairs[row % len(pairs)]
        image, hole = faces.images[face].numpy(), masks[mask].numpy()
        pictures, layout = restore(inpainter, image, hole, seed)
        rows.append(
            {
                "input": hide(image, hole, 255),
                "layout": np.asarray(layout_to_picture(layout)),
                "result": pictures.pop(OURS),
                "truth": image,
                **pictures,
            }
        )

    return picture_sheet(rows)


def _evaluate_parser(inpainter, faces):
    if not (faces.labels < len(CLASSES)).any():
        return _layout_figures(ConfusionMatrix()) | {"iou": None}
    no_hole = np.zeros(faces.labels.shape[1:], dtype=bool)
    predicted = [
        inpainter.predict_layout(image.numpy(), no_hole, align=False)
        for image in tqdm(faces.images, desc="parsing", unit="picture")
    ]
    matrix = layout_agreement(np.stack(predicted), faces.labels)
    present = matrix.counts.sum(1) > 0
    iou = {name: float(matrix.iou[index]) for index, name in enumerate(CLASSES) if present[index]}
    return _layout_figures(matrix) | {"iou": iou}


def _groups(tenth):
    """The groups that a tenth of hole ratio counts for, as (index, width in tenths): itself and its band."""
    return (tenth, 1), (tenth // 2, 2)


def _summarize(figures, matrix):
    methods = {}
    for name, rows in figures.items():
        columns = zip(("psnr", "ssim", "lpips"), zip(*rows, strict=True), strict=True)
        methods[name] = {metric: mean_and_half_width(values) for metric, values in columns}
    telea = methods["Telea"]["lpips"]["mean"]
    for method in methods.values():
        method["lpips_of_telea"] = method["lpips"]["mean"] / telea if telea else None
    samples = len(next(iter(figures.values())))
    return {"samples": samples, "methods": methods, "layout": _layout_figures(matrix)}


def _layout_figures(matrix):
    if not matrix.counts.any():
        return {"accuracy": None, "mean_iou": None}
    return {"accuracy": matrix.accuracy, "mean_iou": matrix.mean_iou}
