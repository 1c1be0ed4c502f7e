"""Which number format a device is fast at, and networks made ready for it."""

import functools
import itertools
import time

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

PRECISIONS = "auto", "fp32", "bf16"

ROUNDS, FEWEST_ROUNDS, LONGEST = 20, 3, 0.5
"""How often each candidate is timed, or less often, where that takes longer than so many seconds.

On a busy host 6 rounds choose the slower attention now and then; where bfloat16 is emulated 20 take long.
"""


@functools.cache
def fast_dtype(device_type):
    """The dtype to run networks in on "cuda", "cpu" or another device: bfloat16 or float32.

    On a CPU bfloat16 is taken only where a short measurement shows that it is faster: without AMX or
    avx512_bf16 PyTorch emulates it, many times slower. float16 is not taken anywhere: some of Stage 2's
    activations are in the millions.
    """
    if device_type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.bfloat16
    if device_type == "cpu":
        bfloat16, float32 = _seconds(_convolving(torch.bfloat16), _convolving(torch.float32))
        return torch.bfloat16 if bfloat16 < 0.8 * float32 else torch.float32
    return torch.float32


def dtype_named(precision, device_type):
    """The dtype that one of `PRECISIONS` names; "auto" is the device's `fast_dtype`."""
    if precision == "auto":
        return fast_dtype(device_type)
    return {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]


def autocast(device, dtype):
    """The context in which networks run on a torch device in `dtype`, one of `fast_dtype`'s."""
    return torch.autocast(device.type, dtype, enabled=dtype != torch.float32)


def settle(network, dtype):
    """Do once, in place, what calls of a trained network under autocast to `dtype` would do each time.

    It leaves training mode, batch normalisations become part of the convolutions before them, and so do the
    shuffles of pixels into channels, the weights of convolutions and linear layers are kept in `dtype`, so
    that autocast has none to cast, and attention on a CPU is PyTorch's fused kernel where that is faster.
    """
    for module in list(network.eval().modules()):
        for (name, layer), (next_name, next_layer) in itertools.pairwise(list(module.named_children())):
            if isinstance(layer, nn.Conv2d) and isinstance(next_layer, nn.BatchNorm2d):
                setattr(module, name, fuse_conv_bn_eval(layer, next_layer))
                setattr(module, next_name, nn.Identity())
            if isinstance(layer, nn.PixelUnshuffle) and isinstance(next_layer, nn.Conv2d):
                setattr(module, name, nn.Identity())
                _convolve_unshuffled(next_layer, layer.downscale_factor)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.to(dtype)
        # ZeroGPU's stand-ins for a GPU's tensors say so of their device only.
        if hasattr(layer, "fused_attn") and next(layer.parameters()).device.type == "cpu":
            layer.fused_attn = _fused_attention_is_faster(dtype)


def _convolve_unshuffled(layer, factor):
    """Let a convolution of unshuffled pixels, without a stride, convolve the pixels as they were."""
    # Its kernel's rows and columns, times those of each block of pixels.
    weight = (
        layer.weight.unflatten(1, (-1, factor, factor)).permute(0, 1, 4, 2, 5, 3).flatten(4).flatten(2, 3)
    )
    layer.weight = nn.Parameter(weight.contiguous(), layer.weight.requires_grad)
    layer.in_channels, layer.kernel_size = weight.shape[1], tuple(weight.shape[2:])
    layer.stride, layer.padding = (factor, factor), tuple(factor * each for each in layer.padding)


def _convolving(dtype):
    """A convolution."""
    x = torch.ones(1, 64, 128, 128, dtype=dtype).contiguous(memory_format=torch.channels_last)
    weight = torch.ones(64, 64, 3, 3, dtype=dtype).contiguous(memory_format=torch.channels_last)
    return lambda: F.conv2d(x, weight, padding=1)


@functools.cache
def _fused_attention_is_faster(dtype):
    """In bfloat16 it takes half of the time with AMX, twice the time without."""
    q = torch.ones(1, 8, 256, 32, dtype=dtype)
    with autocast(q.device, dtype):
        fused, written = _seconds(
            lambda: F.scaled_dot_product_attention(q, q, q), lambda: (q @ q.mT).softmax(-1).to(dtype) @ q
        )
    return fused < 0.8 * written


@torch.inference_mode()
def _seconds(*candidates):
    """For each the least of its times on one thread, of rounds in which all take turns.

    Several threads wait for each other, and that is all one would measure while other work is going on; and
    what is measured by itself has bad luck where such work comes in bursts.
    """
    times, threads = [], torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        began = time.perf_counter()
        while len(times) < FEWEST_ROUNDS or len(times) < ROUNDS and time.perf_counter() - began < LONGEST:
            times.append([])
            for run in candidates:
                start = time.perf_counter()
                run()
                times[-1].append(time.perf_counter() - start)
    finally:
        torch.set_num_threads(threads)
    # The first ones also load what they need.
    return [min(rounds) for rounds in zip(*times[2:], strict=True)]
