import pytest
import torch

from faceinpaint.modeling.layout_generator import SECOND_SAY, LayoutGenerator
from faceinpaint.semantics import CLASSES


@pytest.fixture(scope="module")
def network(shake):
    torch.manual_seed(0)
    return shake(LayoutGenerator())


def inputs(size, count=1):
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(count, 3, size, size, generator=generator) * 2 - 1
    prior = torch.rand(count, 3, size, size, generator=generator) * 2 - 1
    mask = torch.zeros(count, 1, size, size)
    mask[..., size // 4 : size // 2, size // 3 :] = 1
    return image, mask, prior


@pytest.mark.parametrize("size", [128, 256])
@torch.inference_mode()
def test_sizes(network, size):
    image, mask, prior = inputs(size)
    features = network.encode(image, mask, prior)
    assert [(f.shape[1], f.shape[-1] * s) for f, s in zip(features, (2, 4, 8, 16), strict=True)] == [
        (channels, size) for channels in network.channels
    ]
    assert network.decode(features).shape == (1, 19, size // 2, size // 2)
    logits = network(image, mask, prior)
    assert logits.shape == (1, 19, size, size)
    assert logits.isfinite().all()


@torch.inference_mode()
def test_hidden_pixels_have_no_influence(network):
    image, mask, prior = inputs(128)
    logits = network(image, mask, prior)
    assert torch.equal(network(torch.where(mask > 0, 1 - image, image), mask, prior), logits)
    # One visible pixel, the prior and the mask have.
    spot = torch.zeros_like(mask)
    spot[..., 100, 20] = 1
    assert not torch.equal(network(image + spot, mask, prior), logits)
    assert not torch.equal(network(image, mask, -prior), logits)
    assert not torch.equal(network(image, torch.maximum(mask, spot), prior), logits)


@torch.inference_mode()
def test_both_branches_count(network):
    image, mask, prior = inputs(128)
    f1, f2, f3, f4 = network.encode(image, mask, prior)
    # Only the Transformer carries something from one corner of the picture to the other at once.
    corner = torch.zeros_like(mask)
    corner[..., :8, :8] = 1
    others = network.encode(image + corner, mask, prior)
    assert torch.equal(others[0][..., -8:, -8:], f1[..., -8:, -8:])
    assert torch.equal(others[2][..., -1, -1], f3[..., -1, -1])
    assert not torch.equal(others[3][..., -1, -1], f4[..., -1, -1])


@torch.inference_mode()
@pytest.mark.parametrize("branch", ["cnn", "vit"])
def test_one_branch_alone(shake, branch):
    torch.manual_seed(0)
    network = shake(LayoutGenerator((8, 8, 16, 16), depth=1, heads=2, branches=(branch,)))
    image, mask, prior = inputs(256)
    features = network.encode(image, mask, prior)
    assert [tuple(f.shape[1:3]) for f in features] == [(8, 128), (8, 64), (16, 32), (16, 16)]
    assert network(image, mask, prior).shape == (1, 19, 256, 256)
    assert torch.equal(network.encode(torch.where(mask > 0, 1 - image, image), mask, prior)[3], features[3])
    # Only the Transformer carries something from one corner of the picture to the other, then at every scale.
    corner = torch.zeros_like(mask)
    corner[..., :8, :8] = 1
    for others, feature in zip(network.encode(image + corner, mask, prior), features, strict=True):
        assert not torch.equal(others[..., 0, 0], feature[..., 0, 0])
        assert torch.equal(others[..., -1, -1], feature[..., -1, -1]) == (branch == "cnn")


@torch.inference_mode()
def test_without_the_prior_it_is_not_looked_at(shake):
    torch.manual_seed(0)
    network = shake(LayoutGenerator((8, 8, 16, 16), depth=1, heads=2, use_prior=False, size=64))
    image, mask, prior = inputs(64)
    assert torch.equal(network(image, mask, prior), network(image, mask, -prior))


@torch.inference_mode()
def test_the_second_look_is_at_the_mirror_image(monkeypatch):
    network = LayoutGenerator((8, 8, 16, 16), depth=1, heads=2)
    left, right = CLASSES.index("left eye"), CLASSES.index("right eye")
    seen = []

    def left_eye_where_the_first_channel_is_bright(features):
        seen.append(tuple(features.shape[-2:]))
        logits = torch.zeros(1, 19, *(side // 2 for side in seen[-1]))
        logits[:, left] = (features[:, 0, ::2, ::2] > 0.5).float()
        return logits

    monkeypatch.setattr(network, "_encode", lambda x: x)
    monkeypatch.setattr(network, "decode", left_eye_where_the_first_channel_is_bright)
    image, mask, prior = inputs(256)
    mask[..., 128:] = 0
    image[:] = -1
    image[:, :, 64:128, :64] = 1
    logits = network.look_twice(image, mask, prior)
    assert seen == [(256, 256), (128, 128)]
    # It is bright on the left; the mirrored look says so of its right, and calls it the other eye.
    eye = logits[0, :, 96, 32]
    assert eye[left] == pytest.approx(1 - SECOND_SAY) and eye[right] == pytest.approx(SECOND_SAY)
    assert logits[0, :, 96, 224].abs().max() == 0
    assert logits.shape == (1, 19, 256, 256)
    network.look_twice(image, torch.zeros_like(mask), prior)
    assert seen[2:] == [(256, 256), (256, 256)]
