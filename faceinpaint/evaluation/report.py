"""What a measurement hands back, and how it becomes a Markdown table, JSON and a picture sheet."""

import datetime
import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from ..arguments import check_sheet

BOOTSTRAPS = 400
"""How often samples are drawn anew to learn the spread of a figure that is no mean."""


@dataclass
class Report:
    """A finished measurement.

    Attributes:
        results: dict of plain values, `about` among them.
        table: Markdown.
        samples: what was measured, such as "200 edits of 200 faces".
        explanation: sentences on what the figures mean.
        draw: gives the picture sheet, a PIL RGB image.
    """

    results: dict
    table: str
    samples: str
    explanation: str
    draw: Callable

    def caption(self, command):
        """One Markdown paragraph that says what the figures are and which `command` made them."""
        return (
            f"Written by `{command}` on {self.results['date']}: {self.samples}, "
            f"weights `{self.results['weights_sha256'][:12]}`, torch {self.results['torch']}. "
            f"{self.explanation}"
        )


def about(inpainter, faces, samples):
    """What every result says of itself: `date`, `samples`, `faces`, `weights_sha256`, `torch`."""
    return {
        "date": datetime.date.today().isoformat(),
        "samples": samples,
        "faces": len(faces),
        "weights_sha256": inpainter.weights_sha256,
        "torch": torch.__version__,
    }


def mean_and_half_width(values):
    """`mean` of independent values and `half_width` of its 95% confidence interval (None: not known)."""
    known = len(values) > 1 and np.isfinite(values).all()
    return {
        "mean": float(np.mean(values)) if len(values) else None,
        "half_width": float(1.96 * np.std(values, ddof=1) / math.sqrt(len(values))) if known else None,
    }


def bootstrap(samples, statistic, seed=0):
    """A figure over all samples, and its spread where it is no mean of figures (Efron 1979).

    Args:
        samples: N x ... array, independent along the first axis.
        statistic: function of such an array that gives a float.
        seed: of the draws.

    Returns:
        `mean`, the statistic of all samples, and `half_width` of its 95% confidence interval, from the
        deviation over draws with replacement; None where it cannot be known.
    """
    if not len(samples):
        return {"mean": None, "half_width": None}
    rng = np.random.default_rng(seed)
    draws = [statistic(samples[rng.integers(len(samples), size=len(samples))]) for _ in range(BOOTSTRAPS)]
    known = len(samples) > 1 and np.isfinite(draws).all()
    return {
        "mean": float(statistic(samples)),
        "half_width": float(1.96 * np.std(draws, ddof=1)) if known else None,
    }


def number(value, digits):
    """A figure as text: a dash for None, and the sign for infinity."""
    if value is None:
        return "–"
    return "∞" if math.isinf(value) else f"{value:.{digits}f}"


def interval(figure, digits):
    """`mean` ± `half_width` as text."""
    text = number(figure["mean"], digits)
    return text if figure["half_width"] is None else f"{text} ± {number(figure['half_width'], digits)}"


def goal(text, reached):
    """A cell's text with the mark of a goal that is, or is not, reached."""
    return f"{text} {'✓' if reached else '✗'}"


def markdown_table(header, rows):
    """A Markdown table of cells that are text."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def picture_sheet(rows):
    """Lay pictures out in columns, each under its title.

    Args:
        rows: list of dicts of title to H x W x 3 uint8 picture, all with the same titles and sizes.

    Returns:
        PIL RGB image.

    Raises:
        ValueError: there is no row.
    """
    if not rows:
        raise ValueError("No picture could be measured, so there is none for the sheet.")
    height, width = next(iter(rows[0].values())).shape[:2]
    header = 24
    canvas = Image.new("RGB", (len(rows[0]) * width, header + len(rows) * height), "white")
    draw = ImageDraw.Draw(canvas)
    for column, title in enumerate(rows[0]):
        draw.text((column * width + 6, 3), title, fill="black", font=ImageFont.load_default(15))
        for index, row in enumerate(rows):
            canvas.paste(Image.fromarray(row[title]), (column * width, header + index * height))
    return canvas


def split_at_markers(path, name):
    """A file's text up to the end of the line <!-- name -->, and from the line <!-- /name --> on.

    Raises:
        ValueError: it is not to be read, or these lines are missing.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"The file {path} cannot be read as text: {error}.") from error
    opening, closing = f"<!-- {name} -->", f"<!-- /{name} -->"
    parts = re.fullmatch(rf"(.*?^{opening}\n).*?(^{closing}$.*)", text, re.DOTALL | re.MULTILINE)
    if not parts:
        raise ValueError(f"The file {path} needs the lines {opening} and {closing}, in this order.")
    return parts.groups()


def add_output_arguments(parser):
    """Declare on an `argparse` parser the files that `check_outputs` and `publish` are about."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures here")
    parser.add_argument("--sheet", type=Path, metavar="FILE", help="write a picture sheet here")
    parser.add_argument(
        "--markdown",
        type=Path,
        metavar="FILE",
        help="write the table into this file, between the lines <!-- NAME --> and <!-- /NAME -->; NAME is "
        "the command's, followed by MEASURE if one is asked for",
    )


def check_outputs(args, name):
    """Find out before a long measurement whether its files can be written; `name` is that of the markers.

    Raises:
        ValueError: with a sentence for the user.
    """
    for path in (args.json, args.sheet):
        if path and not path.parent.is_dir():
            raise ValueError(f"There is no folder {path.parent} to write {path.name} into.")
    check_sheet(args.sheet)
    if args.markdown:
        split_at_markers(args.markdown, name)


def publish(report, command, args, name):
    """Print a `Report`, made by `command`, and write the files asked for; `name` is that of the markers.

    In `args.json`, null also stands for the infinite PSNR of identical pictures.
    """
    text = f"{report.table}\n\n{report.caption(command)}"
    print(text)
    if args.json:
        results = without_infinity({"command": command, **report.results})
        args.json.write_text(json.dumps(results, indent=2) + "\n")
    if args.markdown:
        before, after = split_at_markers(args.markdown, name)
        args.markdown.write_text(f"{before}{text}\n{after}", encoding="utf-8")
    if args.sheet:
        report.draw().save(args.sheet)


def without_infinity(value):
    """The same with None in place of infinity and NaN, which JSON does not have."""
    if isinstance(value, dict):
        return {key: without_infinity(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_infinity(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
