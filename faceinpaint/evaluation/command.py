"""`python -m faceinpaint evaluate`: how good restored faces are, on faces and masks never trained on."""

import functools
import shlex

from .. import datasets
from ..arguments import positive
from ..metrics import Lpips
from . import diversity, groups, identity, obedience, restoration, texture, worst
from .report import add_output_arguments, check_outputs, publish


def _with_lpips(measure):
    """What prepares a measurement by the network `args.lpips_net`; ValueError where it is not to be had."""
    return lambda args: functools.partial(measure, lpips=Lpips(args.lpips_net))


MEASURES = {
    "restoration": (_with_lpips(restoration.measure), ("lpips_net",)),
    "obedience": (obedience.prepare, ("parser",)),
    "identity": (identity.prepare, ("identity",)),
    "texture": (texture.prepare, ()),
    "diversity": (_with_lpips(diversity.measure), ("lpips_net",)),
    "groups": (_with_lpips(groups.measure), ("lpips_net",)),
    "worst": (_with_lpips(worst.measure), ("lpips_net",)),
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
    add_output_arguments(parser)


def main(args):
    """Evaluate as the command line says, print the table, and write the files asked for.

    Args:
        args: what `add_arguments` declares, and `checkpoint`: a folder, a Hub id, or None for the shipped
            weights.

    Raises:
        ValueError: with a sentence for the user; found before the measuring starts wherever it can be.
    """
    name = "evaluate" if args.measure == "restoration" else f"evaluate {args.measure}"
    check_outputs(args, name)
    faces = datasets.read_faces(args.faces, limit=args.limit)
    _, masks = datasets.read_masks(args.masks)
    measure = MEASURES[args.measure][0](args)

    # Only now: everything above can fail within seconds, without the networks.
    from ..pipeline import FaceInpainter

    publish(measure(FaceInpainter.from_pretrained(args.checkpoint), faces, masks), _command(args), args, name)


def _command(args):
    words = ["python", "-m", "faceinpaint", "evaluate", args.faces, args.masks]
    if args.measure != "restoration":
        words += ["--measure", args.measure]
    for option in (*MEASURES[args.measure][1], "limit", "checkpoint"):
        if getattr(args, option):
            words += [f"--{option.replace('_', '-')}", str(getattr(args, option))]
    return shlex.join(words)
