"""`python -m faceinpaint evaluate`: how good restored faces are, on faces and masks never trained on."""

import argparse
import json
import shlex
from pathlib import Path

from PIL import Image

from .. import datasets
from . import diversity, groups, identity, obedience, restoration, texture
from .report import split_at_markers, without_infinity

MEASURES = {
    "restoration": (restoration.prepare, ("lpips_net",)),
    "obedience": (obedience.prepare, ("parser",)),
    "identity": (identity.prepare, ("identity",)),
    "texture": (texture.prepare, ()),
    "diversity": (diversity.prepare, ("lpips_net",)),
    "groups": (groups.prepare, ("lpips_net",)),
}
"""By name what prepares a measurement, and which arguments are its own.

The former takes the command line's arguments and gives a function of inpainter, faces and masks that
returns a `Report`.
"""


def add_arguments(parser):
    """Declare the arguments of `main` on an `argparse` parser, all but `--checkpoint`."""
    parser.add_argument("faces", metavar="FACES", help="tar or folder of aligned faces; labels are used")
    parser.add_argument("masks", metavar="MASKS", help="tar or folder of masks; white marks the hole")
    parser.add_argument(
        "--measure", choices=MEASURES, default="restoration", help="the question (default: restoration)"
    )
    parser.add_argument(
        "--lpips-net",
        choices=("alex", "vgg", "squeeze"),
        default="alex",
        help="the network that LPIPS looks with (default: alex)",
    )
    parser.add_argument(
        "--parser", metavar="FOLDER", help="obedience: a checkpoint whose Stage 1 reads the pictures too"
    )
    parser.add_argument(
        "--identity", metavar="MODEL", help="identity: a TorchScript face recognition network (MobileFaceNet)"
    )
    parser.add_argument("--limit", type=positive, metavar="N", help="measure on the first N faces only")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures here")
    parser.add_argument("--sheet", type=Path, metavar="FILE", help="write a picture sheet here")
    parser.add_argument(
        "--markdown",
        type=Path,
        metavar="FILE",
        help="write the table between the lines <!-- evaluate --> and <!-- /evaluate --> of this file; "
        "that of MEASURE between <!-- evaluate MEASURE --> and <!-- /evaluate MEASURE -->",
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
        split_at_markers(args.markdown, args.measure)
    faces = datasets.read_faces(args.faces, limit=args.limit)
    _, masks = datasets.read_masks(args.masks)
    measure = MEASURES[args.measure][0](args)

    # Only now: everything above can fail within seconds, without the networks.
    from ..pipeline import FaceInpainter

    report = measure(FaceInpainter.from_pretrained(args.checkpoint), faces, masks)
    command = _command(args)
    text = f"{report.table}\n\n{report.caption(command)}"
    print(text)
    if args.json:
        results = without_infinity({"command": command, **report.results})
        args.json.write_text(json.dumps(results, indent=2) + "\n")
    if args.markdown:
        before, after = split_at_markers(args.markdown, args.measure)
        args.markdown.write_text(f"{before}{text}\n{after}", encoding="utf-8")
    if args.sheet:
        report.draw().save(args.sheet)


def positive(text):
    """A whole number from 1 up, for `argparse`."""
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 up, not {text!r}")
    return number


def _command(args):
    words = ["python", "-m", "faceinpaint", "evaluate", args.faces, args.masks]
    if args.measure != "restoration":
        words += ["--measure", args.measure]
    for option in (*MEASURES[args.measure][1], "limit", "checkpoint"):
        if getattr(args, option):
            words += [f"--{option.replace('_', '-')}", str(getattr(args, option))]
    return shlex.join(words)
