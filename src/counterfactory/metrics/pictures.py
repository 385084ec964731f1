"""Distances between pictures: mean absolute difference, peak signal-to-noise ratio, structural similarity.

All take two stacks of pictures in [0, peak] and return one number a picture.
"""

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import correlate1d

from counterfactory.errors import CounterfactoryError

_RADIUS, _SIGMA = 5, 1.5  # the 11 x 11 Gaussian window of Wang et al. 2004


def picture_distance(a: Float[np.ndarray, "n c h w"], b: Float[np.ndarray, "n c h w"]) -> Float[np.ndarray, " n"]:
    """Mean absolute difference of all values of a picture, in the pictures' own unit."""
    return np.abs(a.astype(float) - b).mean((1, 2, 3))


def masked_distance(
    a: Float[np.ndarray, "n c h w"], b: Float[np.ndarray, "n c h w"], mask: Bool[np.ndarray, "n h w"]
) -> Float[np.ndarray, " n"]:
    """Mean absolute difference inside a mask; nan where the mask is empty."""
    inside = (np.abs(a.astype(float) - b).mean(1) * mask).sum((1, 2))
    area = mask.sum((1, 2))
    return np.divide(inside, area, out=np.full(len(area), np.nan), where=area > 0)


def psnr(
    a: Float[np.ndarray, "n c h w"], b: Float[np.ndarray, "n c h w"], *, peak: float = 1.0, ceiling: float = 100.0
) -> Float[np.ndarray, " n"]:
    """Peak signal-to-noise ratio 10 log10(peak² / mean squared error), in dB.

    Equal pictures have an infinite ratio, which no mean survives, so it is cut off at `ceiling`.
    """
    error = np.square(a.astype(float) - b).mean((1, 2, 3)) / peak**2
    return -10 * np.log10(np.maximum(error, 10 ** (-ceiling / 10)))


def ssim(
    a: Float[np.ndarray, "n c h w"], b: Float[np.ndarray, "n c h w"], *, peak: float = 1.0
) -> Float[np.ndarray, " n"]:
    """Structural similarity (Wang, Bovik, Sheikh and Simoncelli 2004), from -1 to 1; 1 for equal pictures.

    With local means, variances and covariance under a Gaussian window (11 x 11, sigma 1.5), C1 = (0.01 peak)²,
    C2 = (0.03 peak)²:

        SSIM = (2 mu_a mu_b + C1)(2 cov + C2) / ((mu_a² + mu_b² + C1)(var_a + var_b + C2))

    averaged over channels and over the pixels whose window lies inside the picture.

    Raises:
        CounterfactoryError: pictures smaller than the window.
    """
    height, width = a.shape[2:]
    if min(height, width) <= 2 * _RADIUS:
        raise CounterfactoryError(
            "the pictures are too small for structural similarity",
            given=f"{height} x {width} pixels",
            expected=f"at least {2 * _RADIUS + 1} pixels a side, the size of the window",
            hint="use psnr or the mean absolute difference",
        )
    a, b = a.astype(float), b.astype(float)
    mean_a, mean_b = _blur(a), _blur(b)
    var_a, var_b = _blur(a * a) - mean_a**2, _blur(b * b) - mean_b**2
    covariance = _blur(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    similar = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    return (similar / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))).mean((1, 2, 3))


def _blur(x: Float[np.ndarray, "n c h w"]) -> Float[np.ndarray, "n c hh ww"]:
    weights = np.exp(-0.5 * (np.arange(-_RADIUS, _RADIUS + 1) / _SIGMA) ** 2)
    weights /= weights.sum()
    inner = slice(_RADIUS, -_RADIUS)
    return correlate1d(correlate1d(x, weights, axis=2), weights, axis=3)[:, :, inner, inner]
