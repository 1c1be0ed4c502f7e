"""Training of Stage 1, the layout generator."""

import torch
import torch.nn.functional as F

from ..checkpoint import save_network
from ..datasets import UNLABELLED
from ..images import as_pictures
from ..metrics import ConfusionMatrix
from ..modeling.face_prior import complete
from ..modeling.layout_generator import LayoutGenerator
from ..precision import autocast
from ..semantics import NUM_CLASSES, mirror_classes, one_hot
from .augment import degrade
from .discriminators import PatchCritic, hinge_discriminator_loss, hinge_generator_loss
from .loop import Task, adamw, descend
from .losses import jaccard_loss, layout_loss, soft_layout_loss
from .sheets import layout_rows, stack_rows

HOLE_WEIGHT = 2.0
"""How much more a hidden pixel counts than a visible one."""

ADVERSARIAL_WEIGHT = 0.02
JACCARD_WEIGHT = 0.5

TEACHER_SHARE = 0.5
"""How much of a labelled pixel's target is the teacher's word."""


class LayoutTask(Task):
    """Cross-entropy and Jaccard loss over the whole picture, and an adversary that knows real layouts.

    Args:
        prior: fitted `FacePrior`, or None to train without it.
        options: namespace of the command line.
        teacher: an earlier `LayoutGenerator`, or None: what it reads of the whole face and its mirror image
            joins the labels. It knows where they are in doubt (Furlanello et al. 2018, born-again networks).
        arguments: further ones of `LayoutGenerator`.
    """

    # It learns faces by heart sooner than Stage 2 does, and needs no sharpness.
    moved_share = 0.8

    def __init__(self, prior, options, teacher=None, **arguments):
        self.arguments = {"use_prior": prior is not None, **arguments}
        self.prior, self.teacher = prior, teacher
        self.device = torch.device(options.device)
        self.dtype = options.dtype
        network = LayoutGenerator(**self.arguments).to(self.device, memory_format=torch.channels_last)
        critic = PatchCritic(NUM_CLASSES + 4).to(self.device, memory_format=torch.channels_last)
        optimizers = {
            "layout_generator": adamw(network, options.learning_rate, 0.9),
            "critic": adamw(critic, 0.3 * options.learning_rate, 0.5),
        }
        super().__init__({"layout_generator": network, "critic": critic}, optimizers)

    def step(self, batch, seen, generator):
        """Train both networks on a batch; see `Task.step`."""
        network, critic = self.networks["layout_generator"], self.networks["critic"]
        image = degrade(batch.image, generator)
        mask = batch.mask
        labels = batch.labels
        known = (labels != UNLABELLED)[:, None].float()
        real = F.avg_pool2d(one_hot(labels.masked_fill(labels == UNLABELLED, 0)), 4)
        context = F.avg_pool2d(torch.cat([image * (1 - mask), mask], 1), 4)

        with autocast(self.device, self.dtype):
            logits = network(image, mask, complete(self.prior, image, mask))
            # The adversary judges hidden places only: the rest of a layout is taken from the truth.
            share = F.avg_pool2d(batch.hole * known, 4)
            fake = real + share * (F.avg_pool2d(logits.softmax(1), 4) - real)
            critic.requires_grad_(False)
            verdict = critic(torch.cat([fake, context], 1))
            critic.requires_grad_(True)
            weight = (batch.valid * (1 + (HOLE_WEIGHT - 1) * batch.hole))[:, 0]
            losses = {
                "cross_entropy": (
                    layout_loss(logits, labels, weight)
                    if self.teacher is None
                    else soft_layout_loss(logits, self._soften(batch, labels, known), weight)
                ),
                "jaccard": jaccard_loss(logits, labels, weight),
                "adversarial": hinge_generator_loss([verdict], [share]),
            }
            loss = (
                losses["cross_entropy"]
                + JACCARD_WEIGHT * losses["jaccard"]
                + ADVERSARIAL_WEIGHT * losses["adversarial"]
            )
        descend(self.optimizers["layout_generator"], loss)

        with autocast(self.device, self.dtype):
            losses["critic"] = hinge_discriminator_loss(
                [critic(torch.cat([real, context], 1))],
                [critic(torch.cat([fake.detach(), context], 1))],
                [share],
            )
        descend(self.optimizers["critic"], losses["critic"])
        return losses

    @torch.no_grad()
    def predict(self, image, mask):
        """Class ids N x H x W from the averaged network; arguments as of `LayoutGenerator.encode`."""
        with autocast(self.device, self.dtype):
            return self.average(image, mask, complete(self.prior, image, mask)).argmax(1)

    @torch.no_grad()
    def _soften(self, batch, labels, known):
        """Labels N x H x W, where `known`, and what the teacher reads, as N x 19 x H x W shares."""
        image, outside = batch.image, 1 - batch.valid
        prior = complete(self.prior, image, outside)
        read, mirrored = (
            self.teacher(*face).softmax(1)
            for face in ((image, outside, prior), (image.flip(-1), outside.flip(-1), prior.flip(-1)))
        )
        share = (1 - TEACHER_SHARE) * known
        read = (read + mirror_classes(mirrored)) / 2
        return share * one_hot(labels.masked_fill(labels == UNLABELLED, 0)) + (1 - share) * read

    def validate(self, batch):
        """Accuracy and mean IoU, as a parser and inside the holes; see `Task.validate`."""
        figures = {}
        for name, mask, region in (
            ("parser", torch.zeros_like(batch.mask), None),
            ("hole", batch.mask, batch.hole[:, 0] > 0),
        ):
            matrix = ConfusionMatrix()
            predicted = torch.cat(
                [self.predict(i, m) for i, m in zip(batch.image.split(8), mask.split(8), strict=True)]
            )
            matrix.update(predicted, batch.labels, region)
            figures.update({f"{name}_accuracy": matrix.accuracy, f"{name}_mean_iou": matrix.mean_iou})
        return figures

    def sheet(self, batch):
        """Input, predicted layout, true layout, photo; see `Task.sheet`."""
        image, mask = batch.image[:16], batch.mask[:16]
        return stack_rows(
            as_pictures(image * (1 - mask)),
            layout_rows(self.predict(image, mask)),
            layout_rows(batch.labels[:16].clamp(max=NUM_CLASSES - 1)),
            as_pictures(image),
        )

    def export(self, folder):
        """Write layout_generator.safetensors and .json; see `Task.export`."""
        save_network(folder, "layout_generator", self.average, self.arguments)
