from types import SimpleNamespace

import torch
import torch.nn.functional as F

from faceinpaint.training.augment import Batch
from faceinpaint.training.upsampler_task import UpsamplerTask, _shrink


def test_small_pictures_are_the_large_ones_some_softer(low_rank_pictures):
    real = low_rank_pictures(200, 16)
    small = _shrink(real, torch.Generator().manual_seed(0))
    assert small.shape == (200, 3, 8, 8)
    plain = F.avg_pool2d(real, 2)
    assert (small - plain).abs().mean() < 0.1

    def roughness(pictures):
        return pictures.diff(dim=-1).square().mean((1, 2, 3))

    softened = (roughness(small) < 0.95 * roughness(plain)).float().mean()
    assert 0.25 < softened < 0.6


def test_padding_is_not_learnt(low_rank_pictures, untrained_vgg):
    options = SimpleNamespace(device="cpu", dtype=torch.float32, learning_rate=1e-3, vgg=untrained_vgg)
    image = low_rank_pictures(4, 64)
    valid = torch.ones(4, 1, 64, 64)
    valid[..., 32:] = 0
    shown = []
    for padding in (0.0, 1.0):
        torch.manual_seed(0)
        task = UpsamplerTask(options)
        task.vgg.register_forward_pre_hook(lambda module, inputs: shown.append(inputs[0].detach()))
        batch = Batch(torch.where(valid > 0, image, padding), torch.zeros(4, 64, 64), 0 * valid, valid)
        task.step(batch, 0, torch.Generator().manual_seed(0))
        real, ours = shown[-2:]
        assert not torch.equal(ours[..., :32], real[..., :32])
        assert torch.equal(ours[..., 32:], real[..., 32:])
