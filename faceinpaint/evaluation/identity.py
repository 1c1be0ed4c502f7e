"""Whether the restored face is the same person's, by a face recognition network.

The cosine between the embeddings of result and truth is 1 for the same picture. Beside it stand Telea's, and
that of two different people, which is what a network that forgets the person gets.
"""

from functools import partial

import numpy as np
import torch
from tqdm import tqdm

from ..alignment import FaceFrame, similarity, warp_to_frame
from ..semantics import MEAN_CENTRES
from .holes import hide, pair_bands, percent
from .methods import OURS, restore
from .report import Report, about, goal, interval, markdown_table, mean_and_half_width, picture_sheet

GOAL, GOAL_BAND = 0.85, 1
"""The mean cosine to reach, and where: under holes of 20-40%."""

BANDS = (0, 1, 2)

EYE_RADIUS = 15
"""The eyes are hidden where a hole takes more than half of two discs of this radius, in pixels of 256."""

SIZE = 112
"""Side of the pictures that the recognition network sees."""

BATCH_SIZE = 16

SHEET_ROWS = 4
"""Rows of the picture sheet for each band of hole ratio."""

_HERE = np.array([MEAN_CENTRES["right eye"], MEAN_CENTRES["left eye"], MEAN_CENTRES["mouth"]])
_THERE = np.array([(38.3, 51.7), (73.5, 51.5), (56.1, 92.3)])


def recognition_frame():
    """`FaceFrame` from an aligned face, 256 x 256, to the 112 x 112 pixels of ArcFace's template.

    All aligned faces stand in one frame, so one similarity does for all: the least-squares one that takes the
    mean eyes and mouth (`semantics.MEAN_CENTRES`) to the template's.
    """
    here, there = (points @ (1, 1j) for points in (_HERE, _THERE))
    # A complex factor turns and scales, a complex term shifts.
    factor, shift = np.linalg.lstsq(np.column_stack([here, np.ones(3)]), there, rcond=None)[0]
    return FaceFrame(similarity(factor, shift), SIZE)


class FaceRecognizer:
    """Embeddings of aligned faces by a TorchScript network such as MobileFaceNet (Chen et al. 2018).

    Args:
        path: of the network; it takes N x 3 x 112 x 112 RGB, 0 to 255, and gives N x K.

    Raises:
        ValueError: the file is not there or is no such network.
    """

    def __init__(self, path):
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            self.network = torch.jit.load(str(path), map_location=self.device).eval()
        except (OSError, RuntimeError, ValueError) as error:
            raise ValueError(f"The recognition network {path} cannot be loaded: {error}") from error
        self.frame = recognition_frame()

    @torch.inference_mode()
    def __call__(self, faces):
        """N x 256 x 256 x 3 uint8 aligned faces to N x K float64 embeddings of unit length."""
        no_hole = np.zeros(faces.shape[1:3], bool)
        small = np.stack([warp_to_frame(face, no_hole, self.frame)[0] for face in faces])
        pictures = torch.from_numpy(small).to(self.device).permute(0, 3, 1, 2).float()
        embeddings = self.network(pictures).double().cpu().numpy()
        return embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)


def eyes_hidden(hole):
    """Whether a hole, 256 x 256 bool, takes more than half of the places where aligned faces have eyes."""
    y, x = np.mgrid[: hole.shape[0], : hole.shape[1]]
    eyes = [
        np.hypot(x - MEAN_CENTRES[n][0], y - MEAN_CENTRES[n][1]) < EYE_RADIUS
        for n in ("left eye", "right eye")
    ]
    return bool(hole[eyes[0] | eyes[1]].mean() > 0.5)


def prepare(args):
    """The measurement by the network `args.identity`; ValueError where it cannot be loaded."""
    if not args.identity:
        raise ValueError("--measure identity needs --identity MODEL, a TorchScript face recognition network.")
    return partial(measure, recognizer=FaceRecognizer(args.identity))


def measure(inpainter, faces, masks, recognizer):
    """Compare the person before and after.

    Args:
        inpainter: `FaceInpainter`.
        faces: `datasets.Faces`, 256 x 256.
        masks: N x 256 x 256 bool tensor; each face gets one of each of `BANDS`.
        recognizer: `FaceRecognizer`, or anything with its call.

    Returns:
        `Report`. Its results hold `bands`, by hole ratio and method: `all`, `eyes hidden` and `eyes visible`,
        each with `samples`, and `mean` and `half_width` of the cosine; and `another_person`, the cosine of
        each face and the next.

    Raises:
        ValueError: a band has no mask.
    """
    true = np.concatenate(
        [recognizer(part.numpy()) for part in tqdm(faces.images.split(BATCH_SIZE), desc="embedding")]
    )
    pairs = pair_bands(masks, len(faces), BANDS)
    cosines, rows = {}, []
    with tqdm(total=len(pairs), desc="restoring", unit="picture") as progress:
        for start in range(0, len(pairs), BATCH_SIZE):
            batch = pairs[start : start + BATCH_SIZE]
            restored = []
            for face, mask, band in batch:
                image, hole = faces.images[face].numpy(), masks[mask].numpy()
                restored.append(restore(inpainter, image, hole, baselines=["Telea"])[0])
                if face < SHEET_ROWS:
                    rows.append((band, {"input": hide(image, hole, 255), **restored[-1], "truth": image}))
                progress.update()
            chosen = true[[face for face, _, _ in batch]]
            for name in restored[0]:
                found = recognizer(np.stack([pictures[name] for pictures in restored]))
                for (_, mask, band), cosine in zip(batch, (found * chosen).sum(1), strict=True):
                    hidden = eyes_hidden(masks[mask].numpy())
                    cosines.setdefault((band, name), []).append((cosine, hidden))
    results = about(inpainter, faces, len(pairs)) | {
        "goal": GOAL,
        "bands": {
            percent(band): {name: _summarize(cosines[band, name]) for name in (OURS, "Telea")}
            for band in BANDS
        },
        "another_person": mean_and_half_width((true * np.roll(true, 1, axis=0)).sum(1)),
    }
    return Report(
        results,
        format_table(results),
        f"{len(pairs):,} pictures ({len(faces):,} faces, each with one mask of each band)",
        "Mean cosine between the embeddings of result and truth, ± half of the 95% confidence interval; goal "
        f"{GOAL:.2f} at {percent(GOAL_BAND)}. Eyes count as hidden where the hole takes more than half of "
        f"their mean places. Two different people: {interval(results['another_person'], 3)}.",
        partial(picture_sheet, [row for _, row in sorted(rows, key=lambda row: row[0])]),
    )


def format_table(results):
    """`measure`'s results as a Markdown table."""
    rows = []
    for band, methods in results["bands"].items():
        for name, figures in methods.items():
            text = interval(figures["all"], 3)
            if name == OURS and band == percent(GOAL_BAND):
                text = goal(text, figures["all"]["mean"] >= results["goal"])
            parts = [
                f"{interval(figures[k], 3)} ({figures[k]['samples']})"
                for k in ("eyes hidden", "eyes visible")
            ]
            rows.append([band, name, text, *parts])
    return markdown_table(
        ["hole", "method", "cosine ↑", "eyes hidden (pictures)", "eyes visible (pictures)"], rows
    )


def _summarize(cosines):
    parts = {
        "all": [cosine for cosine, _ in cosines],
        "eyes hidden": [cosine for cosine, hidden in cosines if hidden],
        "eyes visible": [cosine for cosine, hidden in cosines if not hidden],
    }
    return {name: {"samples": len(part), **mean_and_half_width(part)} for name, part in parts.items()}
