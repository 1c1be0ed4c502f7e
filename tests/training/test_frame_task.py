from types import SimpleNamespace

import pytest
import torch
from torch import nn

from faceinpaint.training.augment import Batch
from faceinpaint.training.frame_task import FrameTask


@pytest.fixture
def task():
    return FrameTask(SimpleNamespace(device="cpu", dtype=torch.float32, learning_rate=1e-3))


@pytest.fixture
def batch(low_rank_pictures):
    image = low_rank_pictures(8, 128, seed=5)
    return Batch(image, None, torch.zeros(8, 1, 128, 128), torch.ones(8, 1, 128, 128))


class Oracle(nn.Module):
    """Knows by which similarity the faces are off at first, and that they are in place then."""

    def __init__(self, task):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.answers = [task._misalign(8, generator)]

    def forward(self, image, mask):
        factor, offset = self.answers.pop() if self.answers else (torch.ones(8) + 0j, torch.zeros(8) + 0j)
        return factor, offset


def test_who_knows_the_truth_brings_every_face_into_its_frame(task, batch):
    task.average = Oracle(task)
    figures = task.validate(batch)
    assert figures["median"] < 1e-5 and figures["near"] == 1
    task.average = Oracle(task)
    *_, moved, aligned = task._align(batch)
    middle = (..., slice(40, 88), slice(40, 88))

    def error(pictures):
        return (pictures - batch.image)[middle].abs().mean()

    assert error(aligned) < 0.3 * error(moved)


def test_who_says_nothing_is_as_far_off_as_the_faces_were_moved(task, batch):
    figures = task.validate(batch)
    assert 0.05 < figures["median"] < 1 and figures["near"] < 1
