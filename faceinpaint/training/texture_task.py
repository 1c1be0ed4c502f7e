"""Training of Stage 2, the texture generator."""

from typing import NamedTuple

import torch
import torch.nn.functional as F

from ..alignment import FACE_SIZE
from ..checkpoint import save_network
from ..datasets import UNLABELLED
from ..images import as_pictures
from ..layout_decoding import likeliest_layout
from ..layout_editing import EDITS
from ..modeling.face_prior import complete
from ..modeling.texture_generator import TextureGenerator
from ..precision import autocast
from ..semantics import NUM_CLASSES, one_hot
from .augment import shrink_labels
from .discriminators import (
    PatchCritic,
    ProjectedDiscriminator,
    gradient_penalty,
    hinge_discriminator_loss,
    hinge_generator_loss,
)
from .loop import Task, adamw, descend, likeness
from .losses import Vgg19Features, detail_loss, feature_loss, layout_loss, style_loss, unit_feature_loss
from .regions import crop, draw_windows, materials
from .sheets import layout_rows, stack_rows

WEIGHTS = {
    "reconstruction": 3.0,
    "perceptual": 1.3,
    "unit_perceptual": 0.5,
    "style": 2.0,
    "detail": 0.03,
    "layout": 0.2,
    "adversarial": 0.1,
}
"""Weights of the generator's losses."""

PENALTY_WEIGHT = 10.0
"""The factor lambda of WGAN-GP."""

PREDICTED_EVERY = 5
"""Every so-manieth sample is painted from Stage 1's own prediction, so that its mistakes are forgiven."""

PARSED_SIZE = 128
"""Side that larger pictures are shrunk to before Stage 1 looks at them."""

VGG_WINDOW = 96
"""Side of the window in each hole that VGG19 looks at: its view is local, so a part stands for the whole.

Smaller pictures it sees whole; those of twice this side and more also whole, shrunk by half.
"""

ADVERSARY_RAMP = 2000
"""Images over which a new adversary's weight rises from nothing."""

EDITED_SHARE = 0.125
"""Share of samples painted to another face's layout or a ready-made edit: they teach obedience."""


class Views(NamedTuple):
    """Frozen features of one batch of pictures, by VGG19 (in a window; shrunk) and by Stage 1's encoder.

    A list is empty where that view is not taken.
    """

    vgg: list
    shrunk: list
    parser: list

    @property
    def compared(self):
        """The features that the perceptual loss compares."""
        return self.vgg + self.shrunk + self.parser[2:]

    @property
    def judged(self):
        """The features that the projected discriminator judges."""
        return self.vgg + self.parser[2:]


class TextureTask(Task):
    """Reconstruction, perceptual and style losses, layout consistency, and an adversary.

    Args:
        prior: fitted `FacePrior`, or None to train without it.
        parser: frozen Stage 1; it reads layouts back and lends its encoder as a perceptual one. None to train
            a single stage: no layout is given (zeros stand for it) and none is read.
        options: namespace of the command line.
        weights: of the generator's losses.
        arguments: further ones of `TextureGenerator`.
    """

    # What is moved loses sharpness, and what Stage 2 is shown it paints.
    moved_share = 0.25

    def __init__(self, prior, parser, options, weights=WEIGHTS, **arguments):
        self.arguments = {"use_prior": prior is not None, **arguments}
        self.weights = weights
        self.prior, self.parser = prior, parser
        self.device = torch.device(options.device)
        self.dtype = options.dtype
        self.objective = options.objective
        self.vgg = Vgg19Features(options.vgg).to(self.device, memory_format=torch.channels_last)
        self.adversary_from = options.adversary_from
        network = TextureGenerator(**self.arguments)
        if self.objective == "projected":
            parsed = parser.channels[2:] if parser else ()
            adversary = ProjectedDiscriminator(Vgg19Features.channels + parsed)
        else:
            adversary = PatchCritic(3 + 1 + NUM_CLASSES)
        for module in (network, adversary):
            module.to(self.device, memory_format=torch.channels_last)
        super().__init__(
            {"texture_generator": network, "adversary": adversary},
            {
                "texture_generator": adamw(network, options.learning_rate, 0.9),
                "adversary": adamw(adversary, options.learning_rate, 0.5),
            },
        )

    def step(self, batch, seen, generator):
        """Train both networks on a batch; see `Task.step`."""
        network, adversary = self.networks["texture_generator"], self.networks["adversary"]
        real = batch.image.contiguous(memory_format=torch.channels_last)
        edited = int(EDITED_SHARE * len(real)) if self.parser is not None else 0
        # The truth is no example of what these should look like: they are the last of the batch.
        kept = len(real) - edited
        wanted, hole = self._edit(batch, kept, generator)
        mask = torch.maximum(hole, 1 - batch.valid)

        trust = min(1.0, (seen - self.adversary_from) / ADVERSARY_RAMP)
        judged = trust >= 0
        windows = draw_windows(hole, VGG_WINDOW, generator)

        with autocast(self.device, self.dtype):
            with torch.no_grad():
                prior = complete(self.prior, real, mask)
                if self.parser is None:
                    layout = _no_layout(real)
                else:
                    labels = self._wanted_labels(real, mask, prior, wanted, kept)
                    layout = one_hot(labels)
                real_views = self._look(real, windows, judged)
                layouts, holes = (
                    [crop(x, windows, VGG_WINDOW)] * len(real_views.vgg) + [x] * len(real_views.parser[2:])
                    for x in (layout, hole)
                )
            painted = network(real, mask, prior, layout, generator)
            fake = real + hole * (painted - real)
            fake_views = self._look(fake, windows, judged)

            weight = batch.valid * (0.2 + 0.8 * hole)
            regions = crop(hole * materials(batch.labels), windows, VGG_WINDOW)[:kept]
            ours, truth = (
                Views(*([f[:kept] for f in view] for view in views)) for views in (fake_views, real_views)
            )
            losses = {
                "reconstruction": ((painted - real).abs() * weight)[:kept].mean(),
                "perceptual": feature_loss(ours.compared, truth.compared),
                "unit_perceptual": unit_feature_loss(ours.vgg + ours.shrunk, truth.vgg + truth.shrunk),
                "style": style_loss(ours.vgg, truth.vgg, regions),
                "detail": detail_loss(
                    crop(fake, windows, VGG_WINDOW)[:kept], crop(real, windows, VGG_WINDOW)[:kept], regions
                ),
            }
            if judged and self.parser is not None:
                losses["layout"] = self._layout_loss(fake_views, labels, hole)
            if judged:
                adversary.requires_grad_(False)
                losses["adversarial"] = (
                    hinge_generator_loss(adversary(fake_views.judged, layouts), holes)
                    if self.objective == "projected"
                    else -adversary(torch.cat([fake, mask, layout], 1)).mean()
                )
                adversary.requires_grad_(True)
            loss = sum(self.weights[name] * value for name, value in losses.items() if name != "adversarial")
            if judged:
                loss = loss + trust * self.weights["adversarial"] * losses["adversarial"]
        descend(self.optimizers["texture_generator"], loss)
        if not judged:
            return losses

        with autocast(self.device, self.dtype):
            if self.objective == "projected":
                losses["adversary"] = hinge_discriminator_loss(
                    adversary(real_views.judged, layouts),
                    adversary([f.detach() for f in fake_views.judged], layouts),
                    holes,
                )
            else:
                real_view = torch.cat([real, mask, layout], 1)
                fake_view = torch.cat([fake.detach(), mask, layout], 1)
                losses["adversary"] = adversary(fake_view).mean() - adversary(real_view).mean()
                penalty = gradient_penalty(adversary, real_view, fake_view, generator)
                losses["adversary"] = losses["adversary"] + PENALTY_WEIGHT * penalty
        descend(self.optimizers["adversary"], losses["adversary"])
        return losses

    def validate(self, batch):
        """PSNR and, where its weights are to be had, LPIPS (squeeze) of composites; see `Task.validate`."""
        real = as_pictures(batch.image)
        fake = as_pictures(torch.cat([self.paint(part)[0] for part in _split(batch, 8)]))
        return likeness(real, fake, self.device)

    def sheet(self, batch):
        """Input, prior, Stage 1's layout, result, truth; see `Task.sheet`."""
        batch = next(_split(batch, 16))
        fake, layout, prior = self.paint(batch)
        visible = batch.image * (1 - batch.mask)
        return stack_rows(
            as_pictures(visible),
            as_pictures(prior),
            layout_rows(layout),
            as_pictures(fake),
            as_pictures(batch.image),
        )

    def export(self, folder):
        """Write texture_generator.safetensors and .json; see `Task.export`."""
        save_network(folder, "texture_generator", self.average, self.arguments)

    @torch.no_grad()
    def paint(self, batch, labels=None):
        """Paint with the averaged network alone: one look for a layout, nothing done to either afterwards.

        Args:
            batch: `augment.Batch`.
            labels: N x H x W class ids to paint from; None for Stage 1's own prediction.

        Returns:
            Composites N x 3 x H x W, the class ids that they were painted from (zeros in a single stage), and
            the prior's pictures.
        """
        generator = torch.Generator(self.device).manual_seed(0)
        with autocast(self.device, self.dtype):
            prior = complete(self.prior, batch.image, batch.mask)
            if self.parser is None:
                layout = _no_layout(batch.image)
            elif labels is None:
                logits = self.parser(batch.image, batch.mask, prior)
                layout = one_hot(likeliest_layout(logits, batch.mask))
            else:
                layout = one_hot(labels)
            painted = self.average(batch.image, batch.mask, prior, layout, generator)
        return batch.image + batch.hole * (painted - batch.image), layout.argmax(1), prior

    def _edit(self, batch, first, generator):
        """Change the layouts of the samples from the `first` on, some of them by ready-made edits.

        Returns:
            Class ids N x H x W and holes N x 1 x H x W, widened where an edit asks for it.
        """
        labels, hole = batch.labels.clone(), batch.hole.clone()
        other = labels.roll(1, 0)
        names = list(EDITS)
        for i in range(first, len(labels)):
            pick = int(torch.randint(2 * len(names), (), device=self.device, generator=generator))
            if pick < len(names) and not (labels[i] == UNLABELLED).any():
                edited = _edited(labels[i], EDITS[names[pick]])
                changed = (edited != labels[i])[None].float()
                hole[i] = torch.maximum(
                    hole[i], F.max_pool2d(changed, 9, stride=1, padding=4) * batch.valid[i]
                )
                labels[i] = edited
            else:
                takes = (hole[i, 0] > 0) & (other[i] != UNLABELLED)
                labels[i] = torch.where(takes, other[i], labels[i])
        return labels, hole

    def _wanted_labels(self, image, mask, prior, labels, kept):
        """Class ids N x H x W to paint from: those given, some roughened as by hand, some by Stage 1.

        From sample `kept` on they are edited: Stage 1 has a say there only where there are no labels.
        """
        rough = shrink_labels(labels[1::PREDICTED_EVERY], 4)
        labels[1::PREDICTED_EVERY] = rough.repeat_interleave(4, 1).repeat_interleave(4, 2)
        chosen = torch.zeros(len(labels), dtype=torch.bool, device=self.device)
        chosen[:kept:PREDICTED_EVERY] = True
        chosen |= (labels == UNLABELLED).any(2).any(1)
        logits = self.parser(image[chosen], mask[chosen], prior[chosen])
        labels[chosen] = likeliest_layout(logits, mask[chosen])
        return labels

    def _look(self, image, windows, judged):
        """What the frozen networks see: VGG19 in windows and, when judged, Stage 1 in the whole picture."""
        shrunk = self.vgg(F.avg_pool2d(image, 2)) if image.shape[-1] >= 2 * VGG_WINDOW else []
        parsed = self._parse(image) if judged and self.parser is not None else []
        return Views(self.vgg(crop(image, windows, VGG_WINDOW)), shrunk, parsed)

    def _parse(self, image):
        small = F.avg_pool2d(image, max(1, image.shape[-1] // PARSED_SIZE))
        prior = complete(self.prior, small)
        return list(self.parser.encode(small, torch.zeros_like(small[:, :1]), prior))

    def _layout_loss(self, views, labels, hole):
        """Cross-entropy between what Stage 1 reads from the painted hole and what was wanted there."""
        logits = self.parser.decode(views.parser).float()
        logits = F.interpolate(logits, size=labels.shape[-2:], mode="bilinear", align_corners=False)
        return layout_loss(logits, labels, hole[:, 0])


def _edited(labels, edit):
    """A ready-made edit of class ids H x W (tensor) of any size; the edits are made for 256 x 256."""
    scale = FACE_SIZE // labels.shape[-1]
    large = labels.repeat_interleave(scale, 0).repeat_interleave(scale, 1).byte().cpu().numpy()
    return torch.from_numpy(edit(large)[::scale, ::scale].astype("int64")).to(labels.device)


def _no_layout(image):
    return image.new_zeros(len(image), NUM_CLASSES, *image.shape[-2:])


def _split(batch, size):
    for i in range(0, len(batch), size):
        yield batch[i : i + size]
