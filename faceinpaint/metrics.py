"""How close a restored picture is to the true one (PSNR, SSIM, LPIPS), and a layout to the true one."""

import math
import warnings

import cv2
import numpy as np
import torch

from .images import as_images
from .semantics import NUM_CLASSES


def psnr(a, b):
    """Peak signal-to-noise ratio of two H x W x 3 uint8 pictures in dB; `math.inf` where they are identical.

    Raises:
        ValueError: the two are not 8-bit pictures of one size.
    """
    a, b = _check_pair(a, b, 3)
    error = np.mean((a.astype(np.float64) - b) ** 2)
    return float(10 * np.log10(255**2 / error)) if error else math.inf


def ssim(a, b):
    """Structural similarity (Wang et al. 2004) of two H x W x 3 uint8 pictures, at most 1.

    An 11 x 11 Gaussian window of sigma 1.5, population covariances, data range 255; averaged over the
    channels and over the positions where the whole window lies within the picture. It equals scikit-image's
    `structural_similarity` with `gaussian_weights=True, sigma=1.5, use_sample_covariance=False`.

    Raises:
        ValueError: the two are not 8-bit pictures of one size, or are smaller than the window.
    """
    a, b = _check_pair(a, b, 3)
    if min(a.shape[:2]) < 11:
        raise ValueError("SSIM needs pictures of at least 11 x 11 pixels.")
    a, b = a.astype(np.float64), b.astype(np.float64)

    def local_mean(picture):
        return cv2.GaussianBlur(picture, (11, 11), 1.5)[5:-5, 5:-5]

    mean_a, mean_b = local_mean(a), local_mean(b)
    variances = local_mean(a * a) + local_mean(b * b) - mean_a**2 - mean_b**2
    covariance = local_mean(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    return float(np.mean(luminance * (2 * covariance + c2) / (variances + c2)))


class Lpips:
    """Learned perceptual distance (Zhang et al. 2018) between batches of pictures, by the package `lpips`.

    Args:
        net: the network that looks: "alex", "vgg" or "squeeze".
        device: where it runs; by default on the GPU where there is one.

    Raises:
        ValueError: the network is unknown, or its weights are not here and cannot be downloaded.
    """

    def __init__(self, net="alex", device=None):
        # It pulls in torchvision, and only an evaluation needs it.
        import lpips

        if net not in ("alex", "vgg", "squeeze"):
            raise ValueError(f'There is no LPIPS network "{net}": choose alex, vgg or squeeze.')
        self.net = net
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        try:
            with warnings.catch_warnings():
                # lpips asks torchvision for weights in a way that torchvision calls deprecated.
                warnings.simplefilter("ignore", UserWarning)
                distance = lpips.LPIPS(net=net, verbose=False)
        except (OSError, RuntimeError) as error:
            raise ValueError(
                f'The weights of the LPIPS network "{net}" could not be downloaded ({error}). '
                "--lpips-net squeeze needs a much smaller file, and works offline where TORCH_HOME holds it."
            ) from error
        self._distance = distance.to(self.device)

    @torch.inference_mode()
    def __call__(self, a, b, region=None):
        """Distances of N pairs, two N x H x W x 3 uint8 arrays: a float64 array of N, 0 where identical.

        Args:
            a: the pictures.
            b: those to compare them with.
            region: N x H x W bool, where the distances are averaged; None for the whole pictures.

        Raises:
            ValueError: the two are not batches of 8-bit pictures of one size.
        """
        a, b = (self._to_tensor(pictures) for pictures in _check_pair(a, b, 4))
        self._distance.spatial = region is not None
        distances = self._distance(a, b).double().cpu().numpy()
        if region is None:
            return distances.reshape(-1)
        return (distances[:, 0] * region).sum((1, 2)) / region.sum((1, 2))

    @torch.inference_mode()
    def features(self, pictures):
        """What the network's last layer sees in N x H x W x 3 uint8 pictures, averaged over places: N x C."""
        maps = self._distance.net(self._distance.scaling_layer(self._to_tensor(pictures)))
        return maps[-1].mean((2, 3)).double().cpu().numpy()

    def _to_tensor(self, pictures):
        return as_images(torch.tensor(pictures, device=self.device))


class ConfusionMatrix:
    """How often each true class was read as each class, summed over pictures.

    Attributes:
        counts: 19 x 19 int64 pixels, a row per true class and a column per predicted one.
    """

    def __init__(self):
        self.counts = np.zeros((NUM_CLASSES, NUM_CLASSES), dtype=np.int64)

    def update(self, predicted, truth, region=None):
        """Count the pixels of one picture or of many.

        Args:
            predicted: class ids 0 to 18, an integer array or tensor of any shape.
            truth: true class ids in the same shape; pixels of any other id (255: not labelled) do not count.
            region: bool in the same shape, true where pixels count; None for everywhere.

        Raises:
            ValueError: the shapes differ, or `predicted` holds something else than class ids.
        """
        predicted, truth = _to_numpy(predicted), _to_numpy(truth)
        counted = (truth >= 0) & (truth < NUM_CLASSES)
        if region is not None:
            region = _to_numpy(region).astype(bool)
        if predicted.shape != truth.shape or (region is not None and region.shape != truth.shape):
            raise ValueError("The predicted layout, the true one and the region must have one size.")
        if region is not None:
            counted &= region
        predicted, truth = predicted[counted].astype(np.int64), truth[counted].astype(np.int64)
        if predicted.size and (predicted.min() < 0 or predicted.max() >= NUM_CLASSES):
            raise ValueError(f"The predicted layout holds a number outside 0 to {NUM_CLASSES - 1}.")
        pairs = np.bincount(truth * NUM_CLASSES + predicted, minlength=NUM_CLASSES**2)
        self.counts += pairs.reshape(self.counts.shape)

    @property
    def accuracy(self):
        """The share of pixels read correctly, 0 to 1; NaN where none was counted."""
        total = self.counts.sum()
        return float(np.trace(self.counts) / total) if total else math.nan

    @property
    def iou(self):
        """Intersection over union by class: 19 floats, NaN for a class neither true nor predicted."""
        hits = np.diag(self.counts)
        union = self.counts.sum(0) + self.counts.sum(1) - hits
        return np.where(union > 0, hits / np.maximum(union, 1), np.nan)

    @property
    def mean_iou(self):
        """The mean of `iou` over the classes present in the truth; NaN where no pixel was counted."""
        present = self.counts.sum(1) > 0
        return float(self.iou[present].mean()) if present.any() else math.nan


def mean_iou(counts, classes=None):
    """`ConfusionMatrix.mean_iou` of many pictures taken together; `counts` is N x 19 x 19.

    The mean is over `classes`, a list of ids, where they are given, whether or not they are present.
    """
    matrix = ConfusionMatrix()
    matrix.counts = counts.sum(0)
    return matrix.mean_iou if classes is None else float(np.nanmean(matrix.iou[classes]))


def kernel_distance(a, b):
    """Squared maximum mean discrepancy of two sets of features, the KID (Binkowski et al. 2018).

    The cubic kernel (x y / d + 1)^3 and the unbiased estimator; a[i] and b[i] may be of the same picture,
    since such pairs are left out (Gretton et al. 2012, equation 4).

    Args:
        a: N x d features.
        b: N x d features.

    Returns:
        A float, near 0 where both sets come from one distribution, exactly 0 where they are identical.
    """
    aa, bb, ab = ((x @ y.T / a.shape[1] + 1) ** 3 for x, y in ((a, a), (b, b), (a, b)))
    total = aa + bb - ab - ab.T
    np.fill_diagonal(total, 0)
    return float(total.sum() / (len(a) * (len(a) - 1)))


def layout_agreement(predicted, truth, region=None):
    """A new `ConfusionMatrix` of layouts and the true ones; arguments and errors are those of `update`."""
    matrix = ConfusionMatrix()
    matrix.update(predicted, truth, region)
    return matrix


def _check_pair(a, b, dimensions):
    """The two as arrays, if they are 8-bit RGB pictures (3 dimensions) or batches of them (4) of one size."""
    a, b = np.asarray(a), np.asarray(b)
    for pictures in (a, b):
        if pictures.dtype != np.uint8 or pictures.ndim != dimensions or pictures.shape[-1] != 3:
            raise ValueError("Pictures to be compared must be 8-bit RGB arrays, height x width x 3.")
    if a.shape != b.shape:
        raise ValueError(f"Pictures to be compared must have one size, not {a.shape} and {b.shape}.")
    return a, b


def _to_numpy(values):
    return values.cpu().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)
