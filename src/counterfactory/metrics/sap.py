"""Separated attribute predictability: how much better the best single code predicts a factor than the second best.

Kumar, Sattigeri and Balakrishnan, "Variational inference of disentangled latent concepts", ICLR 2018, as
disentanglement_lib computes it:

    A_lj = test accuracy of LinearSVC(C=0.01, balanced classes) on code l alone      for categories
    A_lj = cov(z_l, s_j)² / (var z_l var s_j), 0 where var z_l <= 1e-12              for continuous factors
    SAP  = mean over j of (A_(1)j - A_(2)j)

A linear one-against-rest machine on one number cannot single out a middle category, so values are small; that is
the metric.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Shaped

from counterfactory.metrics.mig import top_gap
from counterfactory.metrics.tables import factor_kinds, split_table

_ALIVE = 1e-12


@dataclass(frozen=True)
class SAP:
    """The gap, from 0 to 1.

    Attributes:
        value: the mean gap.
        per_factor: each factor's gap; nan for one that never varies.
        score: A, codes by factors; of a continuous factor the squared correlation on the training points.
        right: which test points each code gets right, [m, l, f]; all False for a continuous factor.
        estimator: what predicts categories.
    """

    value: float
    per_factor: Float[np.ndarray, " f"]
    score: Float[np.ndarray, "l f"]
    right: Bool[np.ndarray, "m l f"]
    estimator: str = "LinearSVC(C=0.01, class_weight='balanced')"


def sap(
    codes: Shaped[np.ndarray, "n l"],
    factors: Shaped[np.ndarray, "n f"],
    *,
    factor_types: str | Sequence[str] | None = None,
    train_frac: float = 2 / 3,
    seed: int = 0,
    jobs: int = -1,
) -> SAP:
    """Separated attribute predictability of a code table.

    Args:
        codes: [n, l].
        factors: [n, f].
        factor_types: "categorical" or "continuous", one for all or one a factor.
        train_frac: share of the points that the classifiers are fitted on.
        seed: of the split.
        jobs: classifiers fitted at once, as joblib counts.

    Raises:
        CounterfactoryError: tables that do not fit together.
    """
    from sklearn.utils.parallel import Parallel, delayed

    kinds = factor_kinds(factors, factor_types)
    table = split_table(codes, factors, kinds=kinds, train_frac=train_frac, seed=seed)
    width, varying = codes.shape[1], (table.factors != table.factors[0]).any(0)
    if not varying.all():
        warnings.warn(f"factors {np.flatnonzero(~varying).tolist()} never vary and are left out of SAP", stacklevel=2)
    score = np.zeros((width, len(kinds)))
    right = np.zeros((len(table.test_codes), width, len(kinds)), bool)
    numbers = np.array([kind == "continuous" for kind in kinds])
    score[:, numbers] = squared_correlation(table.codes, table.factors[:, numbers])
    pairs = [(i, j) for j in np.flatnonzero(varying & ~numbers) for i in range(width)]
    hits = Parallel(n_jobs=jobs, prefer="threads")(
        delayed(_hits)(table.codes[:, i], table.factors[:, j], table.test_codes[:, i], table.test_factors[:, j])
        for i, j in pairs
    )
    for (i, j), hit in zip(pairs, hits, strict=True):
        right[:, i, j], score[i, j] = hit, hit.mean()
    gaps = np.where(varying, top_gap(score), np.nan)
    return SAP(float(np.nanmean(gaps)) if varying.any() else 0.0, gaps, score, right)


def squared_correlation(codes: Float[np.ndarray, "n l"], factors: Float[np.ndarray, "n f"]) -> Float[np.ndarray, "l f"]:
    """cov² / (var var) of every pair, 0 where one of them does not vary."""
    z, s = codes - codes.mean(0), factors - factors.mean(0)
    n = len(z) - 1
    var_z, var_s = np.square(z).sum(0) / n, np.square(s).sum(0) / n
    alive = np.outer(var_z > _ALIVE, var_s > 0)
    return np.divide((z.T @ s / n) ** 2, np.outer(var_z, var_s), out=np.zeros(alive.shape), where=alive)


def _hits(z: np.ndarray, s: np.ndarray, z_test: np.ndarray, s_test: np.ndarray) -> Bool[np.ndarray, " m"]:
    from sklearn.svm import LinearSVC

    model = LinearSVC(C=0.01, class_weight="balanced", dual=False).fit(z[:, None], s)
    return np.asarray(model.predict(z_test[:, None]) == s_test)
