"""`python -m faceinpaint benchmark`: how well faces are found in photos and put back, and how fast all is.

Alignment and seam make their photos from a tar or folder of aligned faces by a seeded generator, so a short
run is a part of a long one.
"""

import math
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from tqdm import tqdm

from . import datasets, latency
from .alignment import NEAR, FaceFrame, NoFaceFound, locate
from .arguments import check_sheet, positive
from .examples import read_examples
from .masks import random_mask
from .pipeline import FaceInpainter

SIZE = 256
"""Side of the aligned faces that photos are made from, in pixels."""

SEED = 0
"""Of the made photos and holes."""

LATENCY_EXAMPLE = "half-of-the-face"
"""The example whose photo is restored to measure time."""

SHEET_ROWS, SHEET_CROP = 6, 320


def place_face(faces, index, rng):
    """Make a photo: one aligned face, scaled, turned and pasted into a larger picture.

    Args:
        faces: N x 256 x 256 x 3 uint8 aligned faces; another one, blurred, may be the background.
        index: which face to paste.
        rng: numpy generator. The crop is 60 to 1500 pixels wide, turned by up to 35 degrees.

    Returns:
        The photo, H x W x 3 uint8; its hole, H x W bool, which hides a part of the face in 20% of the cases
        and is empty else; and the `FaceFrame` that the face was pasted with.
    """
    side = math.exp(rng.uniform(math.log(60), math.log(1500)))
    angle = math.radians(rng.uniform(-35, 35))
    reach = side * (abs(math.cos(angle)) + abs(math.sin(angle)))
    width, height = (
        round(max(200, reach + 4, min(reach * rng.uniform(1, 4), reach + 1000))) for _ in range(2)
    )
    centre = [rng.uniform(reach / 2, length - reach / 2) for length in (width, height)]
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]) * side / SIZE
    to_photo = np.column_stack([turn, centre - turn @ np.full(2, (SIZE - 1) / 2)])

    soft = np.zeros((SIZE, SIZE, 1), np.float32)
    soft[12:-12, 12:-12] = 1
    soft = cv2.blur(soft, (16, 16))[..., None]
    face = np.concatenate([faces[index] * soft, soft], 2)
    # Shrinking by more than 2 in one step of bicubic interpolation would alias.
    if side < SIZE / 2:
        face = cv2.GaussianBlur(face, (0, 0), 0.4 * SIZE / side)
    pasted = cv2.warpAffine(face, to_photo, (width, height), flags=cv2.INTER_CUBIC)
    photo = pasted[..., :3] + _background(faces, width, height, rng) * (1 - pasted[..., 3:])
    photo += rng.uniform(0, 4) * rng.standard_normal((height, width, 1), np.float32)
    hole = np.zeros((height, width), bool)
    if rng.random() < 0.2:
        hidden = random_mask(rng, SIZE, 0.1, 0.5).astype(np.uint8)
        hole = cv2.warpAffine(hidden, to_photo, (width, height), flags=cv2.INTER_NEAREST) > 0
    return np.clip(photo, 0, 255).astype(np.uint8), hole, FaceFrame(cv2.invertAffineTransform(to_photo))


def enlarge_face(face, rng):
    """Make a photo that shows more than the networks' 256 x 256 pixels: a face enlarged, with grain.

    Args:
        face: 256 x 256 x 3 uint8.
        rng: numpy generator. The side grows by 1.5 to 4; the grain has a deviation of 2 to 8 of 255.

    Returns:
        H x H x 3 uint8.
    """
    side = round(SIZE * math.exp(rng.uniform(math.log(1.5), math.log(4))))
    photo = cv2.resize(face, (side, side), interpolation=cv2.INTER_LANCZOS4).astype(np.float32)
    grain = cv2.GaussianBlur(rng.standard_normal((side, side), np.float32), (0, 0), 0.6)
    photo += (rng.uniform(2, 8) / grain.std() * grain)[..., None]
    return np.clip(np.rint(photo), 0, 255).astype(np.uint8)


def edge_ratio(picture, hole, distance=2):
    """How much steeper a picture is across the edge of a hole than along lines beside it.

    Args:
        picture: H x W x 3 uint8.
        hole: H x W bool.
        distance: how far inside and outside the lines lie, in pixels.

    Returns:
        The mean difference of the pixels on both sides of the edge over that of neighbours in the same
        direction just inside and just outside; 1 where nothing shows.
    """
    across, beside = [], []
    for axis in (0, 1):
        values = np.moveaxis(picture.astype(np.float32), axis, 0)
        inside = np.moveaxis(hole, axis, 0)
        steps = np.abs(np.diff(values, axis=0)).mean(-1)
        edge = inside[1:] != inside[:-1]
        both, neither = inside[1:] & inside[:-1], ~inside[1:] & ~inside[:-1]
        across.append(steps[edge])
        lines = [[], []]
        for shift, entered in ((distance, inside[1:]), (-distance, inside[:-1])):
            lines[0].append(steps[np.roll(edge & entered, shift, 0) & both])
            lines[1].append(steps[np.roll(edge & entered, -shift, 0) & neither])
        beside.append([np.concatenate(line) for line in lines])
    inner, outer = (np.concatenate(line).mean() for line in zip(*beside, strict=True))
    return float(np.concatenate(across).mean() / ((inner + outer) / 2))


def benchmark_alignment(inpainter, faces):
    """Find faces that were pasted into pictures, with the detector and without.

    Args:
        inpainter: a `FaceInpainter`.
        faces: N x 256 x 256 x 3 uint8 aligned faces.

    Returns:
        Dict by method, "YuNet" (where there is a detector) and "layout", of N errors as of
        `FaceFrame.apart`; math.inf where nothing was found. Beside them "YuNet alone": the errors, in the
        aligned face itself, of the frame that the detector's points give there, which is how far two ways
        to mark a face differ.
    """
    detectors = {"YuNet": inpainter.detector, "layout": None}
    if inpainter.detector is None:
        del detectors["YuNet"]
    errors = {name: [] for name in detectors}
    if inpainter.detector:
        errors["YuNet alone"] = []
    for index in tqdm(range(len(faces)), desc="finding", unit="photo"):
        photo, hole, truth = place_face(faces, index, np.random.default_rng([SEED, index]))
        for name, detector in detectors.items():
            try:
                frame = locate(photo, hole, inpainter._parse, inpainter._regress, detector)[0]
                errors[name].append(frame.apart(truth))
            except NoFaceFound:
                errors[name].append(math.inf)
        if inpainter.detector:
            margin = SIZE // 4
            alone = cv2.copyMakeBorder(faces[index], *[margin] * 4, cv2.BORDER_REFLECT_101)
            found = inpainter.detector.detect(alone)
            whole = FaceFrame.whole(SIZE, SIZE)
            errors["YuNet alone"].append(
                FaceFrame.from_landmarks(found[0].landmarks - margin).apart(whole) if found else math.inf
            )
    return errors


def benchmark_seam(inpainter, faces):
    """Restore enlarged faces with random holes and look at the edges of the holes.

    Arguments are those of `benchmark_alignment`.

    Returns:
        Dict of N `edge_ratio`s by method: "put back" as the inpainter does it, "bilinear", the networks'
        picture enlarged plainly, and "truth"; and a PIL picture sheet at 100% of some of them.
    """
    ratios = {"bilinear": [], "put back": [], "truth": []}
    rows = []
    for index in tqdm(range(len(faces)), desc="restoring", unit="photo"):
        rng = np.random.default_rng([SEED, index])
        truth = enlarge_face(faces[index], rng)
        side = len(truth)
        hole = cv2.resize(random_mask(rng, SIZE, 0.05, 0.4).astype(np.float32), (side, side)) > 0.5
        seen = np.where(hole[..., None], np.uint8(127), truth)
        result = inpainter(seen, hole, align=False, seed=SEED)
        plain = cv2.resize(result.aligned_painting, (side, side), interpolation=cv2.INTER_LINEAR)
        pictures = {
            "bilinear": np.where(hole[..., None], plain, truth),
            "put back": np.asarray(result.image),
            "truth": truth,
        }
        for name, picture in pictures.items():
            ratios[name].append(edge_ratio(picture, hole))
        if len(rows) < SHEET_ROWS:
            edge = np.argwhere(cv2.dilate(hole.astype(np.uint8), np.ones((3, 3))) > hole)
            middle = edge[np.abs(edge - side / 2).sum(1).argmin()]
            top, left = np.clip(middle - SHEET_CROP // 2, 0, side - SHEET_CROP)
            crop = np.s_[top : top + SHEET_CROP, left : left + SHEET_CROP]
            rows.append(np.hstack([picture[crop] for picture in (seen, *pictures.values())]))
    return ratios, Image.fromarray(np.vstack(rows))


def add_arguments(parser):
    """Declare the arguments of `main` on an `argparse` parser, all but `--checkpoint`."""
    parser.add_argument("what", choices=("alignment", "seam", "latency"), help="what to measure")
    parser.add_argument(
        "faces", metavar="FACES", nargs="?", help="alignment, seam: tar or folder of aligned faces"
    )
    parser.add_argument("--limit", type=positive, metavar="N", help="use the first N faces only")
    parser.add_argument(
        "--sheet", type=Path, metavar="FILE", help="seam: write input, bilinear, put back, truth at 100%%"
    )
    parser.add_argument(
        "--repeats", type=positive, default=20, metavar="N", help="latency: how often to run each step"
    )


def main(args):
    """Run the benchmark that the command line names and print its figures.

    Args:
        args: what `add_arguments` declares, and `checkpoint`: a folder, a Hub id, or None for the shipped
            weights.

    Raises:
        ValueError: with a sentence for the user.
    """
    check_sheet(args.sheet)
    if args.what == "latency":
        example = read_examples()[LATENCY_EXAMPLE]
        inpainter = FaceInpainter.from_pretrained(args.checkpoint)
        photo = np.asarray(example.photo)
        print(*latency.report(inpainter, photo, example.mask, args.repeats, args.checkpoint), sep="\n")
        return
    if not args.faces:
        raise ValueError(f"Benchmark {args.what} needs FACES, a tar or folder of aligned faces.")
    faces = datasets.read_faces(args.faces, size=SIZE, limit=args.limit).images.numpy()
    inpainter = FaceInpainter.from_pretrained(args.checkpoint)
    if args.what == "alignment":
        errors = benchmark_alignment(inpainter, faces)
        for name, values in errors.items():
            shares = [
                f"{np.mean(np.array(values) < most):.1%} within {most:.0%}" for most in (NEAR, 2 * NEAR)
            ]
            print(
                f"{name}: of {len(values)} frames {' and '.join(shares)} of the distance between the eyes; "
                f"median {np.median(values):.1%}"
            )
        return
    ratios, sheet = benchmark_seam(inpainter, faces)
    for name, values in ratios.items():
        away = np.abs(np.array(values) - 1)
        print(
            f"{name}: the gradient across the edge is {np.median(values):.2f} of that beside it and differs "
            f"by {np.median(away):.1%} (medians of {len(values)} photos)"
        )
    if args.sheet:
        sheet.save(args.sheet)


def _background(faces, width, height, rng):
    """H x W x 3 float32: blurred pictures, coloured noise of all scales, or stripes."""
    kind = rng.integers(3)
    if kind == 0:
        other = cv2.blur(faces[rng.integers(len(faces))], (65, 65))
        return cv2.resize(other, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    picture = np.full((height, width, 3), rng.uniform(60, 190, 3), np.float32)
    if kind == 1:
        for octave in range(7):
            cells = rng.normal(0, 30 / 1.4**octave, (3 * 2**octave, 3 * 2**octave, 3)).astype(np.float32)
            picture += cv2.resize(cells, (width, height), interpolation=cv2.INTER_CUBIC)
        return np.clip(picture, 0, 255)
    x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
    across = rng.uniform(-0.2, 0.2, 2)
    return picture + 40 * np.sign(np.sin(across[0] * x + across[1] * y, dtype=np.float32))[..., None]
