"""Diagonal Gaussians by mean and log-variance: divergences, densities, and the probability of an 8-bit pixel."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

HALF = 1 / 510  # half a grey level of 8 bits


def kl_gaussians(
    mean_q: Float[Tensor, "*b d"],
    log_var_q: Float[Tensor, "*b d"],
    mean_p: Float[Tensor, "*b d"],
    log_var_p: Float[Tensor, "*b d"],
) -> Float[Tensor, "*b d"]:
    """KL( N(mean_q, var_q) || N(mean_p, var_p) ) of every coordinate.

    1/2 [ log var_p - log var_q + (var_q + (mean_q - mean_p)^2) / var_p - 1 ]
    """
    spread = (log_var_q - log_var_p).exp() + (mean_q - mean_p).square() * (-log_var_p).exp()
    return 0.5 * (log_var_p - log_var_q + spread - 1)


def log_gaussian(z: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    """Log density, element by element."""
    return -0.5 * (math.log(2 * math.pi) + log_var + (z - mean).square() * (-log_var).exp())


def log_pixel(x: Tensor, mean: Tensor, sigma: Tensor) -> Tensor:
    """Log probability of the 8-bit grey levels x under a Gaussian, element by element.

    The mass of N(mean, sigma^2) between the neighbouring half levels; all that lies below belongs to 0, above to 1. So
    the probabilities of the 256 levels sum to 1, and likelihoods of models with different losses can be compared.
    """
    low, high = x < HALF, x > 1 - HALF
    t, half = (x - mean) / sigma, HALF / sigma
    # in the lower tail, where log_ndtr is exact: the mass of [t - half, t + half] is that of its mirror image
    upper, lower = torch.special.log_ndtr(half - t.abs()), torch.special.log_ndtr(-half - t.abs())
    inside = upper + torch.log1p(-(lower - upper).exp())
    return torch.where(
        low, torch.special.log_ndtr(t + half), torch.where(high, torch.special.log_ndtr(half - t), inside)
    )
