import contextlib
import os
import re
import socket
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn

from faceinpaint.datasets import Faces
from faceinpaint.training import distributed, loop
from faceinpaint.training.loop import Task, adamw, descend, train

SIZE = 64


class TinyTask(Task):
    """A network and an adversary of it, without noise; with `norm` it has batch statistics."""

    def __init__(self, norm):
        torch.manual_seed(0)
        network = nn.Sequential(
            nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4) if norm else nn.Identity(), nn.ReLU(), nn.Conv2d(4, 3, 1)
        )
        other = nn.Conv2d(3, 1, 1)
        super().__init__(
            {"network": network, "other": other},
            {"network": adamw(network, 0.01, 0.9), "other": adamw(other, 0.02, 0.5)},
        )

    def step(self, batch, seen, generator):
        out = self.networks["network"](torch.cat([batch.image * (1 - batch.mask), batch.mask], 1))
        loss = (out - batch.image[..., 1:-1, 1:-1]).square().mean()
        descend(self.optimizers["network"], loss)
        second = (self.networks["other"](out.detach()) - 1).square().mean()
        descend(self.optimizers["other"], second)
        return {"first": loss, "second": second}

    def validate(self, batch):
        return {}

    def sheet(self, batch):
        return Image.new("RGB", (8, 8))

    def export(self, folder):
        with open(folder / "exports", "a") as file:
            file.write("exported\n")


def run(out, norm, batch=8):
    """Train on six faces; returns what training changed and what was printed."""
    loop.BANK_SIZE = 20
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (6, SIZE, SIZE, 3), generator=generator, dtype=torch.uint8)
    labels = torch.randint(0, 19, (6, SIZE, SIZE), generator=generator, dtype=torch.uint8)
    faces = Faces(list("abcdef"), images, labels, torch.ones(6, SIZE, SIZE).bool())
    options = SimpleNamespace(
        out=str(out), stage="layout", images=5 * batch, batch=batch, size=[SIZE], seed=0, device="cpu",
        weight=[], weight_class=[], weight_group=[], half_life=100,
        time_limit=float("inf"), sheet_every=1000,
    )  # fmt: skip
    task = TinyTask(norm)
    train(task, faces, None, options)
    networks = {**task.networks, "average": task.average}
    return {f"{n}.{k}": v.clone() for n, network in networks.items() for k, v in network.state_dict().items()}


def work(rank, port, out):
    """What each of two processes does."""
    os.environ |= {
        "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }  # fmt: skip
    torch.set_num_threads(1)
    assert distributed.join("cpu") == "cpu"
    assert (distributed.rank(), distributed.world_size()) == (rank, 2)
    with open(out / f"printed{rank}", "w") as file, contextlib.redirect_stdout(file):
        for name, norm in (("plain", False), ("norm", True)):
            save_file(run(out / name, norm), out / f"{name}{rank}.safetensors")
    assert distributed.any_process(rank == 1, "cpu") and not distributed.any_process(False, "cpu")
    with pytest.raises(ValueError, match="7 images does not divide among 2 processes"):
        run(out / "odd", False, batch=7)
    distributed.leave()


def losses(text):
    return [float(value) for value in re.findall(r"(?:first|second) (\d+\.\d+)", text)]


def test_two_processes_learn_what_one_does(tmp_path, capsys):
    whole = run(tmp_path / "whole", False)
    alone = losses(capsys.readouterr().out)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(work, (port, Path(tmp_path)), nprocs=2)

    plain, norm = (
        [load_file(tmp_path / f"{name}{rank}.safetensors") for rank in (0, 1)] for name in ("plain", "norm")
    )
    for first, second in (plain, norm):
        assert all(torch.equal(first[key], second[key]) for key in first)
    for key, value in whole.items():
        assert torch.allclose(plain[0][key], value, atol=1e-4), key

    # Only the first process prints and writes, and its losses are those of the whole batch.
    printed = (tmp_path / "printed0").read_text()
    assert losses(printed)[: len(alone)] == pytest.approx(alone, abs=2e-4)
    assert (tmp_path / "printed1").read_text() == ""
    assert (tmp_path / "plain/exports").read_text() == "exported\n"


def test_one_process_is_left_as_it_is(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert distributed.join("cuda") == "cuda"
    assert (distributed.rank(), distributed.world_size()) == (0, 1)
    tensor = torch.ones(3)
    distributed.average([tensor])
    assert tensor.tolist() == [1, 1, 1]
    assert distributed.any_process(True, "cpu") and not distributed.any_process(False, "cpu")
    distributed.leave()
