import pytest
import torch

from faceinpaint.modeling.inputs import start_of_face, with_mirror_image


@pytest.fixture
def mask():
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., 20:50, 30:60] = 1
    return mask


@pytest.fixture
def prior():
    return torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def test_the_visible_stays_and_the_hidden_has_no_say(mask, prior):
    image = prior + 0.3
    start = start_of_face(image, mask, prior)
    torch.testing.assert_close(start * (1 - mask), image * (1 - mask))
    assert torch.equal(start_of_face(torch.where(mask > 0, -1, image), mask, prior), start)


def test_what_the_prior_is_off_by_is_carried_into_the_hole(mask, prior):
    torch.testing.assert_close(start_of_face(prior + 0.3, mask, prior), prior + 0.3)


def test_without_a_prior_the_visible_goes_on(mask):
    sky = torch.full((1, 3, 64, 64), 0.4)
    torch.testing.assert_close(start_of_face(torch.where(mask > 0, -1, sky), mask), sky)


def test_where_one_half_is_hidden_the_mirror_image_shows_the_other(mask, prior):
    start, hole, mirrored, mirrored_hole = with_mirror_image(prior, mask).split((3, 1, 3, 1), 1)
    assert torch.equal(start, prior) and torch.equal(hole, mask)
    assert torch.equal(mirrored[..., 40], prior[..., 23])
    assert hole[0, 0, 30, 40] and not mirrored_hole[0, 0, 30, 40]
