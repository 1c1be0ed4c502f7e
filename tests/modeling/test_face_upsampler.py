import pytest
import torch
import torch.nn.functional as F

from faceinpaint.modeling.face_upsampler import FaceUpsampler


@pytest.fixture
def picture(low_rank_pictures):
    return low_rank_pictures(2, 64)


@torch.inference_mode()
def test_untrained_it_is_plain_interpolation(picture):
    plain = F.interpolate(picture, scale_factor=2, mode="bicubic")
    torch.testing.assert_close(FaceUpsampler(8, 1)(picture), plain)


@torch.inference_mode()
def test_any_even_size_comes_out_twice_as_large_and_where_it_was(picture, shake):
    network = shake(FaceUpsampler(8, 2))
    assert network(picture[..., :30, :46]).shape == (2, 3, 60, 92)
    # What is far from the cut looks as it did: two pixels further in the small one are four in the large one.
    whole, part = network(picture), network(picture[..., 2:, 4:])
    torch.testing.assert_close(whole[..., 44:, 48:], part[..., 40:, 40:], atol=1e-5, rtol=1e-4)


@torch.inference_mode()
def test_half_precision_gives_full_precision_pictures(picture, shake):
    network = shake(FaceUpsampler(8, 1))
    with torch.autocast("cpu", torch.bfloat16):
        large = network(picture)
    assert large.dtype == torch.float32
    assert (large - network(picture)).abs().mean() < 0.02
