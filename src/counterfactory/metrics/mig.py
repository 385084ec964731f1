"""Mutual information gap: is every factor in one code, and in that code alone?

Chen, Li, Grosse and Duvenaud, "Isolating sources of disentanglement in VAEs", NeurIPS 2018, as disentanglement_lib
computes it. With M_lj = I(bin(z_l); s_j), sorted over codes:

    MIG = mean over j of (M_(1)j - M_(2)j) / H(s_j)

It cannot see whether a code carries several factors. With one code the second largest is 0; a factor that never
varies is left out with a warning. Continuous factors are cut into bins as the codes are.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped

from counterfactory.metrics.information import code_ids, entropies, factor_ids, mutual_information
from counterfactory.metrics.tables import Groups, check_table, factor_kinds


@dataclass(frozen=True)
class MIG:
    """The gap, from 0 to 1.

    Attributes:
        value: the mean gap.
        per_factor: each factor's gap; nan for one that never varies.
        information: mutual information in nats, codes (or blocks) by factors.
        entropy: of the factors, in nats.
    """

    value: float
    per_factor: Float[np.ndarray, " f"]
    information: Float[np.ndarray, "l f"]
    entropy: Float[np.ndarray, " f"]


def mig(
    codes: Shaped[np.ndarray, "n l"],
    factors: Shaped[np.ndarray, "n f"],
    *,
    factor_types: str | Sequence[str] | None = None,
    groups: Groups | None = None,
    bins: int = 20,
) -> MIG:
    """Mutual information gap of a code table.

    Args:
        codes: [n, l].
        factors: [n, f].
        factor_types: "categorical" or "continuous", one for all or one a factor.
        groups: blocks of columns that count as one code, by the joint bins of their first two principal components.
        bins: of equal width, for codes and continuous factors.

    Raises:
        CounterfactoryError: tables that do not fit together.

    Example:
        >>> factors = np.stack(np.meshgrid(range(3), range(4)), -1).reshape(-1, 2)
        >>> mig(factors, factors).value
        1.0
    """
    z, s = check_table(codes, factors)
    ids = factor_ids(s, factor_kinds(s, factor_types), bins)
    information = mutual_information(code_ids(z, groups, bins), ids)
    entropy = entropies(ids)
    if (entropy == 0).any():
        constant = np.flatnonzero(entropy == 0).tolist()
        warnings.warn(f"factors {constant} never vary and are left out of MIG", stacklevel=2)
    gaps = top_gap(information)
    per_factor = np.divide(gaps, entropy, out=np.full(len(gaps), np.nan), where=entropy > 0)
    value = float(np.nanmean(per_factor)) if (entropy > 0).any() else 0.0
    return MIG(value, per_factor, information, entropy)


def top_gap(table: Float[np.ndarray, "*r l f"]) -> Float[np.ndarray, "*r f"]:
    """The largest minus the second largest over codes; the second is 0 when there is only one code."""
    ordered = np.sort(table, axis=-2)
    second = ordered[..., -2, :] if table.shape[-2] > 1 else 0.0
    return np.asarray(ordered[..., -1, :] - second)
