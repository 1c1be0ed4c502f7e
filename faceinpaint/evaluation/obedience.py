"""Whether Stage 2 paints what an edited layout says, and leaves the rest of the hole as it was.

Every face gets one edit by rule. Stage 2 paints the layout before and after the edit; then Stage 1, without a
hole, reads both pictures.
"""

from collections import defaultdict
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
from tqdm import tqdm

from ..alignment import FaceFrame
from ..checkpoint import load_network
from ..layout_editing import EDITS, WIDENING, WIDENING_OF_FINE, widen_hole
from ..metrics import ConfusionMatrix, layout_agreement, mean_iou
from ..semantics import CLASSES, HAIR, SKIN, class_ids, layout_to_picture
from .holes import hide, pair_bands
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

GOAL = 0.70
"""The mean IoU that an obedient network reaches in the edited area."""

BAND = 1
"""Holes of 20-40%."""

MIN_CHANGED = 60
"""An edit that changes fewer pixels than this is none: there are no glasses to take off, no hair to move."""

SHEET_ROWS = 2
"""Rows of the picture sheet for each edit."""

_BROWS = class_ids("right brow", "left brow")
_MOUTH = CLASSES.index("mouth")


def turn_mouth(layout):
    """Open a closed mouth and close an open one; H x W class ids to the same."""
    is_open = np.count_nonzero(layout == _MOUTH) >= MIN_CHANGED
    return EDITS["Close the mouth" if is_open else "Smile"](layout)


def raise_brows(layout, by=9):
    """Move the brows up by `by` pixels, over skin and hair; skin takes their place."""
    brows = np.isin(layout, _BROWS)
    edited = np.where(brows, np.uint8(SKIN), layout)
    raised = np.zeros_like(layout)
    raised[:-by] = np.where(brows, layout, 0)[by:]
    takes = (raised > 0) & np.isin(edited, (SKIN, HAIR))
    return np.where(takes, raised, edited)


def lower_hairline(layout, by=16):
    """Let the hair begin `by` pixels lower on the forehead."""
    return _move_hairline(layout, HAIR, SKIN, by)


def raise_hairline(layout, by=16):
    """Let the forehead reach `by` pixels higher into the hair."""
    return _move_hairline(layout, SKIN, HAIR, -by)


RULES = {
    "Mouth opened or closed": turn_mouth,
    "Brows raised": raise_brows,
    "Glasses on": EDITS["Glasses on"],
    "Hairline lowered": lower_hairline,
    "Hairline raised": raise_hairline,
    "Longer hair": EDITS["Longer hair"],
    "Glasses off": EDITS["Glasses off"],
}
"""The edits by name. They take turns, but who wears glasses takes them off.

Brows and hairline are not among the ready-made edits, so Stage 2 has not met them in training.
"""


def prepare(args):
    """The measurement; `args.parser`, a checkpoint or None, names a second Stage 1 that reads too."""
    return partial(measure, second=args.parser)


def measure(inpainter, faces, masks, second=None):
    """Edit one layout of each face, paint it and read it back.

    Args:
        inpainter: `FaceInpainter`.
        faces: `datasets.Faces`, 256 x 256; label maps are not used.
        masks: N x 256 x 256 bool tensor; those of 20-40% are.
        second: checkpoint folder or Hub id of a second parser, or None.

    Returns:
        `Report`. Its results hold by parser, "Stage 1" (and "second parser"), and by edit, and for "all":
        `samples`; `mean_iou` and `accuracy`, of what is read in the edited area against the edited layout;
        `ignored_mean_iou`, the same of the picture painted before the edit, which is what a network that
        ignores edits would get; `outside`, the mean absolute difference in grey levels (0 to 255) between the
        two pictures in the rest of the hole, but for `WIDENING` pixels around the edited area.

    Raises:
        ValueError: no mask of 20-40%, or the second parser cannot be loaded.
    """
    parsers = {"Stage 1": inpainter}
    if second:
        parsers["second parser"] = _load_parser(second, inpainter)
    trials = []
    pairs = pair_bands(masks, len(faces), [BAND])
    for face, mask, _ in tqdm(pairs, desc="editing", unit="face"):
        # Holes are smaller by turns, too: so each edit gets both kinds of them.
        turn = face + face // (len(RULES) - 1)
        trial = _try_edit(inpainter, parsers, faces.images[face].numpy(), masks[mask].numpy(), turn)
        if sum(earlier.edit == trial.edit for earlier in trials) >= SHEET_ROWS:
            trial.pictures = None
        trials.append(trial)

    names = [name for name in RULES if any(trial.edit == name for trial in trials)]
    groups = {"all": trials} | {name: [t for t in trials if t.edit == name] for name in names}
    results = about(inpainter, faces, len(trials)) | {
        "goal": GOAL,
        "second_parser": second,
        "parsers": {
            parser: {name: _summarize(group, parser) for name, group in groups.items()} for parser in parsers
        },
    }
    explanation = (
        "Every face gets one edit of the layout that Stage 1 predicts for a hole of 20-40%; the hole grows "
        f"by the edited area and {WIDENING} pixels about it, {WIDENING_OF_FINE} where hair or something worn "
        "goes, by the whole mouth where much of it changes, and by the rims only where glasses are put on. "
        "The reader parses the painted picture without a hole: mean IoU over the classes that the "
        "edited layout has in the edited area (all edits' pixels taken together), goal "
        f"{GOAL:.2f}, and beside it what the picture painted before the edit gets. "
        "Outside: mean absolute difference of the two pictures in the rest of the hole, but for "
        f"{WIDENING} pixels around the edited area. ± half of the 95% confidence interval, by bootstrap over "
        "edits for the mean IoU. Stage 2 is not trained on the edits of brows and hairline."
    )
    if second:
        explanation += f" The second parser is Stage 1 of `{second}`."
    rows = [trial.pictures for group in list(groups.values())[1:] for trial in group if trial.pictures]
    return Report(
        results,
        format_table(results),
        f"{len(trials):,} edits of {len(trials):,} faces",
        explanation,
        partial(picture_sheet, rows),
    )


def format_table(results):
    """`measure`'s results as a Markdown table."""
    header = ["edit", "edits", "reader", "mean IoU ↑", "if ignored", "accuracy ↑", "outside (grey levels) ↓"]
    rows = []
    for parser, edits in results["parsers"].items():
        for name, figures in edits.items():
            reached = figures["mean_iou"]["mean"] >= results["goal"]
            rows.append(
                [
                    name,
                    str(figures["samples"]),
                    parser,
                    goal(interval(figures["mean_iou"], 3), reached),
                    interval(figures["ignored_mean_iou"], 3),
                    interval(figures["accuracy"], 3),
                    interval(figures["outside"], 2),
                ]
            )
    return markdown_table(header, rows)


@dataclass
class _Trial:
    """One edit: what each parser read, also from the unedited picture, and what changed besides."""

    edit: str
    read: dict
    ignored: dict
    outside: float
    pictures: dict | None


def _try_edit(inpainter, parsers, image, hole, turn):
    """A `_Trial` of the first rule, from number `turn` on, that changes this face: glasses fit every face."""
    hidden = hide(image, hole)
    before = inpainter.predict_layout(hidden, hole, align=False)
    turning = list(RULES)[:-1]
    order = ["Glasses off", *(turning[(turn + step) % len(turning)] for step in range(len(turning)))]
    for name in order:
        after = RULES[name](before)
        changed = after != before
        if np.count_nonzero(changed) >= MIN_CHANGED:
            break
    wide = widen_hole(hole, before, after, FaceFrame.whole(*image.shape[1::-1]))
    hidden = hide(image, wide)
    plain, edited = (
        np.asarray(inpainter(hidden, wide, layout=layout, align=False).image.convert("RGB"))
        for layout in (before, after)
    )
    no_hole = np.zeros_like(hole)
    read, ignored = defaultdict(ConfusionMatrix), defaultdict(ConfusionMatrix)
    for parser, reader in parsers.items():
        for counts, picture in ((read, edited), (ignored, plain)):
            layout = reader.predict_layout(picture, no_hole, align=False)
            counts[parser] = layout_agreement(layout, after, changed)
    rim = 2 * WIDENING + 1
    elsewhere = hole & ~(cv2.dilate(changed.astype(np.uint8), np.ones((rim, rim), np.uint8)) > 0)
    difference = np.abs(edited.astype(np.float64) - plain)[elsewhere]
    return _Trial(
        name,
        read,
        ignored,
        float(difference.mean()) if elsewhere.any() else 0.0,
        {
            "input": hide(image, wide, 255),
            "layout": np.asarray(layout_to_picture(before)),
            "painted": plain,
            "edited layout": np.asarray(layout_to_picture(after)),
            "painted anew": edited,
            "truth": image,
        },
    )


def _summarize(trials, parser):
    read, ignored = (
        np.stack([counts[parser].counts for counts in column])
        for column in zip(*((trial.read, trial.ignored) for trial in trials), strict=True)
    )
    return {
        "samples": len(trials),
        "mean_iou": bootstrap(read, mean_iou),
        "ignored_mean_iou": bootstrap(ignored, mean_iou),
        "accuracy": mean_and_half_width([trial.read[parser].accuracy for trial in trials]),
        "outside": mean_and_half_width([trial.outside for trial in trials]),
    }


def _move_hairline(layout, grows, gives_way, by):
    """Draw class `grows` out by `by` pixels (downwards if positive) over `gives_way`, above the brows."""
    y, x = np.nonzero(np.isin(layout, _BROWS))
    if not y.size:
        return layout.copy()
    forehead = np.zeros(layout.shape, bool)
    forehead[: max(0, y.min() - 4), x.min() : x.max() + 1] = True
    reach = abs(by)
    # A column as structuring element: its upper half draws a class out downwards.
    column = np.zeros((2 * reach + 1, 1), np.uint8)
    column[slice(reach) if by > 0 else slice(reach, None)] = 1
    grown = cv2.dilate((layout == grows).astype(np.uint8), column) > 0
    return np.where(grown & forehead & (layout == gives_way), np.uint8(grows), layout)


def _load_parser(source, inpainter):
    """An inpainter whose Stage 1, and prior if it needs one, are those of another checkpoint."""
    from ..pipeline import FaceInpainter

    stage = load_network(source, "layout_generator")
    prior = load_network(source, "face_prior") if stage.use_prior else None
    return FaceInpainter(
        prior,
        inpainter.frame_regressor,
        stage,
        inpainter.texture_generator,
        inpainter.face_upsampler,
        inpainter.device,
    )
