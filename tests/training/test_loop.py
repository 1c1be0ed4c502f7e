import json
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from safetensors import safe_open
from torch import nn

from faceinpaint.checkpoint import load_network
from faceinpaint.datasets import UNLABELLED, Faces
from faceinpaint.modeling.face_prior import FacePrior
from faceinpaint.modeling.layout_generator import LayoutGenerator
from faceinpaint.semantics import CLASSES, mirror_classes, one_hot
from faceinpaint.training import layout_task, loop
from faceinpaint.training.augment import Batch
from faceinpaint.training.frame_task import FrameTask
from faceinpaint.training.layout_task import LayoutTask
from faceinpaint.training.loop import Task, adamw, descend, learning_rate_factor, train
from faceinpaint.training.texture_task import WEIGHTS, TextureTask
from faceinpaint.training.upsampler_task import WEIGHTS as UPSAMPLER_WEIGHTS
from faceinpaint.training.upsampler_task import UpsamplerTask

SIZE = 64
BATCH = 4
TINY_TEXTURE = {
    "channels": (8, 8, 16, 16), "top_channels": 8, "layout_channels": 8, "depth": 1, "heads": 4, "size": 64
}  # fmt: skip


class Clock:
    """A clock that the tests turn."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        self.now += 1e-3
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(loop, "time", clock)
    monkeypatch.setattr(loop, "BANK_SIZE", 20)
    return clock


class TinyTask(Task):
    """Two small networks, one with batch statistics; a step takes one minute of the clock."""

    def __init__(self, clock):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 3, 1))
        other = nn.Conv2d(3, 1, 1)
        super().__init__(
            {"network": network, "other": other},
            {"network": adamw(network, 0.01, 0.9), "other": adamw(other, 0.02, 0.5)},
        )
        self.clock = clock
        self.seen, self.rates, self.drawn = [], [], []

    def step(self, batch, seen, generator):
        self.clock.now += 60
        self.seen.append(seen)
        self.drawn.append(batch.image)
        self.rates.append(self.optimizers["network"].param_groups[0]["lr"])
        x = torch.cat([batch.image * (1 - batch.mask), batch.mask], 1)
        x = x + 0.1 * torch.randn(x.shape, generator=generator)
        out = self.networks["network"](x)
        loss = (out - batch.image[..., 1:-1, 1:-1]).square().mean()
        descend(self.optimizers["network"], loss)
        second = (self.networks["other"](out.detach()) - 1).square().mean()
        descend(self.optimizers["other"], second)
        return {"first": loss, "second": second}

    def validate(self, batch):
        return {"brightness": float(batch.image.mean())}

    def sheet(self, batch):
        return Image.new("RGB", (8, 8))

    def export(self, folder):
        (folder / "exported").write_text(str(float(next(self.average.parameters()).detach().sum())))

    def everything(self):
        """All tensors that training changes."""
        tensors = {}
        for name, network in [*self.networks.items(), ("average", self.average)]:
            tensors.update({f"{name}.{key}": value for key, value in network.state_dict().items()})
        for name, optimizer in self.optimizers.items():
            for index, state in optimizer.state_dict()["state"].items():
                tensors.update({f"{name}.{index}.{key}": value for key, value in state.items()})
        return {key: value.clone() for key, value in tensors.items()}


def make_faces():
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (6, SIZE, SIZE, 3), generator=generator, dtype=torch.uint8)
    labels = torch.randint(0, 19, (6, SIZE, SIZE), generator=generator, dtype=torch.uint8)
    return Faces([f"dir/face{i}" for i in range(6)], images, labels, torch.ones(6, SIZE, SIZE).bool())


def make_options(out, **changes):
    values = {
        "out": str(out), "stage": "layout", "images": 4 * BATCH, "batch": BATCH, "size": [SIZE, SIZE // 2],
        "seed": 0, "device": "cpu", "weight": [], "weight_class": [], "weight_group": [],
        "half_life": 100, "time_limit": float("inf"), "sheet_every": 1000,
    }  # fmt: skip
    return SimpleNamespace(**values | changes)


def test_a_stopped_run_goes_on_exactly(tmp_path, clock, capsys):
    whole = TinyTask(clock)
    train(whole, make_faces(), None, make_options(tmp_path / "whole"))
    assert whole.seen == [0, 4, 8, 12]

    first = TinyTask(clock)
    before = first.everything()
    train(first, make_faces(), None, make_options(tmp_path / "parts", time_limit=1.5))
    assert first.seen == [0, 4]
    assert "time is up" in capsys.readouterr().out
    assert (tmp_path / "parts/exported").exists()
    assert any(
        not torch.equal(before[key], value) for key, value in first.everything().items() if key in before
    )

    torch.manual_seed(77)  # the global generator plays no part
    second = TinyTask(clock)
    train(second, make_faces(), None, make_options(tmp_path / "parts"))
    assert second.seen == [8, 12]
    assert first.rates + second.rates == whole.rates
    expected, result = whole.everything(), second.everything()
    assert expected.keys() == result.keys()
    for key, value in expected.items():
        assert torch.equal(result[key], value), key
    assert not torch.equal(result["average.0.weight"], result["network.0.weight"])
    with safe_open(tmp_path / "parts/layout.state.safetensors", "pt") as file:
        progress = json.loads(file.metadata()["progress"])
    assert progress["step"] == 4
    assert progress["minutes"] == pytest.approx(4, abs=0.01)


def test_a_finished_run_is_left_as_it_is(tmp_path, clock):
    train(TinyTask(clock), make_faces(), None, make_options(tmp_path))
    again = TinyTask(clock)
    train(again, make_faces(), None, make_options(tmp_path))
    assert again.seen == []


def test_sizes_take_turns_and_other_seeds_draw_other_batches(tmp_path, clock):
    task, other = TinyTask(clock), TinyTask(clock)
    train(task, make_faces(), None, make_options(tmp_path / "0"))
    train(other, make_faces(), None, make_options(tmp_path / "1", seed=1))
    assert [len(image[0, 0]) for image in task.drawn] == [SIZE, SIZE // 2, SIZE, SIZE // 2]
    assert not torch.equal(task.drawn[0], other.drawn[0])
    assert not torch.equal(task.drawn[0], task.drawn[2])


def test_progress_losses_sheets_and_figures_are_reported(tmp_path, clock, capsys):
    faces = make_faces()
    blank = torch.zeros(2, 1, SIZE, SIZE)
    validation = Batch(torch.full((2, 3, SIZE, SIZE), 0.5), faces.labels[:2].long(), blank, 1 - blank)
    train(TinyTask(clock), faces, validation, make_options(tmp_path, sheet_every=1.5))
    shown = capsys.readouterr().out
    assert "6 faces; the loader gives" in shown
    assert "step 4/4, 16 images, " in shown
    assert "images/s, first 0." in shown
    assert "second " in shown
    assert "validation after 16 images, 4.0 minutes: brightness 0.5000" in shown
    assert [path.name for path in sorted(tmp_path.glob("*.jpg"))] == [
        "layout-00000008.jpg",
        "layout-00000016.jpg",
    ]


def test_the_average_follows_slowly(clock):
    task = TinyTask(clock)
    start = next(task.average.parameters()).clone()
    weight = next(task.networks["network"].parameters())
    weight.data += 1
    task.update_average(0.75)
    assert torch.allclose(next(task.average.parameters()), start + 0.25)
    assert not task.average.training


def test_the_learning_rate_rises_stays_and_falls_to_nothing():
    factors = [learning_rate_factor(step, 1000, warmup=50) for step in range(1001)]
    assert factors[0] == pytest.approx(1 / 50)
    assert factors[24] == pytest.approx(0.5)
    assert all(factor == 1 for factor in factors[49:801])
    assert factors[900] == pytest.approx(0.5)
    assert factors[1000] == 0
    assert all(a > b for a, b in pairwise(factors[801:]))


def test_faces_are_drawn_by_name_and_class(tmp_path):
    labels = torch.zeros(4, SIZE, SIZE, dtype=torch.uint8)
    labels[1, :10, :10] = CLASSES.index("hat")
    labels[2, 9, 9] = CLASSES.index("hat")  # a speck is no hat
    labels[3] = UNLABELLED
    names = ["x/celeba-1", "celeba-2", "other", "another"]
    faces = Faces(names, torch.zeros(4, SIZE, SIZE, 3), labels, labels > 0)
    options = make_options(tmp_path, weight=[("celeba", 3.0)], weight_class=[("hat", 4.0)])
    assert loop._sampling_weights(faces, options).tolist() == [3, 12, 1, 1]
    with pytest.raises(ValueError, match="no class moustache; the classes are background, skin"):
        loop._sampling_weights(faces, make_options(tmp_path, weight_class=[("moustache", 2.0)]))


def test_less_than_a_batch_is_refused(tmp_path, clock):
    with pytest.raises(ValueError, match="3 images are less than one batch of 4"):
        train(TinyTask(clock), make_faces(), None, make_options(tmp_path, images=3))


def test_faces_of_a_group_are_drawn_more_often(tmp_path):
    labels = torch.full((3, 64, 64), CLASSES.index("skin"), dtype=torch.uint8)
    labels[:, 20:28, 12:24] = CLASSES.index("right eye")
    labels[:2, 20:28, 40:52] = CLASSES.index("left eye")
    for label, nose in zip(labels, (32, 45, 20), strict=True):
        label[30:42, nose - 4 : nose + 4] = CLASSES.index("nose")
    faces = Faces(["a", "b", "c"], torch.zeros(3, 64, 64, 3, dtype=torch.uint8), labels, labels > 0)
    options = make_options(tmp_path, weight_group=[("pose: far turned", 3.0), ("skin", 2.0)])
    assert loop._sampling_weights(faces, options).tolist() == [2, 6, 6]
    with pytest.raises(ValueError, match="No face is of a group pose: upright; the groups are: pose: far"):
        loop._sampling_weights(faces, make_options(tmp_path, weight_group=[("pose: upright", 2.0)]))


def test_gradients_are_clipped():
    parameter = nn.Parameter(torch.zeros(4))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    descend(optimizer, 1000 * parameter.sum(), max_norm=5.0)
    assert float(parameter.detach().norm()) == pytest.approx(5, rel=1e-3)


def test_a_loss_that_is_not_finite_ends_the_run_with_its_weights_as_they_were():
    parameter = nn.Parameter(torch.ones(4))
    optimizer = adamw(nn.ParameterList([parameter]), 0.1, 0.9)
    with pytest.raises(RuntimeError, match="non-finite"):
        descend(optimizer, parameter.sum() * torch.nan)
    assert torch.equal(parameter, torch.ones(4))


@pytest.fixture(scope="module")
def prior(low_rank_pictures):
    prior = FacePrior(8)
    prior.fit(low_rank_pictures(40, prior.size))
    return prior


class TestTasks:
    """One step of the real tasks on four small pictures."""

    @pytest.fixture
    def batch(self, low_rank_pictures):
        image = low_rank_pictures(4, 128, seed=5)
        labels = torch.randint(0, 19, (4, 16, 16), generator=torch.Generator().manual_seed(0))
        labels = labels.repeat_interleave(8, 1).repeat_interleave(8, 2)
        labels[3] = UNLABELLED
        hole = torch.zeros(4, 1, 128, 128)
        hole[..., 30:100, 20:90] = 1
        valid = torch.ones_like(hole)
        valid[0, :, 120:] = 0
        return Batch(image, labels, hole, valid)

    @pytest.fixture
    def options(self, untrained_vgg):
        values = {"device": "cpu", "dtype": torch.float32, "learning_rate": 1e-3, "vgg": untrained_vgg}
        values |= {"adversary_from": 0, "objective": "projected"}
        return lambda **changes: SimpleNamespace(**values | changes)

    def learn(self, task, name, batch, shake, seen=4000):
        """Take a step; all weights of the network called `name` must have a say.

        Returns the losses, and of each of the critic's parameters whether its loss depends on it.
        """
        network, critic = (*task.networks.values(), nn.Module())[:2]
        shake(network).requires_grad_(True).train()
        before = [p.clone() for p in network.parameters()]
        losses = task.step(batch, seen, torch.Generator().manual_seed(0))
        assert all(loss.isfinite() for loss in losses.values())
        for (key, parameter), old in zip(network.named_parameters(), before, strict=True):
            assert parameter.grad.abs().max() > 0, key
            assert not torch.equal(parameter, old), key
        assert all(p.isfinite().all() for p in network.parameters())
        # Weight decay moves its weights also where it learns nothing.
        return losses, [p.grad is not None and bool(p.grad.any()) for p in critic.parameters()]

    def test_layout(self, options, prior, batch, shake, tmp_path):
        task = LayoutTask(prior, options())
        losses, learnt = self.learn(task, "layout_generator", batch, shake)
        assert losses.keys() == {"cross_entropy", "jaccard", "adversarial", "critic"}
        assert all(learnt[::2])  # what all verdicts are shifted by may stay
        task.update_average(0)
        task.export(tmp_path)
        exported = load_network(tmp_path, "layout_generator").head.weight
        assert torch.allclose(exported, task.networks["layout_generator"].head.weight, rtol=1e-3, atol=1e-4)
        figures = task.validate(batch)
        assert figures.keys() == {"parser_accuracy", "parser_mean_iou", "hole_accuracy", "hole_mean_iou"}

    def test_a_teacher_reads_both_sides_of_a_face_alike_and_labels_keep_their_say(
        self, options, batch, shake
    ):
        teacher = shake(LayoutGenerator((8, 8, 16, 16), depth=1, heads=2, use_prior=False))
        task = LayoutTask(None, options(), teacher, channels=(8, 8, 16, 16), depth=1, heads=2)
        losses, _ = self.learn(task, "layout_generator", batch, shake)
        assert losses.keys() == {"cross_entropy", "jaccard", "adversarial", "critic"}
        labels = batch.labels
        known = (labels != UNLABELLED)[:, None].float()
        mirrored = Batch(batch.image.flip(-1), batch.labels, batch.hole, batch.valid.flip(-1))
        read, read_mirrored = (task._soften(x, labels, 0 * known) for x in (batch, mirrored))
        assert torch.allclose(mirror_classes(read_mirrored), read, atol=1e-5)
        assert not torch.allclose(read_mirrored, read, atol=1e-2)
        own = task._soften(batch, labels, known).gather(1, labels.clamp(max=18)[:, None])
        assert own[known > 0].min() >= 0.5

    @pytest.mark.parametrize("weight", ["JACCARD_WEIGHT", "ADVERSARIAL_WEIGHT"])
    def test_each_loss_of_a_layout_counts(self, options, batch, shake, monkeypatch, weight):
        gradients = []
        own = getattr(layout_task, weight)
        for value in (own, own, 0.0):
            monkeypatch.setattr(layout_task, weight, value)
            torch.manual_seed(0)
            task = LayoutTask(None, options(), channels=(8, 8, 16, 16), depth=1, heads=2)
            self.learn(task, "layout_generator", batch, shake)
            gradients.append(task.networks["layout_generator"].head.weight.grad)
        assert torch.equal(gradients[0], gradients[1])
        assert not torch.equal(gradients[0], gradients[2])

    def test_a_layout_is_learnt_where_it_is_and_padding_not_at_all(self, options, batch):
        class Told(nn.Module):
            """A Stage 1 that lays out what it is told."""

            def __init__(self, labels):
                super().__init__()
                self.logits = nn.Parameter(20 * one_hot(labels.clamp(max=18)))

            def forward(self, *face):
                return self.logits

        def loss(labels, told):
            task.networks["layout_generator"] = Told(told)
            given = Batch(batch.image, labels, batch.hole, batch.valid)
            losses = task.step(given, 0, torch.Generator().manual_seed(0))
            return (losses["cross_entropy"] + losses["jaccard"]).item()

        task = LayoutTask(None, options(), channels=(8, 8, 16, 16), depth=1, heads=2)
        task.optimizers["layout_generator"] = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
        right = loss(batch.labels, batch.labels)
        for shift in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            assert loss(batch.labels, batch.labels.roll(shift, (1, 2))) > right + 0.1
        padding = torch.where(batch.valid[:, 0] > 0, batch.labels, (batch.labels + 3) % 19)
        assert not torch.equal(padding, batch.labels)
        assert loss(padding, batch.labels) == right

    def test_frame(self, options, batch, shake, tmp_path):
        task = FrameTask(options())
        losses, _ = self.learn(task, "frame_regressor", batch, shake)
        assert losses.keys() == {"logarithm", "distance"}
        task.export(tmp_path)
        assert load_network(tmp_path, "frame_regressor").size == 128
        assert task.validate(batch).keys() == {"median", "near"}

    def test_upsampler(self, options, batch, shake, tmp_path):
        task = UpsamplerTask(options())
        losses, _ = self.learn(task, "face_upsampler", batch, shake)
        assert losses.keys() == set(UPSAMPLER_WEIGHTS)
        task.export(tmp_path)
        assert load_network(tmp_path, "face_upsampler")(batch.image).shape[-1] == 2 * batch.image.shape[-1]
        assert "psnr" in task.validate(batch)
        assert task.sheet(batch).height == 3 * batch.image.shape[-1]

    @pytest.mark.parametrize("objective", ["projected", "wgan-gp"])
    def test_texture(self, options, prior, batch, shake, objective):
        parser = shake(LayoutGenerator((8, 8, 16, 16), depth=1, heads=2, size=128))
        frozen = {key: value.clone() for key, value in parser.state_dict().items()}
        task = TextureTask(prior, parser, options(objective=objective))
        losses, learnt = self.learn(task, "texture_generator", batch, shake)
        assert {
            "reconstruction",
            "perceptual",
            "style",
            "detail",
            "layout",
            "adversarial",
            "adversary",
        } <= losses.keys()
        assert any(learnt)  # heads that are fooled, or sure, may stay
        assert all(torch.equal(parser.state_dict()[key], value) for key, value in frozen.items())

    def test_texture_of_small_pictures_in_a_single_stage(self, options, prior, batch, shake):
        small = Batch(*(x[..., ::2, ::2] for x in (batch.image, batch.labels, batch.hole, batch.valid)))
        task = TextureTask(prior, None, options(), **TINY_TEXTURE)
        shake(task.networks["texture_generator"]).requires_grad_(True)
        losses = task.step(small, 4000, torch.Generator().manual_seed(0))
        expected = {
            "reconstruction",
            "perceptual",
            "unit_perceptual",
            "style",
            "detail",
            "adversarial",
            "adversary",
        }
        assert losses.keys() == expected
        # Layouts have no say, neither in training nor in painting.
        assert not task.networks["texture_generator"].layouts[0].weight.grad.any()
        shake(task.average)
        painted, layout, _ = task.paint(small)
        assert torch.equal(painted, task.paint(small, small.labels)[0])
        assert not layout.any()
        assert torch.equal(painted * (1 - small.hole), small.image * (1 - small.hole))

    @pytest.mark.parametrize("name", sorted(WEIGHTS.keys() - {"reconstruction"}))
    def test_losses_count_by_their_weights(self, options, prior, batch, shake, name):
        parser = shake(LayoutGenerator((8, 8, 16, 16), depth=1, heads=2, size=64))
        small = Batch(*(x[..., ::2, ::2] for x in (batch.image, batch.labels, batch.hole, batch.valid)))
        gradients = []
        for weight in (0.0, 0.0, 1.0):
            torch.manual_seed(0)
            weights = dict.fromkeys(WEIGHTS, 0.0) | {"reconstruction": 1.0, name: weight}
            task = TextureTask(prior, parser, options(), weights, **TINY_TEXTURE)
            shake(task.networks["texture_generator"]).requires_grad_(True)
            assert name in task.step(small, 4000, torch.Generator().manual_seed(0))
            gradients.append(task.networks["texture_generator"].stem.weight.grad)
        assert torch.equal(gradients[0], gradients[1])
        assert not torch.allclose(gradients[0], gradients[2], rtol=0.01)

    def test_edited_samples_are_painted_to_their_edits(self, options, low_rank_pictures):
        count, kept = 16, 14
        labels = torch.arange(count)[:, None, None].repeat(1, 64, 64) % 3
        hole = torch.zeros(count, 1, 64, 64)
        hole[..., 16:48, 16:48] = 1
        batch = Batch(low_rank_pictures(count, 64), labels, hole, torch.ones_like(hole))

        class Parser:
            def __call__(self, image, mask, prior):
                return one_hot(torch.full((len(image), 64, 64), CLASSES.index("hair")))

        task = TextureTask(None, None, options(), **TINY_TEXTURE)
        task.parser = Parser()
        wanted, wider = task._edit(batch, kept, torch.Generator().manual_seed(1))
        assert torch.equal(wanted[:kept], labels[:kept]) and torch.equal(wider[:kept], hole[:kept])
        edited = wanted[kept:] != labels[kept:]
        assert edited.any()
        # Nothing is asked for where the truth stays to be seen.
        assert (wider[kept:, 0] > 0)[edited].all()
        painted = task._wanted_labels(batch.image, wider, batch.image, wanted.clone(), kept)
        assert torch.equal(painted[kept:], wanted[kept:])
        by_stage_1 = painted[:, 0, 0] == CLASSES.index("hair")
        assert by_stage_1.nonzero()[:, 0].tolist() == [0, 5, 10]

    def test_the_adversary_joins_later(self, options, batch, shake):
        parser = shake(LayoutGenerator((8, 8, 16, 16), depth=1, heads=2, use_prior=False, size=128))
        # Without the prior, as for the ablation.
        task = TextureTask(None, parser, options(adversary_from=5000))
        losses, learnt = self.learn(task, "texture_generator", batch, shake)
        assert losses.keys() == {"reconstruction", "perceptual", "unit_perceptual", "style", "detail"}
        assert not any(learnt)
