import pytest
import torch

from faceinpaint.modeling.frame_regressor import FrameRegressor


@pytest.fixture(scope="module")
def network(shake):
    torch.manual_seed(0)
    return shake(FrameRegressor())


def pictures(size):
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(2, 3, size, size, generator=generator) * 2 - 1
    mask = torch.zeros(2, 1, size, size)
    mask[1, :, size // 4 : size // 2, size // 3 :] = 1
    return image, mask


@torch.inference_mode()
def test_each_picture_gets_a_factor_and_an_offset(network):
    image, mask = pictures(256)
    factors, offsets = network(image, mask)
    assert factors.shape == offsets.shape == (2,)
    assert factors.is_complex() and offsets.is_complex()
    assert factors[0] != factors[1] and offsets[0] != offsets[1]
    # A face that is large already is seen the same at half the size.
    small = torch.nn.functional.avg_pool2d(image, 2)
    torch.testing.assert_close(network(small, torch.zeros_like(small[:, :1]))[0][0], factors[0])


@torch.inference_mode()
def test_hidden_pixels_have_no_influence(network):
    image, mask = pictures(128)
    for value, same in zip(
        network(image, mask), network(torch.where(mask > 0, 1 - image, image), mask), strict=True
    ):
        assert torch.equal(value, same)


@torch.inference_mode()
def test_untrained_it_leaves_a_face_where_it_is():
    factors, offsets = FrameRegressor().eval()(*pictures(128))
    assert (factors == 1).all() and (offsets == 0).all()
