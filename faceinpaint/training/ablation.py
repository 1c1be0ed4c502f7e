"""`python -m faceinpaint ablate`: what each of the paper's ideas is worth, on an equal and small budget.

Every variant is the full model less one idea, trained on the same number of pictures, at 64 x 64 pixels and
half the shipped widths, and measured on the same validation pictures. What is trained stays in a folder, so a
study that was stopped goes on with the same command.
"""

import datetime
import json
import shlex
import statistics
import textwrap
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont

from ..arguments import positive
from ..checkpoint import load_network, save_network, weights_sha256
from ..datasets import UNLABELLED, read_faces
from ..evaluation.report import (
    Report,
    add_output_arguments,
    check_outputs,
    markdown_table,
    number,
    picture_sheet,
    publish,
)
from ..images import as_images, as_pictures
from ..metrics import ConfusionMatrix, Lpips, psnr, ssim
from ..modeling.face_prior import FacePrior
from ..precision import PRECISIONS, dtype_named
from .command import validation_batch
from .layout_task import LayoutTask
from .loop import train
from .sheets import stack_rows
from .texture_task import WEIGHTS, TextureTask

SIZE = 64
"""Side of the pictures."""

COMPONENTS = 128
"""Of the face prior: a quarter of the shipped one's, as in these pictures it is most of the work."""

LAYOUT_NETWORK = {"channels": (16, 32, 64, 128), "heads": 4, "size": SIZE}
"""Arguments of every Stage 1."""

TEXTURE_NETWORK = LAYOUT_NETWORK | {"top_channels": 12, "layout_channels": 16}
"""Arguments of every Stage 2."""

READ_SIZE = 128
"""Side that pictures are enlarged to for the Stage 1 that reads them: it was trained on such."""

SHOWN = 8
"""Faces on the picture sheet."""

NAME = "ablate"
"""Of the command, and of the markers in a Markdown file."""


@dataclass(frozen=True)
class Variant:
    """The full model, or what is left of it.

    Attributes:
        branches: Stage 1's encoders; none for no Stage 1.
        use_prior: whether both stages see the face prior.
        network: further arguments of Stage 2.
        objective: of its adversary.
        weights: of those losses of it that are weighted otherwise.
    """

    branches: tuple = ("cnn", "vit")
    use_prior: bool = True
    network: Mapping = field(default_factory=dict)
    objective: str = "projected"
    weights: Mapping = field(default_factory=dict)

    @property
    def layout_name(self):
        """Names the Stage 1 that all variants with these branches and this prior share; None without one."""
        if not self.branches:
            return None
        return "-".join(["layout", *self.branches, *([] if self.use_prior else ["no-prior"])])


VARIANTS = {
    "full": Variant(),
    "without Stage 1": Variant(branches=()),
    "CNN encoder only": Variant(branches=("cnn",)),
    "ViT encoder only": Variant(branches=("vit",)),
    "without contextual attention": Variant(network={"use_attention": False}),
    "without the face prior": Variant(use_prior=False),
    "without layout consistency": Variant(weights={"layout": 0.0}),
    "WGAN-GP": Variant(objective="wgan-gp"),
}

FIGURES = {
    "psnr": ("PSNR (dB) ↑", 2),
    "ssim": ("SSIM ↑", 4),
    "lpips": ("LPIPS squeeze ↓", 4),
    "layout_mean_iou": ("layout mean IoU ↑", 3),
    "obedience": ("obedience ↑", 3),
}
"""By key the title and the digits of each figure in the table."""


def add_arguments(parser):
    """Declare the arguments of `main` on an `argparse` parser, all but `--checkpoint`."""
    parser.add_argument("faces", nargs="+", help="tars or folders of aligned and labelled faces to train on")
    option = parser.add_argument
    option("--out", required=True, help="folder of what is trained; a stopped study goes on from it")
    option("--vgg", required=True, help="safetensors file of VGG19 up to conv3_1")
    option("--validation", required=True, help="tar or folder of labelled faces that are never trained on")
    option("--validation-masks", required=True, help="tar or folder of their holes")
    option("--limit", type=positive, metavar="N", help="measure on the first N validation faces only")
    option("--seeds", type=positive, default=2, help="how many trainings of each variant (default: 2)")
    option("--layout-images", type=positive, default=6000, help="pictures that a Stage 1 sees")
    option("--texture-images", type=positive, default=3000, help="pictures that a Stage 2 sees")
    option("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    option("--precision", choices=PRECISIONS, default="auto")
    add_output_arguments(parser)


def main(args):
    """Train and measure what is missing, print the table of all variants, and write the files asked for.

    Args:
        args: what `add_arguments` declares, and `checkpoint`: a folder, a Hub id, or None for the shipped
            weights, whose Stage 1 reads the painted pictures.

    Raises:
        ValueError: with a sentence for the user.
    """
    # Its own folder may be where the files asked for go.
    Path(args.out).mkdir(parents=True, exist_ok=True)
    check_outputs(args, NAME)
    report = Study(args).run()
    publish(report, _command(args), args, NAME)


class Study:
    """All variants, each trained with several seeds.

    Its folder holds the settings and the prior, and by seed and network its weights, its state and, once it
    is trained and measured, `result.json`; of Stage 2 also `painted.png`. With other weights to read by it is
    measured anew, not trained anew.

    Args:
        args: see `main`.

    Raises:
        ValueError: the folder holds a study with other settings, or something is missing.
    """

    def __init__(self, args):
        torch.set_flush_denormal(True)
        self.args = args
        self.out = Path(args.out)
        self.device = torch.device(args.device)
        self.dtype = dtype_named(args.precision, self.device.type)
        if not Path(args.vgg).is_file():
            raise ValueError(f"There is no file {args.vgg}.")
        self.validation = validation_batch(self._options("layout", self.out, 0), args.limit)
        if (self.validation.labels == UNLABELLED).any():
            raise ValueError("All validation faces of an ablation need label maps.")
        self.faces = read_faces(args.faces, size=SIZE, progress=True)
        self._keep_settings()
        self.lpips = Lpips("squeeze", self.device)
        self.reader = load_network(args.checkpoint, "layout_generator").to(self.device)
        self.reader_prior = None
        if self.reader.use_prior:
            self.reader_prior = load_network(args.checkpoint, "face_prior").to(self.device)
        self.weights_sha256 = weights_sha256(args.checkpoint)
        self.prior = self._fit_prior()

    def run(self):
        """Train and measure; returns a `Report`."""
        results = {name: [] for name in VARIANTS}
        for seed in range(self.args.seeds):
            for name, variant in VARIANTS.items():
                results[name].append(self._run_variant(name, variant, seed))
        trained = [result for by_seed in results.values() for result in by_seed]
        summary = {
            "date": max(result["date"] for result in trained),
            "weights_sha256": self.weights_sha256,
            **json.loads((self.out / "settings.json").read_text()),
            "seeds": list(range(self.args.seeds)),
            "reader_mean_iou": self._reader_agreement(self.validation.image, self.validation.labels),
            "variants": {name: summarize(by_seed) for name, by_seed in results.items()},
        }
        return Report(
            summary,
            format_table(summary),
            f"{len(self.validation)} validation pictures with holes of 20-60%, "
            f"seeds {', '.join(map(str, summary['seeds']))}",
            explain(summary),
            self.draw,
        )

    def draw(self):
        """The picture sheet, a PIL RGB image: a row per variant of the first seed, the same faces in all."""
        shown = self.validation[:SHOWN]
        strips = {"input": as_pictures(shown.image * (1 - shown.mask)), "truth": as_pictures(shown.image)}
        for name in VARIANTS:
            strip = np.asarray(Image.open(self.out / "seed-0" / _slug(name) / "painted.png"))
            strips[name] = np.split(strip, len(shown), 1)
        rows = []
        for name, pictures in strips.items():
            large = [picture.repeat(2, 0).repeat(2, 1) for picture in pictures]
            rows.append({"": _label(name, 2 * SIZE)} | {str(i + 1): p for i, p in enumerate(large)})
        return picture_sheet(rows)

    def _keep_settings(self):
        """Write down what all results of the folder share; ValueError if it holds others."""
        settings = {
            "torch": torch.__version__,
            "precision": str(self.dtype).removeprefix("torch."),
            "size": SIZE,
            "faces": len(self.faces),
            "layout_images": self.args.layout_images,
            "texture_images": self.args.texture_images,
            "validation_pictures": len(self.validation),
        }
        path = self.out / "settings.json"
        if path.exists() and json.loads(path.read_text()) != settings:
            raise ValueError(
                f"{self.out} holds a study with other settings, see its {path.name}; choose another folder."
            )
        path.write_text(json.dumps(settings, indent=2) + "\n")

    def _fit_prior(self):
        if not (self.out / "face_prior.safetensors").exists():
            prior = FacePrior(COMPONENTS)
            prior.fit(as_images(self.faces.images))
            save_network(self.out, "face_prior", prior, {"components": COMPONENTS})
        return load_network(self.out, "face_prior").to(self.device)

    def _options(self, stage, folder, seed):
        """What the tasks, the loop and `validation_batch` take from a command line."""
        layout = stage == "layout"
        return Namespace(
            stage=stage,
            out=folder,
            seed=seed,
            images=self.args.layout_images if layout else self.args.texture_images,
            size=[SIZE],
            batch=8,
            learning_rate=2e-3 if layout else 1e-3,
            half_life=500,
            time_limit=float("inf"),
            sheet_every=10,
            weight=[],
            weight_class=[],
            weight_group=[],
            device=self.args.device,
            dtype=self.dtype,
            vgg=self.args.vgg,
            adversary_from=0,
            validation=self.args.validation,
            validation_masks=self.args.validation_masks,
        )

    def _run_variant(self, name, variant, seed):
        """The figures of one variant with one seed; trained, unless it was before."""
        folder = self.out / f"seed-{seed}" / _slug(name)
        layout_iou = None if variant.layout_name is None else self._run_layout(variant, seed)
        result = _read_result(folder)
        if not result or result["weights_sha256"] != self.weights_sha256:
            print(f"{name}, seed {seed}", flush=True)
            options = self._options("texture", folder, seed)
            options.objective = variant.objective
            parser = None
            if variant.layout_name:
                parser = load_network(folder.parent / variant.layout_name, "layout_generator").to(self.device)
            torch.manual_seed(seed)
            task = TextureTask(
                self.prior if variant.use_prior else None,
                parser,
                options,
                WEIGHTS | variant.weights,
                **TEXTURE_NETWORK,
                **variant.network,
            )
            train(task, self.faces, None, options)
            figures, painted = self._measure(task)
            stack_rows(painted[:SHOWN]).save(folder / "painted.png")
            result = figures | {"layout_mean_iou": layout_iou, "weights_sha256": self.weights_sha256}
            _write_result(folder, result)
        return _read_result(folder)

    def _run_layout(self, variant, seed):
        """Mean IoU in the hole of the variant's Stage 1; trained, unless it was before."""
        folder = self.out / f"seed-{seed}" / variant.layout_name
        if not _read_result(folder):
            print(f"{variant.layout_name}, seed {seed}", flush=True)
            options = self._options("layout", folder, seed)
            torch.manual_seed(seed)
            prior = self.prior if variant.use_prior else None
            task = LayoutTask(prior, options, branches=variant.branches, **LAYOUT_NETWORK)
            train(task, self.faces, None, options)
            _write_result(folder, task.validate(self.validation))
        return _read_result(folder)["hole_mean_iou"]

    def _measure(self, task):
        """Figures of a trained Stage 2, and its pictures N x H x W x 3 uint8."""
        batch = self.validation
        parts = [batch[i : i + 20] for i in range(0, len(batch), 20)]
        painted = as_pictures(torch.cat([task.paint(part)[0] for part in parts]))
        truth = as_pictures(batch.image)
        # Another face's layout in the hole: what is painted must follow it, not what is likely.
        wanted = torch.where(batch.hole[:, 0] > 0, batch.labels.roll(1, 0), batch.labels)
        ordered = zip(parts, wanted.split(20), strict=True)
        edited = torch.cat([task.paint(part, labels)[0] for part, labels in ordered])
        figures = {
            "psnr": float(np.mean([psnr(a, b) for a, b in zip(painted, truth, strict=True)])),
            "ssim": float(np.mean([ssim(a, b) for a, b in zip(painted, truth, strict=True)])),
            "lpips": float(self.lpips(painted, truth).mean()),
            "obedience": self._reader_agreement(edited, wanted, wanted != batch.labels),
        }
        return figures, painted

    @torch.no_grad()
    def _reader_agreement(self, images, labels, region=None):
        """Mean IoU of what the reader reads in pictures and of `labels`; see `ConfusionMatrix.update`."""
        read = []
        for part in images.split(20):
            large = F.interpolate(part, size=(READ_SIZE, READ_SIZE), mode="bilinear", align_corners=False)
            prior = self.reader_prior(large) if self.reader_prior else large
            logits = self.reader(large, torch.zeros_like(large[:, :1]), prior)
            read.append(F.avg_pool2d(logits, READ_SIZE // SIZE).argmax(1))
        matrix = ConfusionMatrix()
        matrix.update(torch.cat(read), labels, region)
        return matrix.mean_iou


def summarize(results):
    """By figure the mean and the standard deviation over seeds; None where there is none.

    Args:
        results: list with a dict of figures for each seed.
    """
    summary = {}
    for key in FIGURES:
        values = [result[key] for result in results]
        known = None not in values
        summary[key] = {
            "mean": statistics.mean(values) if known else None,
            "deviation": statistics.stdev(values) if known and len(values) > 1 else None,
            "values": values,
        }
    return summary


def format_table(summary):
    """A study's results as a Markdown table."""
    rows = []
    for name, figures in summary["variants"].items():
        cells = [name]
        for key, (_, digits) in FIGURES.items():
            text = number(figures[key]["mean"], digits)
            if figures[key]["deviation"] is not None:
                text += f" ± {number(figures[key]['deviation'], digits)}"
            cells.append(text)
        rows.append(cells)
    return markdown_table(["variant", *(title for title, _ in FIGURES.values())], rows)


def explain(summary):
    """What the table's figures mean."""
    return (
        f"All at {summary['size']} px and half the shipped widths, in {summary['precision']}; every Stage 1 "
        f"saw {summary['layout_images']:,} pictures and every Stage 2 {summary['texture_images']:,}, drawn "
        f"from {summary['faces']:,} labelled faces. Mean ± standard deviation over seeds, which change "
        "initial weights, training pictures and holes, not the validation pictures. PSNR, SSIM and LPIPS: "
        "whole composites, painted from Stage 1's own layout. Layout mean IoU: inside the hole. Obedience: "
        "another face's layout is given for the hole; mean IoU of what is read from the painted hole, where "
        "that layout differs from the true one. The reader is the Stage 1 of the weights named; its mean IoU "
        f"on the true pictures at this size is {summary['reader_mean_iou']:.3f}. Without Stage 1: one "
        "network of Stage 2's size, without a layout; its perceptual loss and its adversary see by VGG19 "
        "alone, and its obedience is what is read where nothing is obeyed. "
        "ViT encoder only: no CNN pyramid; the decoder's finer features are made from the Transformer's."
    )


def _read_result(folder):
    path = folder / "result.json"
    return json.loads(path.read_text()) if path.exists() else None


def _write_result(folder, figures):
    result = {"date": datetime.date.today().isoformat(), **figures}
    (folder / "result.json").write_text(json.dumps(result, indent=2) + "\n")


def _label(text, size):
    """A white square of size x size pixels with a text, H x W x 3 uint8."""
    picture = Image.new("RGB", (size, size), "white")
    ImageDraw.Draw(picture).multiline_text(
        (6, 6), textwrap.fill(text, 13), fill="black", font=ImageFont.load_default(15)
    )
    return np.asarray(picture)


def _slug(name):
    return name.lower().replace(" ", "-")


def _command(args):
    words = ["python", "-m", "faceinpaint", NAME, *args.faces, "--out", args.out, "--vgg", args.vgg]
    words += ["--validation", args.validation, "--validation-masks", args.validation_masks]
    for option in ("limit", "seeds", "layout_images", "texture_images", "precision", "checkpoint"):
        if getattr(args, option):
            words += [f"--{option.replace('_', '-')}", str(getattr(args, option))]
    return shlex.join(words)
