"""How far from independent the codes are among themselves; no factors are needed.

With C the covariance of the codes (Locatello et al. 2019):

    Gaussian total correlation       1/2 (sum_i log C_ii - log det C)
    Gaussian Wasserstein correlation 2 tr C - 2 tr (diag(C) C)^(1/2)
    averaged mutual information      mean over ordered pairs of the mutual information of 20 equal-width bins
    effective rank                   exp of the entropy of the normalised eigenvalues of C (Roy and Vetterli 2007)

The total correlation does not change when a code is rescaled, so dead codes with tiny variance count in full;
restrict the columns first where that is not wanted. For independent columns chance gives about L (L - 1) / (4 N) of
it, and about 19² / (2 N) of averaged mutual information.
"""

import warnings
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped

from counterfactory.metrics.information import equal_width, mutual_information
from counterfactory.metrics.tables import check_table

_DEAD = 1e-12  # variances below this are left out


@dataclass(frozen=True)
class Unsupervised:
    """Dependence of the codes; 0 is independence for the first three.

    Attributes:
        total_correlation: in nats; infinite when the codes are linearly dependent.
        wasserstein: in squared units of the codes.
        wasserstein_normalised: the same over the sum of the variances.
        averaged_information: in nats; 0 with a single code.
        effective_rank: from 1 to the number of codes.
        used: columns that were used.
    """

    total_correlation: float
    wasserstein: float
    wasserstein_normalised: float
    averaged_information: float
    effective_rank: float
    used: tuple[int, ...]


def unsupervised(codes: Shaped[np.ndarray, "n l"], *, bins: int = 20) -> Unsupervised:
    """All four scores of a code table; columns with a variance below 1e-12 are left out with a warning.

    Raises:
        CounterfactoryError: an empty table, or values that are not finite.
    """
    z, _ = check_table(codes, codes)
    covariance = np.atleast_2d(np.cov(z, rowvar=False, ddof=1)) if len(z) > 1 else np.zeros((z.shape[1],) * 2)
    used = np.flatnonzero(covariance.diagonal() > _DEAD)
    if len(used) < z.shape[1]:
        dead = sorted(set(range(z.shape[1])) - set(used.tolist()))
        warnings.warn(f"codes {dead} do not vary and are left out", stacklevel=2)
    if not len(used):
        return Unsupervised(0.0, 0.0, 0.0, 0.0, 0.0, ())
    covariance = covariance[np.ix_(used, used)]
    distance = gaussian_wasserstein(covariance)
    return Unsupervised(
        gaussian_total_correlation(covariance),
        distance,
        distance / float(covariance.trace()),
        averaged_information(z[:, used], bins),
        effective_rank(covariance),
        tuple(used.tolist()),
    )


def gaussian_total_correlation(covariance: Float[np.ndarray, "l l"]) -> float:
    """1/2 (sum log C_ii - log det C), on the correlation matrix, so that scales do not matter.

    Example:
        >>> round(gaussian_total_correlation(np.array([[1.0, 0.5], [0.5, 1.0]])), 5)
        0.14384
    """
    scale = np.sqrt(covariance.diagonal())
    sign, log = np.linalg.slogdet(covariance / np.outer(scale, scale))
    return max(0.0, -0.5 * float(log)) if sign > 0 else float("inf")


def gaussian_wasserstein(covariance: Float[np.ndarray, "l l"]) -> float:
    """2 tr C - 2 tr (diag(C) C)^(1/2), by the eigenvalues of the symmetric D^(1/2) C D^(1/2).

    Example:
        >>> round(gaussian_wasserstein(np.array([[1.0, 0.5], [0.5, 1.0]])), 5)
        0.1363
    """
    scale = np.sqrt(covariance.diagonal())
    roots = np.sqrt(np.linalg.eigvalsh(covariance * np.outer(scale, scale)).clip(min=0))
    return max(0.0, 2 * float(covariance.trace() - roots.sum()))


def pairwise_information(codes: Float[np.ndarray, "n l"], bins: int = 20) -> Float[np.ndarray, "l l"]:
    """Mutual information of every two different codes, each cut into bins of equal width; 0 on the diagonal."""
    ids = equal_width(codes, bins)
    table = mutual_information(ids, ids)
    np.fill_diagonal(table, 0)
    return table


def averaged_information(codes: Float[np.ndarray, "n l"], bins: int = 20) -> float:
    """Mean mutual information of two different codes."""
    width = codes.shape[1]
    return float(pairwise_information(codes, bins).sum() / (width * width - width)) if width > 1 else 0.0


def effective_rank(covariance: Float[np.ndarray, "l l"]) -> float:
    """exp of the entropy of the normalised eigenvalues."""
    values = np.linalg.eigvalsh(covariance).clip(min=0)
    shares = values[values > 0] / values.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))
