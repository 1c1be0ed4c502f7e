"""How long each step takes on the device at hand, beside what a user would pick instead and a yardstick.

Machines differ, so every time is also given as a ratio to the yardstick: 10 GFLOP of plain 3x3 convolutions
(8 layers of 64 channels on 128 x 128 pixels, batch 1, float32) in the same process.
"""

import subprocess
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from .alignment import FACE_SIZE
from .baselines import BASELINES

YARDSTICK_GFLOP = 10

THROUGHPUT_BATCH = 64

_LOADING = """
import sys, time
started = time.perf_counter()
import torch
torch_there = time.perf_counter()
from faceinpaint import FaceInpainter
inpainter = FaceInpainter.from_pretrained(*sys.argv[1:])
loaded = time.perf_counter()
import numpy
inpainter(numpy.full((256, 256, 3), 128, "uint8"), numpy.eye(256) > 0, align=False)
print(torch_there - started, loaded - torch_there, time.perf_counter() - loaded)
"""


def loading_times(checkpoint=None):
    """Seconds that a fresh process takes to import torch, to load the rest, and to restore its first face."""
    arguments = [checkpoint] if checkpoint else []
    done = subprocess.run(
        [sys.executable, "-c", _LOADING, *arguments], capture_output=True, text=True, check=True
    )
    return tuple(map(float, done.stdout.split()))


def step_times(inpainter, photo, mask, repeats):
    """Seconds of each step, a dict of name to a list of `repeats` times, the yardstick's among them.

    Args:
        inpainter: a `FaceInpainter`.
        photo: H x W x 3 uint8, with a face.
        mask: H x W bool.
        repeats: how often each step is run, after two runs that do not count.
    """
    result = inpainter(photo, mask)
    face = np.asarray(result.aligned_input)
    hole = result.aligned_mask
    steps = {
        f"yardstick, {YARDSTICK_GFLOP} GFLOP of convolutions": _yardstick(inpainter.device),
        "layout of an aligned face": lambda: inpainter.predict_layout(face, hole, align=False),
        "render of an aligned face": lambda: inpainter(face, hole, layout=result.layout, align=False),
        "restore an aligned face": lambda: inpainter(face, hole, align=False),
        "restore the photo": lambda: inpainter(photo, mask),
        "restore the photo as the page does": lambda: inpainter(photo, mask, beneath=True),
        "render the photo again": lambda: inpainter(photo, mask, layout=result.layout, frames=result.frames),
        **{name: _baseline(method, photo, mask) for name, method in BASELINES.items()},
    }
    times = {name: [] for name in steps}
    # In turn, so that a busy moment of the machine spoils no single step.
    for repeat in range(repeats + 2):
        for name, step in steps.items():
            # A visitor's hole is new, but for renders.
            if "render" not in name:
                inpainter.forget_holes()
            seconds = _timed(step, inpainter.device)
            if repeat >= 2:
                times[name].append(seconds)
    return times


def gflop(inpainter):
    """GFLOP (multiply-adds counted as two) of a layout, a painting and an enlarging of one face."""
    image, mask, layout = _batch(1, inpainter.device)
    counts = []
    for run in (
        lambda: inpainter.layout_generator.look_twice(image, mask, image),
        lambda: inpainter.texture_generator(image, mask, image, layout),
        lambda: inpainter.face_upsampler(image),
    ):
        with (
            torch.inference_mode(),
            inpainter.autocast(),
            sdpa_kernel(SDPBackend.MATH),  # a CPU's fused attention would not be counted
            FlopCounterMode(display=False) as counter,
        ):
            run()
        counts.append(counter.get_total_flops() / 1e9)
    return counts


def faces_per_second(inpainter, batch=THROUGHPUT_BATCH, repeats=5):
    """How many aligned faces both stages restore in a second, `batch` of them at a time."""
    image, mask, _ = _batch(batch, inpainter.device)

    def run():
        with torch.inference_mode(), inpainter.autocast():
            prior = inpainter.prior(image, mask) if inpainter.prior else image
            layout = inpainter.layout_generator.look_twice(image, mask, prior).softmax(1)
            inpainter.texture_generator(image, mask, prior, layout)

    _timed(run, inpainter.device)
    return batch / min(_timed(run, inpainter.device) for _ in range(repeats))


def report(inpainter, photo, mask, repeats, checkpoint=None):
    """All figures as lines of text; arguments are those of `step_times` and `loading_times`."""
    torch_seconds, load_seconds, first_seconds = loading_times(checkpoint)
    networks = (inpainter.layout_generator, inpainter.texture_generator, inpainter.face_upsampler)
    millions = [sum(p.numel() for p in network.parameters()) / 1e6 for network in networks]
    flops = gflop(inpainter)
    times = step_times(inpainter, photo, mask, repeats)
    yardstick = np.median(next(iter(times.values())))
    lines = [
        f"{inpainter.device} in {inpainter.dtype}, "
        f"{torch.get_num_threads()} threads, torch {torch.__version__}",
        f"import torch {torch_seconds:.1f} s, import and load the rest {load_seconds:.1f} s, "
        f"first restore {first_seconds:.2f} s",
        f"Stage 1: {millions[0]:.1f} M parameters, {flops[0]:.1f} GFLOP; "
        f"Stage 2: {millions[1]:.1f} M, {flops[1]:.1f} GFLOP; "
        f"for faces of more than {FACE_SIZE} pixels the upsampler: {millions[2]:.1f} M, {flops[2]:.1f} GFLOP",
        f"{'step':<42}{'median':>10}{'95%':>11}{'ratio':>8}",
    ]
    for name, values in times.items():
        median, high = np.percentile(values, (50, 95))
        lines.append(f"{name:<42}{median * 1e3:>7.1f} ms {high * 1e3:>7.1f} ms{median / yardstick:>8.2f}")
    if inpainter.device.type == "cuda":
        lines.append(
            f"{faces_per_second(inpainter):.0f} faces a second at batch {THROUGHPUT_BATCH}; "
            f"peak memory {torch.cuda.max_memory_allocated(inpainter.device) / 1e9:.2f} GB on the device"
        )
    import resource  # which Windows has not: all other commands do without

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e9 if sys.platform == "darwin" else 1e6)
    return [*lines, f"peak memory of the process {peak:.2f} GB"]


def _yardstick(device):
    x = torch.ones(1, 64, 128, 128, device=device).contiguous(memory_format=torch.channels_last)
    weight = torch.full((64, 64, 3, 3), 0.01, device=device).contiguous(memory_format=torch.channels_last)

    @torch.inference_mode()
    def run():
        y = x
        for _ in range(8):
            y = F.conv2d(y, weight, padding=1)

    return run


def _baseline(method, photo, mask):
    return lambda: method(photo, mask)


def _batch(count, device):
    """Grey faces with a square hole: N x 3, N x 1 and N x 19 channels at the networks' size."""
    image = torch.zeros(count, 3, FACE_SIZE, FACE_SIZE, device=device)
    mask = torch.zeros_like(image[:, :1])
    mask[..., 64:192, 64:192] = 1
    return image, mask, torch.full((count, 19, FACE_SIZE, FACE_SIZE), 1 / 19, device=device)


def _timed(run, device):
    started = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started
