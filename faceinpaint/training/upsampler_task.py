"""Training of the upsampler, which shows a face at twice its size."""

import torch
import torch.nn.functional as F

from ..checkpoint import save_network
from ..images import as_pictures
from ..modeling.face_upsampler import FACTOR, FaceUpsampler
from ..precision import autocast
from .loop import Task, adamw, descend, likeness
from .losses import Vgg19Features, detail_loss, feature_loss, style_loss, unit_feature_loss
from .regions import crop, draw_windows
from .sheets import stack_rows

WEIGHTS = {"reconstruction": 3.0, "perceptual": 1.0, "unit_perceptual": 0.5, "style": 0.3, "detail": 0.03}
"""Weights of the losses."""

WINDOW = 128
"""Side of what is made out of half of it."""

SOFT_SHARE, SOFTEST = 0.5, 0.5
"""Share of samples that come soft, as paintings often are, and how much of them is blurred at most."""

MOST_NOISE = 0.02
"""Deviation of the noise that is added to the small pictures at most."""


class UpsamplerTask(Task):
    """Reconstruction, perceptual and style losses of faces that were shrunk.

    The faces are to come as sharp as they are: they are the truth.

    Args:
        options: namespace of the command line.
    """

    moved_share = 0.0

    def __init__(self, options):
        self.device = torch.device(options.device)
        self.dtype = options.dtype
        self.vgg = Vgg19Features(options.vgg).to(self.device, memory_format=torch.channels_last)
        network = FaceUpsampler().to(self.device, memory_format=torch.channels_last)
        super().__init__(
            {"face_upsampler": network}, {"face_upsampler": adamw(network, options.learning_rate, 0.9)}
        )

    def step(self, batch, seen, generator):
        """Train on a window of each picture; see `Task.step`."""
        windows = draw_windows(batch.valid, WINDOW, generator)
        real = crop(batch.image, windows, WINDOW)
        valid = crop(batch.valid, windows, WINDOW)
        small = _shrink(real, generator)
        with autocast(self.device, self.dtype):
            with torch.no_grad():
                truth = self.vgg(real)
            large = self.networks["face_upsampler"](small)
            large = real + valid * (large - real)
            ours = self.vgg(large)
            losses = {
                "reconstruction": (large - real).abs().mean(),
                "perceptual": feature_loss(ours, truth),
                "unit_perceptual": unit_feature_loss(ours, truth),
                "style": style_loss(ours, truth, valid),
                "detail": detail_loss(large, real, valid),
            }
            loss = sum(WEIGHTS[name] * value for name, value in losses.items())
        descend(self.optimizers["face_upsampler"], loss)
        return losses

    def validate(self, batch):
        """PSNR and, where its weights are to be had, LPIPS (squeeze); see `Task.validate`."""
        return likeness(as_pictures(batch.image), as_pictures(self._enlarge(batch.image)), self.device)

    def sheet(self, batch):
        """Bicubic, result, truth; see `Task.sheet`."""
        image = batch.image[:16]
        bicubic = F.interpolate(F.avg_pool2d(image, FACTOR), scale_factor=FACTOR, mode="bicubic")
        return stack_rows(*(as_pictures(pictures) for pictures in (bicubic, self._enlarge(image), image)))

    def export(self, folder):
        """Write face_upsampler.safetensors and .json; see `Task.export`."""
        save_network(folder, "face_upsampler", self.average, {})

    @torch.no_grad()
    def _enlarge(self, image):
        """Pictures from half of their size, by the averaged network."""
        with autocast(self.device, self.dtype):
            return torch.cat([self.average(F.avg_pool2d(part, FACTOR)) for part in image.split(8)])


def _shrink(real, generator):
    """Pictures at half of their size, some soft, and with a little noise."""
    small = F.avg_pool2d(real, FACTOR)
    drawn = torch.rand(3, len(real), 1, 1, 1, device=real.device, generator=generator)
    blurred = F.avg_pool2d(F.pad(small, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    softness = torch.where(drawn[0] < SOFT_SHARE, SOFTEST * drawn[1], 0.0)
    noise = torch.randn(small.shape, device=real.device, generator=generator)
    return small + softness * (blurred - small) + MOST_NOISE * drawn[2] * noise
