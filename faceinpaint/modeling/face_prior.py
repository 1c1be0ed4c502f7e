"""A linear prior of aligned faces: probabilistic PCA (Tipping and Bishop 1999) at 64 x 64 pixels."""

import torch
import torch.nn.functional as F
from torch import nn

NOISE_SCALE = 6.0
"""Residuals of neighbouring pixels are correlated, so each counts as this much more noise than it shows.

Of 4 to 16, validation faces under holes of 20-60% are least far off at 8, what Stage 2 makes of it at 4.
"""

CHROMA_STEP = 2
"""So many times smaller is the picture of the colour differences than that of the brightness.

They vary less from place to place; what this saves pays for more components.
"""

OPPONENT = torch.tensor(
    [
        [3**-0.5, 3**-0.5, 3**-0.5],
        [2**-0.5, 0.0, -(2**-0.5)],
        [6**-0.5, -2 * 6**-0.5, 6**-0.5],
    ]
)
"""Brightness, red against blue, and both against green, of R, G and B: an orthonormal matrix."""


class FacePrior(nn.Module):
    """Expected face given its known pixels, in closed form and for any hole.

    A face is a vector x of D numbers: its brightness at size x size, and its two colour differences at half
    that size and twice the scale, so that a cell weighs as much as its four pixels. With basis V (D x K), its
    variances lam and the residual variance s2, and k the known numbers, the coefficients have the posterior
    mean

        c = (V_k' V_k + diag(6 s2 / lam))^-1 V_k' (x_k - mu)

    and covariance 6 s2 (V_k' V_k + diag(6 s2 / lam))^-1; the face is mu + V c.

    Args:
        components: number of principal components K.
        size: side of the model's pictures in pixels, even.
    """

    def __init__(self, components=512, size=64):
        super().__init__()
        self.size = size
        self.components = components
        numbers = size**2 + 2 * (size // CHROMA_STEP) ** 2
        self.register_buffer("mean", torch.zeros(numbers))
        self.register_buffer("basis", torch.zeros(numbers, components))
        self.register_buffer("variance", torch.ones(components))
        self.register_buffer("residual_variance", torch.ones(()))

    @torch.no_grad()
    def fit(self, images, seed=0):
        """Fit to faces and their mirror images.

        Args:
            images: N x 3 x size x size, in [-1, 1], N at least a few times `components`.
            seed: of the randomised decomposition.
        """
        visible = torch.ones_like(images[:, :1])
        samples = torch.cat([self._vector(x, visible) for x in (images, images.flip(-1))])
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

    def forward(self, image, mask=None, latent=None, factor=None):
        """Complete faces.

        Args:
            image: N x 3 x H x W in [-1, 1], H and W multiples of `size`; hidden pixels are not looked at.
            mask: N x 1 x H x W, 1 = hole; None where everything is known.
            latent: N x K standard normal numbers to draw from the posterior instead of taking its mean,
                which zeros stand for.
            factor: what `factor` returns for this mask, if it is at hand.

        Returns:
            N x 3 x H x W, float32; blurred but whole faces.
        """
        # Not as a decorator: that would keep the state of all threads in one place.
        with torch.autocast(image.device.type, enabled=False):
            basis, mean = self.basis.float(), self.mean.float()
            noise = NOISE_SCALE * self.residual_variance.float()
            if mask is None:
                vector = self._vector(image.float(), torch.ones_like(image[:, :1], dtype=torch.float32))
                coefficients = (vector - mean) @ basis / (1 + noise / self.variance.float())
            else:
                mask = mask.float()
                difference = (self._vector(image.float(), 1 - mask) - mean) * self._known(mask)
                projected = difference @ basis
                if factor is None:
                    factor = self.factor(mask)
                coefficients = torch.cholesky_solve(projected[..., None], factor)
                if latent is not None:
                    coefficients = coefficients + noise.sqrt() * torch.linalg.solve_triangular(
                        factor.mT, latent.float()[..., None], upper=True
                    )
                coefficients = coefficients[..., 0]
            return self._picture(mean + coefficients @ basis.T, image.shape[-1])

    def factor(self, mask):
        """Cholesky factors of V_k' V_k + diag(6 s2 / lam): most of the work, and the hole's business alone.

        Args:
            mask: as of `forward`.

        Returns:
            N x K x K, float32, lower triangular.
        """
        with torch.autocast(mask.device.type, enabled=False):
            basis = self.basis.float()
            ridge = NOISE_SCALE * self.residual_variance.float() / self.variance.float()
            gram = torch.stack([_gram(basis, row) for row in self._known(mask.float())])
            return torch.linalg.cholesky(gram + torch.diag(ridge))

    def _vector(self, image, visible):
        """The vectors N x D of pictures N x 3 x H x W, each cell the mean of what of it is visible."""
        step = image.shape[-1] // self.size
        share, colours = F.avg_pool2d(visible, step), F.avg_pool2d(image * visible, step)
        brightness, differences = torch.einsum("ij,njhw->nihw", OPPONENT.to(image.device), colours).split(
            [1, 2], 1
        )
        brightness = brightness / share.clamp(min=1e-6)
        share, differences = F.avg_pool2d(share, CHROMA_STEP), F.avg_pool2d(differences, CHROMA_STEP)
        differences = CHROMA_STEP * differences / share.clamp(min=1e-6)
        return torch.cat([brightness.flatten(1), differences.flatten(1)], 1)

    def _known(self, mask):
        """Which numbers of the vectors are known, N x D bool: cells of which more than half is visible."""
        share = F.avg_pool2d(1 - mask, mask.shape[-1] // self.size)
        of_differences = F.avg_pool2d(share, CHROMA_STEP).expand(-1, 2, -1, -1)
        return torch.cat([share.flatten(1), of_differences.flatten(1)], 1) > 0.5

    def _picture(self, vector, side):
        """Pictures N x 3 x side x side, interpolated, of vectors N x D."""
        small = self.size // CHROMA_STEP
        brightness, differences = vector.split([self.size**2, 2 * small**2], 1)
        colours = torch.cat(
            [
                brightness.view(-1, 1, self.size, self.size),
                _enlarge(differences.view(-1, 2, small, small) / CHROMA_STEP, self.size),
            ],
            1,
        )
        return _enlarge(torch.einsum("ij,nihw->njhw", OPPONENT.to(vector.device), colours), side)


def complete(prior, image, mask=None):
    """The picture that a `FacePrior` makes of faces; the faces themselves where there is no prior."""
    return image if prior is None else prior(image, mask)


def light_of(draw, mean):
    """In what light and colours a random draw of `FacePrior` shows a face, apart from its fine structure.

    Args:
        draw: N x 3 x H x W, H and W multiples of 8.
        mean: N x 3 x H x W, the mean that it scatters around.

    Returns:
        N x 3 x H x W, to be added to a picture.
    """
    side = draw.shape[-1]
    return _enlarge(F.avg_pool2d(draw - mean, side // 8), side)


def _enlarge(x, side):
    return F.interpolate(x, size=(side, side), mode="bilinear", align_corners=False)


def _gram(basis, known):
    """V_k' V_k of an orthonormal basis; on a CPU from its known or its hidden rows, whichever are fewer."""
    if not basis.is_cpu:
        # To count and pick rows would hold a GPU up.
        return (basis * known[:, None]).T @ basis
    hidden_are_fewer = known.float().mean() > 0.5
    # By PyTorch, though NumPy would work out one half only: two pools of threads get into each other's way.
    rows = basis[~known if hidden_are_fewer else known]
    left, right = rows.chunk(2, 1)
    across = left.T @ right
    # The matrix is symmetric: three products of halves are three quarters of the work.
    gram = torch.cat([torch.cat([left.T @ left, across], 1), torch.cat([across.T, right.T @ right], 1)])
    return torch.eye(len(gram)) - gram if hidden_are_fewer else gram
