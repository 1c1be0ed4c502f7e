import numpy as np
import pytest
import torch

from faceinpaint.modeling.face_prior import NOISE_SCALE, FacePrior

SIZE, COMPONENTS = 8, 5


@pytest.fixture
def prior():
    """A prior with known numbers on 8 x 8 pictures."""
    generator = torch.Generator().manual_seed(0)
    prior = FacePrior(COMPONENTS, SIZE)
    prior.mean.copy_(0.2 * torch.randn(3 * SIZE**2, generator=generator))
    prior.basis.copy_(torch.linalg.qr(torch.randn(3 * SIZE**2, COMPONENTS, generator=generator))[0])
    prior.variance.copy_(torch.tensor([9.0, 4.0, 2.0, 1.0, 0.3]))
    prior.residual_variance.fill_(0.05)
    return prior


@pytest.fixture
def image():
    return torch.rand(3, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.fixture
def mask():
    """Three holes: a random quarter, a random three quarters (so that both ways of summing run), a half."""
    generator = torch.Generator().manual_seed(2)
    mask = (
        torch.rand(3, 1, SIZE, SIZE, generator=generator) < torch.tensor([0.25, 0.75, 0])[:, None, None, None]
    )
    mask[2, :, SIZE // 2 :] = True
    return mask.float()


def posterior(prior, known):
    """Mean's matrix and covariance by the formula of the docstring, in double precision."""
    basis = prior.basis.double().numpy()
    noise = NOISE_SCALE * float(prior.residual_variance)
    visible = basis[known]
    inverse = np.linalg.inv(visible.T @ visible + np.diag(noise / prior.variance.double().numpy()))
    return inverse @ visible.T, noise * inverse


def test_the_mean_is_that_of_a_dense_solve(prior, image, mask):
    result = prior(image, mask)
    mean, basis = prior.mean.double().numpy(), prior.basis.double().numpy()
    for picture, hole, face in zip(image, mask, result, strict=True):
        known = (hole < 0.5).expand(3, -1, -1).flatten().numpy()
        x = picture.double().flatten().numpy()
        expected = mean + basis @ (posterior(prior, known)[0] @ (x - mean)[known])
        assert np.allclose(face.flatten().numpy(), expected, atol=1e-5)
    assert result.dtype == torch.float32


def test_hidden_pixels_have_no_influence(prior, image, mask):
    other = torch.where(mask > 0, -image + 0.3, image)
    assert torch.equal(prior(other, mask), prior(image, mask))
    # But the others have.
    assert not torch.equal(prior(image + 0.1 * (1 - mask), mask), prior(image, mask))


def test_without_a_mask_everything_is_known(prior, image):
    assert torch.allclose(prior(image), prior(image, torch.zeros(3, 1, SIZE, SIZE)), atol=1e-5)


def test_with_everything_hidden_it_is_the_mean_face(prior, image):
    face = prior(image, torch.ones(3, 1, SIZE, SIZE))
    assert torch.allclose(face, prior.mean.unflatten(0, (3, SIZE, SIZE)).expand_as(face), atol=1e-5)


def test_larger_pictures_are_seen_in_cells(prior, image, mask):
    def enlarge(x):
        return x.repeat_interleave(2, 2).repeat_interleave(2, 3)

    # A cell of four pixels, one of them hidden, counts by the other three.
    large, hole = enlarge(image), enlarge(mask)
    hole[:, :, ::2, ::2] = 1
    spoilt = torch.where(hole > 0, torch.full_like(large, 0.9), large)
    expected = torch.nn.functional.interpolate(prior(image, mask), scale_factor=2, mode="bilinear")
    assert torch.allclose(prior(spoilt, hole), expected, atol=1e-5)


def test_autocast_does_not_make_it_coarse(prior, image, mask):
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(prior(image, mask), prior(image, mask).float())
        coarse = prior(image, mask)
    assert torch.equal(coarse, prior(image, mask))


def test_draws_have_the_posterior_covariance(prior, image, mask):
    count = 4000
    latent = torch.randn(count, COMPONENTS, generator=torch.Generator().manual_seed(3))
    drawn = prior(image[:1].expand(count, -1, -1, -1), mask[:1].expand(count, -1, -1, -1), latent)
    coefficients = (drawn.flatten(1) - prior.mean) @ prior.basis
    known = (mask[0] < 0.5).expand(3, -1, -1).flatten().numpy()
    expected = posterior(prior, known)[1]
    covariance = np.cov(coefficients.numpy().T)
    assert np.allclose(covariance, expected, atol=0.1 * np.abs(expected).max())
    assert np.allclose(np.diag(covariance), np.diag(expected), rtol=0.15)
    centre = (prior(image[:1], mask[:1]).flatten(1) - prior.mean) @ prior.basis
    assert torch.allclose(coefficients.mean(0), centre[0], atol=4 * (expected.max() / count) ** 0.5)


def test_no_latent_is_the_mean(prior, image, mask):
    assert torch.equal(prior(image, mask, torch.zeros(3, COMPONENTS)), prior(image, mask))


@pytest.fixture(scope="module")
def fitted(low_rank_pictures):
    prior = FacePrior(24, 16)
    prior.fit(low_rank_pictures(300, 16))
    return prior


class TestFit:
    def test_it_completes_new_faces_far_better_than_the_mean_face(self, fitted, low_rank_pictures):
        faces = low_rank_pictures(20, 16, seed=7)
        mask = torch.zeros(20, 1, 16, 16)
        mask[..., 6:] = 1
        hidden = mask.expand(-1, 3, -1, -1) > 0
        mean_face = fitted.mean.unflatten(0, (3, 16, 16)).expand_as(faces)
        error = (fitted(faces, mask) - faces)[hidden].square().mean()
        assert error < 0.15 * (mean_face - faces)[hidden].square().mean()

    def test_its_numbers_are_those_of_the_data(self, fitted, low_rank_pictures):
        faces = low_rank_pictures(300, 16)
        samples = torch.cat([faces, faces.flip(-1)]).flatten(1).double()
        values = torch.linalg.svdvals(samples - samples.mean(0)).square() / len(samples)
        assert torch.allclose(fitted.mean.double(), samples.mean(0), atol=1e-5)
        assert torch.allclose(fitted.variance[:12].double(), values[:12], rtol=1e-3)
        left = values[24:].sum() / (samples.shape[1] - 24)
        assert float(fitted.residual_variance) == pytest.approx(float(left), rel=0.05)
        assert torch.allclose(fitted.basis.T @ fitted.basis, torch.eye(24), atol=1e-4)

    def test_the_same_seed_gives_the_same_prior(self, fitted, low_rank_pictures):
        again = FacePrior(24, 16)
        torch.manual_seed(99)  # the global generator plays no part
        before = torch.get_rng_state()
        again.fit(low_rank_pictures(300, 16))
        assert torch.equal(again.basis, fitted.basis)
        assert torch.equal(torch.get_rng_state(), before)
