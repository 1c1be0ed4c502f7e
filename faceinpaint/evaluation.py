"""`python -m faceinpaint evaluate`: how well holes are filled, by hole ratio and beside classical methods.

Every face gets one mask of each tenth of hole ratio (0-10%, 10-20%, ...) for which there are masks. All
methods see the same picture, its hole painted grey, and are measured on the whole picture that comes back.
"""

import argparse
import datetime
import json
import math
import re
import shlex
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from tqdm import tqdm

from faceinpaint import datasets
from faceinpaint.baselines import BASELINES
from faceinpaint.metrics import ConfusionMatrix, Lpips, layout_agreement, psnr, ssim
from faceinpaint.semantics import CLASSES, layout_to_picture

OURS = "faceinpaint"
"""The name of the inpainter under test in results, beside the names in `BASELINES`."""

MARKERS = ("<!-- evaluate -->", "<!-- /evaluate -->")
"""The lines of a Markdown file between which `--markdown` writes."""

BATCH_SIZE = 16


def pair_masks(masks, num_faces, seed=0):
    """Give every face one mask of each tenth of hole ratio.

    The first faces get the same masks however many faces there are, so a short run is a part of the long one.

    Args:
        masks: N x H x W bool tensor, true in the hole; masks without a hole are left out.
        num_faces: how many faces there are.
        seed: names the order in which masks are dealt out.

    Returns:
        List of (face index, mask index, tenth of hole ratio 0 to 9), tenth by tenth.

    Raises:
        ValueError: no mask has a hole.
    """
    ratios = masks.flatten(1).float().mean(1).numpy()
    tenths = np.minimum((ratios * 10).astype(int), 9)
    pairs = []
    for tenth in range(10):
        candidates = np.flatnonzero((tenths == tenth) & (ratios > 0))
        if candidates.size:
            order = np.random.default_rng([seed, tenth]).permutation(candidates)
            pairs += [(face, int(order[face % order.size]), tenth) for face in range(num_faces)]
    if not pairs:
        raise ValueError("None of the masks has a hole: white must mark what is to be filled.")
    return pairs


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
                pictures, layout = _restore(inpainter, faces.images[face].numpy(), hole, seed)
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
        "date": datetime.date.today().isoformat(),
        "samples": len(pairs),
        "faces": len(faces.keys),
        "seed": seed,
        "lpips_net": lpips.net,
        "weights_sha256": inpainter.weights_sha256,
        "torch": torch.__version__,
        "bands": {_percent(group): summary for group, summary in groups.items() if group[1] == 2},
        "tenths": {_percent(group): summary for group, summary in groups.items() if group[1] == 1},
        "parser": _evaluate_parser(inpainter, faces),
    }


def format_table(results):
    """The bands of `evaluate`'s results as a Markdown table, and a line on Stage 1 as a face parser."""
    lines = [
        f"| hole | method | PSNR (dB) ↑ | SSIM ↑ | LPIPS {results['lpips_net']} ↓ | of Telea's "
        "| layout accuracy ↑ | layout mean IoU ↑ |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for band, summary in results["bands"].items():
        for name, method in summary["methods"].items():
            cells = [
                band,
                name,
                _interval(method["psnr"], 2),
                _interval(method["ssim"], 3),
                _interval(method["lpips"], 3),
                _number(method["lpips_of_telea"], 2),
                _number(summary["layout"]["accuracy"], 3) if name == OURS else "",
                _number(summary["layout"]["mean_iou"], 3) if name == OURS else "",
            ]
            lines.append(f"| {' | '.join(cells)} |")
    parser = results["parser"]
    lines += [
        "",
        f"Stage 1 as a face parser (no hole): accuracy {_number(parser['accuracy'], 3)}, "
        f"mean IoU over the classes present {_number(parser['mean_iou'], 3)}.",
    ]
    return "\n".join(lines)


def format_caption(results, command):
    """One Markdown paragraph that says what the figures of `evaluate` are and which `command` made them."""
    return (
        f"Written by `{command}` on {results['date']}: {results['samples']:,} pictures "
        f"({results['faces']:,} faces, each with one mask of each tenth of hole ratio), "
        f"weights `{results['weights_sha256'][:12]}`, torch {results['torch']}. "
        "Means over whole pictures, ± half of the 95% confidence interval; layout figures are "
        "inside the hole. An arrow points to where better is."
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
    for number, pairs in enumerate(by_tenth.values()):
        face, mask, _ = pairs[number % len(pairs)]
        image, hole = faces.images[face].numpy(), masks[mask].numpy()
        pictures, layout = _restore(inpainter, image, hole, seed)
        rows.append(
            {
                "input": _hide(image, hole, 255),
                "layout": np.asarray(layout_to_picture(layout)),
                "result": pictures.pop(OURS),
                "truth": image,
                **pictures,
            }
        )

    height, width = rows[0]["truth"].shape[:2]
    header = 24
    canvas = Image.new("RGB", (len(rows[0]) * width, header + len(rows) * height), "white")
    draw = ImageDraw.Draw(canvas)
    for column, title in enumerate(rows[0]):
        draw.text((column * width + 6, 3), title, fill="black", font=ImageFont.load_default(15))
        for number, row in enumerate(rows):
            canvas.paste(Image.fromarray(row[title]), (column * width, header + number * height))
    return canvas


def add_arguments(parser):
    """Declare the arguments of `main` on an `argparse` parser, all but `--checkpoint`."""
    parser.add_argument("faces", metavar="FACES", help="tar or folder of aligned faces; labels are used")
    parser.add_argument("masks", metavar="MASKS", help="tar or folder of masks; white marks the hole")
    parser.add_argument(
        "--lpips-net",
        choices=("alex", "vgg", "squeeze"),
        default="alex",
        help="the network that LPIPS looks with (default: alex)",
    )
    parser.add_argument("--limit", type=positive, metavar="N", help="measure on the first N faces only")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures here")
    parser.add_argument("--sheet", type=Path, metavar="FILE", help="write a picture sheet here")
    parser.add_argument(
        "--markdown",
        type=Path,
        metavar="FILE",
        help=f"write the table between the lines {MARKERS[0]} and {MARKERS[1]} of this file",
    )


def main(args):
    """Evaluate as the command line says, print the table, and write the files asked for.

    Args:
        args: what `add_arguments` declares, and `checkpoint`: a folder, a Hub id, or None for the shipped
            weights. In `args.json`, null also stands for the infinite PSNR of identical pictures.

    Raises:
        ValueError: with a sentence for the user; found before the measuring starts wherever it can be.
    """
    for path in (args.json, args.sheet):
        if path and not path.parent.is_dir():
            raise ValueError(f"There is no folder {path.parent} to write {path.name} into.")
    if args.sheet and args.sheet.suffix.lower() not in Image.registered_extensions():
        raise ValueError(f"The picture sheet {args.sheet} needs the name of a picture, such as sheet.png.")
    if args.markdown:
        _split_at_markers(args.markdown)
    faces = datasets.read_faces(args.faces, limit=args.limit)
    _, masks = datasets.read_masks(args.masks)
    lpips = Lpips(args.lpips_net, "cuda" if torch.cuda.is_available() else "cpu")

    # Only now: everything above can fail within seconds, without the networks.
    from faceinpaint.pipeline import FaceInpainter

    inpainter = FaceInpainter.from_pretrained(args.checkpoint)
    results = evaluate(inpainter, faces, masks, lpips)
    command = _command(args)
    text = f"{format_table(results)}\n\n{format_caption(results, command)}"
    print(text)
    if args.json:
        args.json.write_text(json.dumps(_without_infinity({"command": command, **results}), indent=2) + "\n")
    if args.markdown:
        before, after = _split_at_markers(args.markdown)
        args.markdown.write_text(f"{before}{text}\n{after}", encoding="utf-8")
    if args.sheet:
        sheet(inpainter, faces, masks).save(args.sheet)


def _restore(inpainter, image, hole, seed):
    """One face by every method: {name: H x W x 3 uint8}, and the inpainter's layout."""
    # The truth stays out of the input, so that no method can leak it.
    hidden = _hide(image, hole, 128)
    result = inpainter(hidden, hole, align=False, seed=seed)
    pictures = {OURS: np.asarray(result.image.convert("RGB"))}
    pictures.update({name: method(hidden, hole) for name, method in BASELINES.items()})
    return pictures, result.layout


def _hide(image, hole, grey):
    return np.where(hole[..., None], np.uint8(grey), image)


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


def _percent(group):
    index, width = group
    return f"{index * width * 10}-{(index + 1) * width * 10}%"


def _summarize(figures, matrix):
    methods = {}
    for name, rows in figures.items():
        columns = zip(("psnr", "ssim", "lpips"), zip(*rows, strict=True), strict=True)
        methods[name] = {metric: _mean_and_half_width(values) for metric, values in columns}
    telea = methods["Telea"]["lpips"]["mean"]
    for method in methods.values():
        method["lpips_of_telea"] = method["lpips"]["mean"] / telea if telea else None
    samples = len(next(iter(figures.values())))
    return {"samples": samples, "methods": methods, "layout": _layout_figures(matrix)}


def _mean_and_half_width(values):
    known = len(values) > 1 and np.isfinite(values).all()
    return {
        "mean": float(np.mean(values)),
        "half_width": float(1.96 * np.std(values, ddof=1) / math.sqrt(len(values))) if known else None,
    }


def _layout_figures(matrix):
    if not matrix.counts.any():
        return {"accuracy": None, "mean_iou": None}
    return {"accuracy": matrix.accuracy, "mean_iou": matrix.mean_iou}


def _number(value, digits):
    if value is None:
        return "–"
    return "∞" if math.isinf(value) else f"{value:.{digits}f}"


def _interval(figure, digits):
    text = _number(figure["mean"], digits)
    return text if figure["half_width"] is None else f"{text} ± {_number(figure['half_width'], digits)}"


def _without_infinity(value):
    """The same with None in place of infinity, which JSON does not have."""
    if isinstance(value, dict):
        return {key: _without_infinity(item) for key, item in value.items()}
    return None if isinstance(value, float) and math.isinf(value) else value


def _split_at_markers(path):
    """What stands in the file up to the end of the first marker's line, and from the second marker on."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"The file {path} cannot be read as text: {error}.") from error
    opening, closing = MARKERS
    parts = re.fullmatch(rf"(.*?^{opening}\n).*?(^{closing}$.*)", text, re.DOTALL | re.MULTILINE)
    if not parts:
        raise ValueError(f"The file {path} needs the lines {opening} and {closing}, in this order.")
    return parts.groups()


def _command(args):
    words = ["python", "-m", "faceinpaint", "evaluate", args.faces, args.masks, "--lpips-net", args.lpips_net]
    if args.limit:
        words += ["--limit", str(args.limit)]
    if args.checkpoint:
        words += ["--checkpoint", str(args.checkpoint)]
    return shlex.join(words)


def positive(text):
    """A whole number from 1 up, for `argparse`."""
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 up, not {text!r}")
    return number
