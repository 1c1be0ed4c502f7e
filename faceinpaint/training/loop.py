"""The training loop that both stages share: draw, step, average, report, save, resume."""

import json
import time
from abc import ABC, abstractmethod
from copy import deepcopy
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from ..masks import mask_bank
from ..metrics import Lpips, psnr
from ..semantics import CLASSES
from ..skin_and_pose import groups_of
from . import distributed
from .augment import draw_batch

MIN_CLASS_PIXELS = 64
"""A class counts as present in a layout of which it takes more pixels than this."""

BANK_SIZE = 4000
"""Holes drawn before training; with flips and transposition each stands for eight."""


class Task(ABC):
    """What one stage adds to the loop.

    Attributes:
        networks: dict of the modules that are trained; the first is the one whose average is shipped.
        optimizers: dict of their optimizers.
        average: exponential moving average of the first network.
        moved_share: see `augment.draw_batch`.
    """

    moved_share = 0.5

    def __init__(self, networks, optimizers):
        self.networks = networks
        self.optimizers = optimizers
        self.average = deepcopy(next(iter(networks.values()))).requires_grad_(False).eval()

    @abstractmethod
    def step(self, batch, seen, generator):
        """Take one step on an `augment.Batch` after `seen` images; returns a dict of losses (tensors)."""

    @abstractmethod
    def validate(self, batch):
        """A dict of figures (floats) of the averaged network on an `augment.Batch`."""

    @abstractmethod
    def sheet(self, batch):
        """A PIL picture of the averaged network's results on an `augment.Batch`."""

    @abstractmethod
    def export(self, folder):
        """Write the averaged network as a checkpoint."""

    def update_average(self, keep):
        """Move the average: keep * average + (1 - keep) * network."""
        network = next(iter(self.networks.values()))
        with torch.no_grad():
            for mean, value in zip(
                self.average.state_dict().values(), network.state_dict().values(), strict=True
            ):
                if mean.is_floating_point():
                    mean.lerp_(value, 1 - keep)
                else:
                    mean.copy_(value)

    def average_buffers(self):
        """Average what no gradient moves, such as the statistics of batch normalisation, over processes."""
        buffers = [buffer for network in self.networks.values() for buffer in network.buffers()]
        distributed.average([buffer for buffer in buffers if buffer.is_floating_point()])


def train(task, faces, validation, options):
    """Train until `options.images` were seen or `options.time_limit` is over, whichever is first.

    A run that was stopped goes on from its state file exactly: each step draws its random numbers from a
    generator seeded by the step's number, and the learning rate depends on nothing but that number.

    Of several processes (`training.distributed`) each draws the same batches and takes its part of them; the
    first one alone prints, validates and writes.

    Args:
        task: a `Task`.
        faces: `datasets.Faces`, the training split.
        validation: an `augment.Batch`, or None.
        options: namespace of the command line, see `faceinpaint.training.command`.

    Raises:
        ValueError: the batch does not divide among the processes, or is larger than `options.images`.
    """
    rank, world = distributed.rank(), distributed.world_size()
    if options.images < options.batch:
        raise ValueError(f"{options.images} images are less than one batch of {options.batch}.")
    if options.batch % world:
        raise ValueError(f"A batch of {options.batch} images does not divide among {world} processes.")
    first_process = rank == 0
    device = torch.device(options.device)
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    state_file = out / f"{options.stage}.state.safetensors"
    progress = _load_state(task, state_file) if state_file.exists() else {"step": 0, "minutes": 0.0}

    for name in ("images", "labels", "valid"):
        setattr(faces, name, getattr(faces, name).to(device))
    bank = mask_bank(BANK_SIZE, faces.images.shape[1], options.seed).to(device)
    weights = _sampling_weights(faces, options)
    generator = torch.Generator(device)

    def draw(step):
        seed = options.seed * 1_000_003 + step
        generator.manual_seed(seed)
        # Dropout asks PyTorch's own generator.
        torch.manual_seed(seed * world + rank)
        chooser = torch.Generator().manual_seed(seed)
        indices = torch.multinomial(weights, options.batch, replacement=True, generator=chooser)
        size = options.size[step % len(options.size)]
        batch = draw_batch(faces, bank, indices.to(device), size, generator, task.moved_share)
        if world == 1:
            return batch
        if not first_process:
            # Else the parts would get the same noise.
            generator.manual_seed(seed * world + rank)
        # Every so-manieth sample: neighbours in a batch are alike in how they were warped.
        return batch[rank::world]

    started = time.monotonic()
    for step in range(3):
        draw(step)
    loader_rate = 3 * options.batch / (time.monotonic() - started)
    if first_process:
        print(f"{len(faces)} faces; the loader gives {loader_rate:.0f} images/s", flush=True)

    started = reported = sheeted = time.monotonic()
    first = reported_step = progress["step"]
    earlier = progress["minutes"]
    total = options.images // options.batch
    warmup = max(1, min(2000, options.images // 10) // options.batch)
    sums = {}
    for step in range(first, total):
        rate = learning_rate_factor(step, total, warmup)
        for optimizer in task.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * rate
        losses = task.step(draw(step), step * options.batch, generator)
        task.average_buffers()
        losses = distributed.average_losses(losses)
        seen = (step + 1) * options.batch
        task.update_average(0.5 ** (options.batch / min(options.half_life, 0.1 * seen + options.batch)))
        for name, value in losses.items():
            sums[name] = sums.get(name, 0.0) + value

        now = time.monotonic()
        over = distributed.any_process(now - started > 60 * options.time_limit, device)
        last = over or step + 1 == total
        if first_process and (last or now - reported > 20):
            count = step + 1 - reported_step
            text = " ".join(f"{name} {float(value) / count:.4f}" for name, value in sums.items())
            speed = count * options.batch / (now - reported)
            print(f"step {step + 1}/{total}, {seen} images, {speed:.1f} images/s, {text}", flush=True)
            reported, reported_step, sums = now, step + 1, {}
        if first_process and (last or now - sheeted > 60 * options.sheet_every):
            progress = {"step": step + 1, "minutes": earlier + (now - started) / 60}
            _save_state(task, state_file, progress)
            task.export(out)
            if validation is not None:
                figures = task.validate(validation)
                text = " ".join(f"{name} {value:.4f}" for name, value in figures.items())
                print(
                    f"validation after {seen} images, {progress['minutes']:.1f} minutes: {text}", flush=True
                )
                task.sheet(validation).save(out / f"{options.stage}-{seen:08d}.jpg", quality=92)
            sheeted = time.monotonic()
        if over:
            if first_process:
                print("time is up; the state is saved, the same command goes on from it", flush=True)
            return


def adamw(module, rate, momentum):
    """AdamW over a module's parameters, with the rate that the schedule scales kept as `initial_lr`."""
    parameters = [p for p in module.parameters() if p.requires_grad]
    group = {"params": parameters, "initial_lr": rate}
    return torch.optim.AdamW([group], lr=rate, betas=(momentum, 0.99), weight_decay=0.01, fused=True)


def descend(optimizer, loss, max_norm=5.0):
    """One optimizer step down a loss, its gradient averaged over all processes and its norm clipped."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    distributed.average([p.grad for p in parameters if p.grad is not None])
    # A loss that is not finite ends the run before its state is saved over a good one.
    torch.nn.utils.clip_grad_norm_(parameters, max_norm, error_if_nonfinite=True)
    optimizer.step()


def likeness(real, fake, device):
    """Means of PSNR and, where its weights are to be had, LPIPS (squeeze) of N x H x W x 3 uint8 pictures."""
    figures = {"psnr": sum(map(psnr, real, fake)) / len(real)}
    try:
        figures["lpips_squeeze"] = Lpips("squeeze", device)(real, fake).mean()
    except ValueError as error:
        print(error, flush=True)
    return figures


def learning_rate_factor(step, total, warmup):
    """Share of the full learning rate: a linear start, constant, and down to zero over the last fifth."""
    return min(1.0, (step + 1) / warmup, 5 * (total - step) / total)


def _sampling_weights(faces, options):
    """How often each face is drawn: 1, times W for each PREFIX=W of its name, CLASS=W of its layout and
    GROUP=W of its `groups_of`.
    """
    weights = torch.ones(len(faces.keys))
    names = [Path(key).name for key in faces.keys]  # noqa: SIM118 (a list)
    for prefix, weight in options.weight:
        weights[torch.tensor([name.startswith(prefix) for name in names])] *= weight
    for name, weight in options.weight_class:
        if name not in CLASSES:
            raise ValueError(f"There is no class {name}; the classes are {', '.join(CLASSES)}.")
        # Face by face: the labels of all of them as numbers would not fit in memory.
        pixels = torch.stack([(label == CLASSES.index(name)).count_nonzero() for label in faces.labels])
        weights[pixels.cpu() > MIN_CLASS_PIXELS] *= weight
    if options.weight_group:
        groups = [
            groups_of(image[::2, ::2].cpu().numpy(), labels[::2, ::2].cpu().numpy())
            for image, labels in zip(faces.images, faces.labels, strict=True)
        ]
        for prefix, weight in options.weight_group:
            chosen = torch.tensor([any(name.startswith(prefix) for name in names) for names in groups])
            if not chosen.any():
                known = ", ".join(sorted({name for names in groups for name in names}))
                raise ValueError(f"No face is of a group {prefix}; the groups are: {known}.")
            weights[chosen] *= weight
    return weights


def _save_state(task, path, progress):
    tensors = {}
    for name, network in [*task.networks.items(), ("average", task.average)]:
        tensors.update({f"{name}.{key}": value for key, value in network.state_dict().items()})
    for name, optimizer in task.optimizers.items():
        for index, state in optimizer.state_dict()["state"].items():
            tensors.update({f"optimizer.{name}.{index}.{key}": value for key, value in state.items()})
    tensors = {key: value.detach().contiguous().clone() for key, value in tensors.items()}
    # Written beside and renamed: a run that is killed while saving keeps its last state.
    partial = path.with_suffix(".partial")
    save_file(tensors, partial, metadata={"progress": json.dumps(progress)})
    partial.replace(path)


def start_from(task, weights, state_file):
    """Start a new run from an earlier one's averaged network and, where its state file is there, adversary.

    Args:
        task: a `Task`.
        weights: state dict of the network that is shipped.
        state_file: path of the earlier run's state, which need not exist.
    """
    name, *adversaries = task.networks
    task.networks[name].load_state_dict(weights)
    task.average.load_state_dict(weights)
    if state_file.exists():
        tensors, _ = _read_state(state_file)
        for adversary in adversaries:
            task.networks[adversary].load_state_dict(_under(tensors, f"{adversary}."))


def _read_state(path):
    with safe_open(path, "pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        return tensors, json.loads(file.metadata()["progress"])


def _load_state(task, path):
    tensors, progress = _read_state(path)
    for name, network in [*task.networks.items(), ("average", task.average)]:
        network.load_state_dict(_under(tensors, f"{name}."))
    for name, optimizer in task.optimizers.items():
        state = {}
        for key, value in _under(tensors, f"optimizer.{name}.").items():
            index, _, slot = key.partition(".")
            state.setdefault(int(index), {})[slot] = value
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    return progress


def _under(tensors, prefix):
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
