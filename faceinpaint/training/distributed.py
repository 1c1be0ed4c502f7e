"""Training by several processes, one a GPU, that each take a part of every batch (`torchrun`).

Gradients are averaged by hand, once an optimizer step: the tasks call parts of their networks, which a
`DistributedDataParallel` wrapper would not see. Batch normalisation (Stage 1) uses the statistics of each
process's own part, as SyncBatchNorm does not run on CPUs; its running statistics are averaged after each
step. So Stage 1 learns a little otherwise than in one process, as it would with smaller batches.
Without `torchrun` all of this does nothing.
"""

import os

import torch
import torch.distributed as dist


def join(device):
    """Join the processes that `torchrun` started, if it did.

    Args:
        device: "cuda", "cpu" or another device of the command line.

    Returns:
        The device of this process: of several GPUs its own.
    """
    if "WORLD_SIZE" not in os.environ:
        return device
    if device == "cuda":
        device = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    return device


def leave():
    """Leave the other processes, at the end."""
    if dist.is_initialized():
        dist.destroy_process_group()


def rank():
    """The number of this process; number 0 alone prints and writes."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size():
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def average(tensors):
    """Give tensors of one dtype and device, in place, their mean over all processes, by one message."""
    if world_size() == 1 or not tensors:
        return
    flat = torch.cat([tensor.detach().flatten() for tensor in tensors])
    dist.all_reduce(flat)
    flat /= world_size()
    for tensor, mean in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
        tensor.detach().copy_(mean.view_as(tensor))


def average_losses(losses):
    """A dict of losses (scalar tensors), each its mean over all processes."""
    means = [value.detach().float().clone() for value in losses.values()]
    average(means)
    return dict(zip(losses, means, strict=True))


def any_process(flag, device):
    """Whether `flag` is true in any process, so that all of them stop after the same step."""
    if world_size() == 1:
        return flag
    vote = torch.tensor(float(flag), device=device)
    dist.all_reduce(vote)
    return bool(vote)
