"""`python -m faceinpaint train prior|frame|layout|texture|upsampler` and `python -m faceinpaint label`."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from ..checkpoint import load_network, save_network
from ..datasets import read_faces, read_masks, write_label_tar
from ..images import as_images
from ..modeling.face_prior import FacePrior, complete
from ..precision import PRECISIONS, autocast, dtype_named, fast_dtype
from . import distributed
from .augment import Batch
from .frame_task import FrameTask
from .layout_task import LayoutTask
from .loop import start_from, train
from .texture_task import TextureTask
from .upsampler_task import UpsamplerTask

VALIDATION_FACES = 64


def add_train_arguments(parser):
    """Declare the stages and options of `train` on an argparse parser."""
    stages = parser.add_subparsers(dest="stage", required=True)
    for stage, text in (
        ("prior", "fit the linear face prior (about a minute of CPU)"),
        ("frame", "train the frame regressor, which brings faces into their frame"),
        ("layout", "train Stage 1, the layout generator"),
        ("texture", "train Stage 2, the texture generator; needs the prior and Stage 1 in --out"),
        ("upsampler", "train the upsampler, for faces in large photos"),
    ):
        stage_parser = stages.add_parser(stage, help=text, description=text)
        stage_parser.add_argument(
            "faces", nargs="+", help="tars or folders of aligned faces; later labels win"
        )
        stage_parser.add_argument("--out", required=True, help="folder of the weights and of the state file")
        stage_parser.add_argument("--seed", type=int, default=0)
        if stage == "prior":
            stage_parser.add_argument("--components", type=int, default=512)
            continue
        option = stage_parser.add_argument
        option("--images", type=int, required=True, help="images to train on in all; the schedule's length")
        option("--size", type=int, nargs="+", default=[256], help="side in pixels; several take turns")
        option("--batch", type=int, default=32, help="images a step")
        option("--learning-rate", type=float, default=4e-4 if stage == "texture" else 1e-3)
        option("--half-life", type=int, default=10_000, help="of the weights' moving average, in images")
        option("--time-limit", type=float, default=float("inf"), help="minutes until it saves and stops")
        option("--sheet-every", type=float, default=10, help="minutes between sheets, validations and saves")
        option("--validation", help="tar or folder of labelled faces that are never trained on")
        option("--validation-masks", help="tar or folder of their holes")
        option("--start", help="folder of an earlier run's weights (and state) to start from")
        if stage in ("layout", "texture"):
            option("--no-prior", action="store_true", help="train without the face prior")
        option("--device", default="cuda" if torch.cuda.is_available() else "cpu")
        option("--precision", choices=PRECISIONS, default="auto")
        for name, what in (("--weight", "PREFIX"), ("--weight-class", "CLASS"), ("--weight-group", "GROUP")):
            option(
                name,
                nargs="*",
                default=[],
                type=_weight,
                metavar=f"{what}=W",
                help=f"draw faces of this {what.lower()} W times as often",
            )
        if stage == "layout":
            option("--teacher", help="folder of an earlier Stage 1; what it reads joins the labels")
        if stage in ("texture", "upsampler"):
            option("--vgg", required=True, help="safetensors file of VGG19 up to conv3_1")
        if stage == "texture":
            option("--objective", choices=["projected", "wgan-gp"], default="projected")
            option(
                "--adversary-from",
                type=int,
                default=0,
                help="images after which the adversary and what Stage 1 reads of the painting join",
            )


def train_command(options):
    """Run `train` on parsed arguments; ValueError where they do not fit.

    Under `torchrun` all processes train a stage together.
    """
    if options.stage == "prior":
        fit_prior(options)
        return
    options.device = distributed.join(options.device)
    try:
        _train_stage(options)
    finally:
        distributed.leave()


def _train_stage(options):
    # Before anything is loaded from it: a folder that is not there would be taken for a Hub repository.
    Path(options.out).mkdir(parents=True, exist_ok=True)
    torch.set_flush_denormal(True)
    torch.manual_seed(options.seed)
    device = torch.device(options.device)
    # On a GPU: convolutions chosen by measurement, products of float32 matrices in TF32.
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = True
    options.dtype = dtype_named(options.precision, device.type)
    first_process = distributed.rank() == 0
    if first_process:
        together = f", {distributed.world_size()} processes" if distributed.world_size() > 1 else ""
        print(f"training on {device} in {options.dtype}{together}", flush=True)
    if options.stage == "frame":
        task = FrameTask(options)
    elif options.stage == "upsampler":
        task = UpsamplerTask(options)
    else:
        prior = None if options.no_prior else load_network(options.out, "face_prior").to(device)
        # Who reads layouts: the teacher of a new Stage 1, or the Stage 1 that Stage 2 paints after.
        folder = options.teacher if options.stage == "layout" else options.out
        reader = load_network(folder, "layout_generator").to(device) if folder else None
        if reader and reader.use_prior and not prior:
            # In place of the prior's picture it would be shown the truth.
            raise ValueError(f"Stage 1 in {folder} was trained with the face prior; leave --no-prior out.")
        if options.stage == "layout":
            task = LayoutTask(prior, options, reader)
        else:
            task = TextureTask(prior, reader, options)
    if options.start:
        weights = load_network(options.start, next(iter(task.networks))).state_dict()
        start_from(task, weights, Path(options.start) / f"{options.stage}.state.safetensors")
    faces = read_faces(options.faces, progress=first_process)
    train(task, faces, validation_batch(options, VALIDATION_FACES) if first_process else None, options)


def fit_prior(options):
    """Fit the face prior to all faces and write it."""
    # Padding counts, too: it is a reflection of the face's own surroundings, and most faces have some.
    images = read_faces(options.faces, progress=True).images
    prior = FacePrior(options.components)
    small = torch.cat(
        [F.avg_pool2d(as_images(part), part.shape[1] // prior.size) for part in images.split(256)]
    )
    prior.fit(small, options.seed)
    save_network(options.out, "face_prior", prior, {"components": options.components})
    residual = prior.residual_variance * (prior.mean.numel() - options.components)
    explained = prior.variance.sum() / (prior.variance.sum() + residual)
    print(f"{len(images)} faces; {options.components} components explain {explained:.1%} of the variance")


def add_label_arguments(parser):
    """Declare the options of `label` on an argparse parser."""
    parser.add_argument("faces", nargs="+", help="tars or folders of aligned faces")
    parser.add_argument("--out", required=True, help="tar to write KEY.png label maps to")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")


def label_command(options):
    """Label every face that has no label map, by Stage 1 without a hole, and write a tar of label maps."""
    device = torch.device(options.device)
    network = load_network(options.checkpoint, "layout_generator").to(device)
    prior = load_network(options.checkpoint, "face_prior").to(device) if network.use_prior else None
    faces = read_faces(options.faces, progress=True)
    chosen = (~faces.labelled).nonzero()[:, 0]
    if not len(chosen):
        raise ValueError("All of these faces have label maps already.")
    labels = []
    dtype = fast_dtype(device.type)
    # Stage 1 looks at a batch in one way: whether anything is hidden must not depend on other faces.
    padded = ~faces.valid[chosen].flatten(1).all(1)
    batches = [part for kind in (chosen[padded], chosen[~padded]) for part in kind.split(16) if len(part)]
    chosen = torch.cat(batches)
    with torch.inference_mode(), autocast(device, dtype):
        for part in batches:
            image = as_images(faces.images[part].to(device))
            mask = 1 - faces.valid[part][:, None].float().to(device)
            labels.append(
                network.look_twice(image, mask, complete(prior, image, mask)).argmax(1).byte().cpu()
            )
    Path(options.out).parent.mkdir(parents=True, exist_ok=True)
    write_label_tar(options.out, [faces.keys[i] for i in chosen.tolist()], torch.cat(labels))
    print(f"{len(chosen)} label maps in {options.out}")


def _weight(text):
    """NAME=W as a pair; argparse turns a ValueError into its own sentence."""
    name, _, weight = text.partition("=")
    return name, float(weight)


def validation_batch(options, limit=None):
    """The first `limit` validation faces, each with a hole that covers 20% to 60% of it, or None.

    `options` is a namespace of the command line; the largest training size is the pictures'.
    """
    if not (options.validation and options.validation_masks):
        return None
    faces = read_faces(options.validation, size=max(options.size), limit=limit)
    _, masks = read_masks(options.validation_masks, size=max(options.size))
    share = masks.float().mean((1, 2))
    masks = masks[(share > 0.2) & (share < 0.6)]
    pick = np.random.default_rng(0).choice(len(masks), len(faces))
    return Batch(
        as_images(faces.images).to(options.device),
        faces.labels.long().to(options.device),
        masks[pick][:, None].float().to(options.device),
        faces.valid[:, None].float().to(options.device),
    )
