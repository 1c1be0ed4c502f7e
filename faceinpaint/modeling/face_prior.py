"""A linear prior of aligned faces: probabilistic PCA (Tipping and Bishop 1999) at 64 x 64 pixels."""

import torch
import torch.nn.functional as F
from torch import nn

NOISE_SCALE = 4.0
"""Residuals of neighbouring pixels are correlated, so each counts as this much more noise than it shows."""


class FacePrior(nn.Module):
    """Expected face given its known pixels, in closed form and for any hole.

    With basis V (D x K), its variances lam and the residual variance s2 per pixel, and k the known pixels,
    the coefficients of a face x have the posterior mean

        c = (V_k' V_k + diag(4 s2 / lam))^-1 V_k' (x_k - mu)

    and covariance 4 s2 (V_k' V_k + diag(4 s2 / lam))^-1; the face is mu + V c.

    Args:
        components: number of principal components K.
        size: side of the model's pictures in pixels.
    """

    def __init__(self, components=256, size=64):
        super().__init__()
        self.size = size
        self.components = components
        self.register_buffer("mean", torch.zeros(3 * size * size))
        self.register_buffer("basis", torch.zeros(3 * size * size, components))
        self.register_buffer("variance", torch.ones(components))
        self.register_buffer("residual_variance", torch.ones(()))

    @torch.no_grad()
    def fit(self, images, seed=0):
        """Fit to faces and their mirror images.

        Args:
            images: N x 3 x size x size, in [-1, 1], N at least a few times `components`.
            seed: of the randomised decomposition.
        """
        samples = torch.cat([images, images.flip(-1)]).flatten(1)
        mean = samples.mean(0)
        samples = samples - mean
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            _, singular, basis = torch.svd_lowrank(samples, q=self.components, niter=4)
        variance = singular.square() / len(samples)
        left = samples.square().sum() / len(samples) - variance.sum()
        self.mean.copy_(mean)
        self.basis.copy_(basis)
        self.variance.copy_(variance)
        self.residual_variance.copy_(left / (samples.shape[1] - self.components))

    @torch.autocast("cpu", enabled=False)
    @torch.autocast("cuda", enabled=False)
    def forward(self, image, mask=None, latent=None):
        """Complete faces.

        Args:
            image: N x 3 x H x W in [-1, 1], H and W multiples of `size`; hidden pixels are not looked at.
            mask: N x 1 x H x W, 1 = hole; None where everything is known.
            latent: N x K standard normal numbers to draw from the posterior instead of taking its mean,
                which zeros stand for.

        Returns:
            N x 3 x H x W, float32; blurred but whole faces.
        """
        image = image.float()
        scale = image.shape[-1] // self.size
        basis, mean = self.basis.float(), self.mean.float()
        noise = NOISE_SCALE * self.residual_variance.float()
        ridge = noise / self.variance.float()
        if mask is None:
            cells = F.avg_pool2d(image, scale).flatten(1)
            coefficients = (cells - mean) @ basis / (1 + ridge)
        else:
            share = F.avg_pool2d(1 - mask.float(), scale)
            cells = F.avg_pool2d(image * (1 - mask), scale) / share.clamp(min=1e-6)
            known = (share > 0.5).float().expand_as(cells).flatten(1)
            difference = (cells.flatten(1) - mean) * known
            gram = torch.stack([_gram(basis, row > 0.5) for row in known])
            factor = torch.linalg.cholesky(gram + torch.diag(ridge))
            coefficients = torch.cholesky_solve((difference @ basis)[..., None], factor)
            if latent is not None:
                coefficients = coefficients + noise.sqrt() * torch.linalg.solve_triangular(
                    factor.mT, latent.float()[..., None], upper=True
                )
            coefficients = coefficients[..., 0]
        face = (mean + coefficients @ basis.T).unflatten(1, (3, self.size, self.size))
        return F.interpolate(face, size=image.shape[-2:], mode="bilinear", align_corners=False)


def _gram(basis, known):
    """V_k' V_k of an orthonormal basis; on a CPU from its known or its hidden rows, whichever are fewer."""
    if not basis.is_cpu:
        # To count and pick rows would hold a GPU up.
        return (basis * known[:, None]).T @ basis
    hidden_are_fewer = known.float().mean() > 0.5
    # By PyTorch, though NumPy would work out one half only: two pools of threads get into each other's way.
    rows = basis[~known if hidden_are_fewer else known]
    gram = rows.T @ rows
    return torch.eye(len(gram)) - gram if hidden_are_fewer else gram
