from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from faceinpaint.modeling.face_prior import CHROMA_STEP, NOISE_SCALE, OPPONENT, FacePrior

SIZE, COMPONENTS = 8, 5
NUMBERS = SIZE**2 + 2 * (SIZE // CHROMA_STEP) ** 2


@pytest.fixture
def prior():
    """A prior with known numbers on 8 x 8 pictures."""
    generator = torch.Generator().manual_seed(0)
    prior = FacePrior(COMPONENTS, SIZE)
    prior.mean.copy_(0.2 * torch.randn(NUMBERS, generator=generator))
    prior.basis.copy_(torch.linalg.qr(torch.randn(NUMBERS, COMPONENTS, generator=generator))[0])
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


def as_vector(picture, hole=None):
    """Brightness and colour differences of 3 x 8 x 8 pixels in double precision, and which are known."""
    visible = np.ones((SIZE, SIZE)) if hole is None else (hole[0] < 0.5).numpy().astype(float)
    colours = np.tensordot(OPPONENT.double().numpy(), picture.double().numpy() * visible, 1)
    cells = (SIZE // CHROMA_STEP, CHROMA_STEP, SIZE // CHROMA_STEP, CHROMA_STEP)
    seen = visible.reshape(cells).sum((1, 3))
    differences = [x.reshape(cells).sum((1, 3)) / np.maximum(seen, 1) * CHROMA_STEP for x in colours[1:]]
    known = np.concatenate([visible.ravel(), *2 * [(seen > CHROMA_STEP**2 / 2).ravel()]]) > 0
    return np.concatenate([colours[0].ravel(), *map(np.ravel, differences)]), known


def test_the_mean_is_that_of_a_dense_solve(prior, image, mask):
    result = prior(image, mask)
    mean, basis = prior.mean.double().numpy(), prior.basis.double().numpy()
    for picture, hole, face in zip(image, mask, result, strict=True):
        x, known = as_vector(picture, hole)
        expected = mean + basis @ (posterior(prior, known)[0] @ (x - mean)[known])
        brightness = np.tensordot(OPPONENT[0].double().numpy(), face.double().numpy(), 1)
        assert np.allclose(brightness.ravel(), expected[: SIZE**2], atol=1e-5)
        differences = as_vector(face)[0][SIZE**2 :].reshape(2, -1)
        # Those are interpolated: their means stay what they were.
        assert np.allclose(differences.mean(1), expected[SIZE**2 :].reshape(2, -1).mean(1), atol=1e-5)
    assert result.dtype == torch.float32


def test_a_grey_visible_part_is_completed_in_grey_by_a_prior_of_greys(prior, image, mask):
    prior.mean[SIZE**2 :] = 0
    prior.basis[SIZE**2 :] = 0
    face = prior(image.mean(1, keepdim=True).expand(-1, 3, -1, -1), mask)
    assert torch.allclose(face, face[:, :1].expand_as(face), atol=1e-6)


def test_hidden_pixels_have_no_influence(prior, image, mask):
    other = torch.where(mask > 0, -image + 0.3, image)
    assert torch.equal(prior(other, mask), prior(image, mask))
    # But the others have.
    assert not torch.equal(prior(image + 0.1 * (1 - mask), mask), prior(image, mask))


def test_without_a_mask_everything_is_known(prior, image):
    assert torch.allclose(prior(image), prior(image, torch.zeros(3, 1, SIZE, SIZE)), atol=1e-5)


def test_with_everything_hidden_it_is_the_mean_face(prior, image):
    face = prior(image, torch.ones(3, 1, SIZE, SIZE))
    brightness = torch.einsum("j,njhw->nhw", OPPONENT[0], face).flatten(1)
    assert torch.allclose(brightness, prior.mean[: SIZE**2].expand_as(brightness), atol=1e-5)


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


def test_no_thread_changes_anothers_autocast(prior, image, mask):
    def stays(enabled):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            states = []
            for _ in range(200):
                prior(image, mask)
                states.append(torch.is_autocast_enabled("cpu"))
        return states.count(enabled)

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(stays, (True, False))) == [200, 200]


def test_draws_have_the_posterior_covariance(prior, image, mask):
    count = 4000
    latent = torch.randn(count, COMPONENTS, generator=torch.Generator().manual_seed(3))
    drawn = prior(image[:1].expand(count, -1, -1, -1), mask[:1].expand(count, -1, -1, -1), latent)
    # What brightness tells of the coefficients, as many as there are.
    reader = torch.linalg.pinv(prior.basis[: SIZE**2])

    def read(pictures):
        brightness = torch.einsum("j,njhw->nhw", OPPONENT[0], pictures).flatten(1)
        return (brightness - prior.mean[: SIZE**2]) @ reader.T

    coefficients = read(drawn)
    expected = posterior(prior, as_vector(image[0], mask[0])[1])[1]
    covariance = np.cov(coefficients.numpy().T)
    assert np.allclose(covariance, expected, atol=0.1 * np.abs(expected).max())
    assert np.allclose(np.diag(covariance), np.diag(expected), rtol=0.15)
    centre = read(prior(image[:1], mask[:1]))
    assert torch.allclose(coefficients.mean(0), centre[0], atol=4 * (expected.max() / count) ** 0.5)


def test_no_latent_is_the_mean(prior, image, mask):
    assert torch.equal(prior(image, mask, torch.zeros(3, COMPONENTS)), prior(image, mask))


def test_the_factor_of_a_hole_serves_every_picture_under_it(prior, image, mask):
    latent = torch.randn(3, COMPONENTS, generator=torch.Generator().manual_seed(4))
    factor = prior.factor(mask)
    for picture in (image, -image):
        assert torch.equal(prior(picture, mask, latent, factor), prior(picture, mask, latent))


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
        mean_face = fitted(faces, torch.ones(20, 1, 16, 16))
        error = (fitted(faces, mask) - faces)[hidden].square().mean()
        assert error < 0.15 * (mean_face - faces)[hidden].square().mean()

    def test_its_numbers_are_those_of_the_data(self, fitted, low_rank_pictures):
        faces = low_rank_pictures(300, 16)
        brightness = torch.einsum("j,njhw->nhw", OPPONENT[0], torch.cat([faces, faces.flip(-1)])).flatten(1)
        assert torch.allclose(fitted.mean[: 16**2], brightness.mean(0), atol=1e-5)
        coefficients = (brightness - brightness.mean(0)) @ torch.linalg.pinv(fitted.basis[: 16**2]).T
        assert torch.allclose(coefficients[:, :8].square().mean(0), fitted.variance[:8], rtol=0.1)
        assert torch.allclose(fitted.basis.T @ fitted.basis, torch.eye(24), atol=1e-4)
        assert 0 < fitted.residual_variance < fitted.variance[-1]

    def test_the_same_seed_gives_the_same_prior(self, fitted, low_rank_pictures):
        again = FacePrior(24, 16)
        torch.manual_seed(99)  # the global generator plays no part
        before = torch.get_rng_state()
        again.fit(low_rank_pictures(300, 16))
        assert torch.equal(again.basis, fitted.basis)
        assert torch.equal(torch.get_rng_state(), before)
