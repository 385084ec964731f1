"""Interventional robustness score: hold one factor, let the others vary; how far can a code be pushed?

Suter, Miladinović, Schölkopf and Bauer, "Robustly disentangled causal mechanisms", ICML 2019, as disentanglement_lib
computes it. With dev_l = max |z_l - mean z_l|, and for each value of factor j the q-quantile of |z_l - group mean|:

    P_lj  = mean over the values of s_j of these quantiles
    IRS_l = max_j (1 - P_lj / dev_l)
    IRS   = mean of IRS_l weighted by dev_l

The weights make it depend on the scale of the codes (`standardise` removes that). It assumes independent factors, all
combinations, and codes without noise. Constant codes are dropped; with no other codes the score is 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from counterfactory.metrics.information import factor_ids
from counterfactory.metrics.tables import check_table, factor_kinds


@dataclass(frozen=True)
class IRS:
    """The score, from 0 to 1.

    Attributes:
        value: the weighted mean.
        per_code: each code's; nan for a constant one.
        parent: the factor that each code is most robust in; -1 for a constant one.
        matrix: 1 - P / dev, codes by factors; nan for a constant code.
        active: codes that vary.
    """

    value: float
    per_code: Float[np.ndarray, " l"]
    parent: Int[np.ndarray, " l"]
    matrix: Float[np.ndarray, "l f"]
    active: Bool[np.ndarray, " l"]


def irs(
    codes: Shaped[np.ndarray, "n l"],
    factors: Shaped[np.ndarray, "n f"],
    *,
    factor_types: str | Sequence[str] | None = None,
    quantile: float = 0.99,
    standardise: bool = False,
) -> IRS:
    """Interventional robustness score of a code table.

    Args:
        codes: [n, l].
        factors: [n, f].
        factor_types: "categorical" or "continuous" (cut into 20 bins), one for all or one a factor.
        quantile: of the deviations in a group; 1 is the paper's version.
        standardise: divide every code by its standard deviation first; the reference does not.

    Raises:
        CounterfactoryError: tables that do not fit together.
    """
    z, s = check_table(codes, factors)
    ids = factor_ids(s, factor_kinds(s, factor_types))
    active = np.ptp(z, axis=0) > 0
    per_code, parent = np.full(z.shape[1], np.nan), np.full(z.shape[1], -1)
    matrix = np.full((z.shape[1], s.shape[1]), np.nan)
    if not active.any():
        return IRS(0.0, per_code, parent, matrix, active)
    live = z[:, active]
    if standardise:
        live = live / live.std(0)
    reach = np.abs(live - live.mean(0)).max(0)
    for j, column in enumerate(ids.T):
        groups = np.split(live[np.argsort(column, kind="stable")], np.cumsum(np.bincount(column))[:-1])
        pushed = [np.quantile(np.abs(g - g.mean(0)), quantile, axis=0) for g in groups if len(g)]
        matrix[active, j] = 1 - np.mean(pushed, axis=0) / reach
    per_code[active], parent[active] = matrix[active].max(1), matrix[active].argmax(1)
    return IRS(float(np.average(per_code[active], weights=reach)), per_code, parent, matrix, active)
