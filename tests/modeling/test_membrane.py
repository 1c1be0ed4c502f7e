import pytest
import torch

from faceinpaint.modeling.membrane import membrane


@pytest.fixture
def hole():
    hole = torch.zeros(1, 1, 64, 96)
    hole[..., 10:50, 30:70] = 1
    return hole


def test_what_is_known_stays_and_what_is_hidden_has_no_say(hole):
    values = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    filled = membrane(values, hole)
    assert torch.equal(filled[hole.expand_as(filled) == 0], values[hole.expand_as(values) == 0])
    assert torch.equal(membrane(torch.where(hole > 0, 9.0, values), hole), filled)


def test_one_colour_fills_the_hole(hole):
    torch.testing.assert_close(
        membrane(torch.full((1, 1, 64, 96), 0.3), hole), torch.full((1, 1, 64, 96), 0.3)
    )


def test_the_hole_goes_over_from_one_side_to_the_other(hole):
    values = torch.linspace(-1, 1, 96).expand(1, 1, 64, 96)
    filled = membrane(values, hole)
    assert (filled - values).abs().max() < 0.25
    assert filled[0, 0, 30, 30:70].diff().min() > 0  # no steps back
    # At the hole's edge nothing shows.
    assert (filled - values)[..., 29:32].abs().max() < 0.05


def test_a_picture_without_a_known_pixel_is_zero():
    assert not membrane(torch.ones(2, 3, 32, 32), torch.ones(2, 1, 32, 32)).any()
