"""The examples that the page opens with: a photo, a hole, and what the shipped weights make of it.

`NAME.json` describes an example: `title`, `photo` and `mask` (files beside it), `seed`, `align`; the command
`python -m faceinpaint examples` adds where the face lies and with which weights it was restored, and writes
`NAME.layout.png` (class ids) and `NAME.fill.png` (the restored pixels, transparent around the hole), so that
the page can show a result before it has loaded anything.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from .alignment import FaceFrame
from .photos import read_mask, read_photo
from .pipeline import FaceInpainter

FOLDER = Path(__file__).parents[1] / "examples"


@dataclass(frozen=True)
class Example:
    """A photo with its hole, and its restoration by the shipped weights.

    Attributes:
        title: for the visitor.
        photo: RGB PIL image.
        mask: H x W bool.
        seed: of the restoration.
        restored: RGB PIL image of the photo's size.
        layout: 256 x 256 uint8 class ids.
        frame: `FaceFrame` of the face in the photo.
    """

    title: str
    photo: Image.Image
    mask: np.ndarray
    seed: int
    restored: Image.Image
    layout: np.ndarray
    frame: FaceFrame


def read_examples(folder=FOLDER):
    """The examples of a folder, a dict by name."""
    examples = {}
    for path in sorted(Path(folder).glob("*.json")):
        about, photo, mask = _read(path)
        fill = Image.open(path.with_suffix(".fill.png"))
        examples[path.stem] = Example(
            title=about["title"],
            photo=photo,
            mask=mask,
            seed=about["seed"],
            restored=Image.alpha_composite(photo.convert("RGBA"), fill).convert("RGB"),
            layout=np.asarray(Image.open(path.with_suffix(".layout.png"))),
            frame=FaceFrame(np.array(about["frame"])),
        )
    return examples


def _read(path):
    about = json.loads(path.read_text(encoding="utf-8"))
    return about, read_photo(path.parent / about["photo"]), read_mask(path.parent / about["mask"])


def write_example(inpainter, path):
    """Restore one example anew and write what the page shows of it; `path` is that of its JSON file."""
    about, photo, mask = _read(path)
    result = inpainter(photo, mask, align=about["align"], seed=about["seed"], beneath=True)
    fill = np.dstack([np.asarray(result.image), np.full(mask.shape, 255, np.uint8)])
    # All zero where it is transparent: that takes no space.
    Image.fromarray(np.where(mask[..., None], fill, np.uint8(0))).save(path.with_suffix(".fill.png"))
    Image.fromarray(result.layout).save(path.with_suffix(".layout.png"))
    about |= {"frame": result.frame.matrix.tolist(), "weights_sha256": inpainter.weights_sha256}
    path.write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")


def add_arguments(parser):
    """Declare the arguments of `main` on an `argparse` parser, all but `--checkpoint`."""
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER, help="default: the shipped ones")


def main(options):
    """Write the restorations of all examples of a folder."""
    paths = sorted(options.folder.glob("*.json"))
    if not paths:
        raise ValueError(f"There is no example, a file NAME.json, in {options.folder}.")
    inpainter = FaceInpainter.from_pretrained(options.checkpoint)
    for path in paths:
        write_example(inpainter, path)
        print(f"{path.stem}: restored")
