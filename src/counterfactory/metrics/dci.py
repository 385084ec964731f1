"""Disentanglement, completeness, informativeness.

Eastwood and Williams, "A framework for the quantitative evaluation of disentangled representations", ICLR 2018, as
disentanglement_lib computes it. For each factor j an estimator is fitted on all codes; R_lj is the importance of
code l. With H_F the entropy to base F (number of factors) and H_L to base L (number of codes):

    D_l = 1 - H_F(R_l.  + 1e-11, normalised)     D = sum_l rho_l D_l,    rho_l = sum_j R_lj / sum R
    C_j = 1 - H_L(R_.j  + 1e-11, normalised)     C = sum_j gamma_j C_j,  gamma_j = sum_l R_lj / sum R
    I   = mean over factors of the test accuracy (categories) or of R² cut to [0, 1] (continuous)

Where this goes beyond the reference: continuous factors get a regressor (comparing its predictions with == gives 0);
a factor that never varies is left out with a warning; with one factor D is 1, and with one code C is 1; codes can be
blocks of columns (`groups`), whose importance is the sum of the columns'.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped

from counterfactory.errors import CounterfactoryError
from counterfactory.metrics.importance import fit_importance
from counterfactory.metrics.tables import Groups, as_groups, factor_kinds, split_table


@dataclass(frozen=True)
class DCI:
    """The three scores, each from 0 to 1, and what they are made of.

    Attributes:
        disentanglement, completeness, informativeness: the scores; informativeness on test points.
        informativeness_train: the same on training points.
        importance: R, codes (or blocks) by factors; a factor that never varies has zeros.
        per_code, per_factor: D_l and C_j.
        informative: each factor's test accuracy or cut R²; nan for a factor that never varies.
        predicted: what the estimators say of the test points; nan for a factor that never varies.
        true: what is true of them.
        estimators: the estimators that were fitted, with their settings.
        n_train, n_test, seed: sizes and seed.
    """

    disentanglement: float
    completeness: float
    informativeness: float
    informativeness_train: float
    importance: Float[np.ndarray, "l f"]
    per_code: Float[np.ndarray, " l"]
    per_factor: Float[np.ndarray, " f"]
    informative: Float[np.ndarray, " f"]
    predicted: Float[np.ndarray, "m f"]
    true: Float[np.ndarray, "m f"]
    estimators: tuple[str, ...]
    n_train: int
    n_test: int
    seed: int


def dci(
    codes: Shaped[np.ndarray, "n l"],
    factors: Shaped[np.ndarray, "n f"],
    *,
    factor_types: str | Sequence[str] | None = None,
    estimator: str = "gradient_boosting",
    groups: Groups | None = None,
    train_frac: float = 2 / 3,
    seed: int = 0,
    jobs: int = -1,
) -> DCI:
    """Disentanglement, completeness and informativeness of a code table.

    Args:
        codes: what the model encodes, [n, l].
        factors: what is true, [n, f].
        factor_types: "categorical" or "continuous", one for all or one a factor; by default whole numbers are
            categories.
        estimator: "gradient_boosting" (the reference), "binned_boosting" (fast), "random_forest" or "lasso".
        groups: blocks of code columns that count as one code each; columns in no block are not used.
        train_frac: share of the points that the estimators are fitted on; the reference has 10,000 and 5,000 points.
        seed: of the split and of the estimators.
        jobs: factors fitted at once, as joblib counts (-1: one a core).

    Raises:
        CounterfactoryError: tables that do not fit together, an unknown estimator, or no factor that varies.

    Example:
        >>> factors = np.stack(np.meshgrid(range(3), range(4)), -1).reshape(-1, 2).repeat(20, 0)
        >>> round(dci(factors, factors, estimator="lasso").disentanglement, 3)
        1.0
    """
    from sklearn.utils.parallel import Parallel, delayed

    kinds = factor_kinds(factors, factor_types)
    blocks = as_groups(groups, codes.shape[1])
    table = split_table(codes, factors, kinds=kinds, train_frac=train_frac, seed=seed)
    owner = {column: block for block, columns in enumerate(blocks) for column in columns}
    columns = sorted(owner)
    varying = [j for j in range(factors.shape[1]) if (table.factors[:, j] != table.factors[0, j]).any()]
    if not varying:
        raise CounterfactoryError(
            "no factor varies",
            given=f"{factors.shape[1]} constant factors",
            expected="at least one that varies",
            hint="check the columns",
        )
    if len(varying) < factors.shape[1]:
        constant = sorted(set(range(factors.shape[1])) - set(varying))
        warnings.warn(f"factors {constant} never vary and are left out of DCI", stacklevel=2)
    fits = Parallel(n_jobs=jobs, prefer="threads")(  # the libraries release the lock while they fit
        delayed(fit_importance)(
            table.codes[:, columns],
            table.factors[:, j],
            table.test_codes[:, columns],
            categorical=kinds[j] == "categorical",
            estimator=estimator,
            seed=seed,
        )
        for j in varying
    )
    importance = np.zeros((len(blocks), factors.shape[1]))
    informative, train = np.full((2, factors.shape[1]), np.nan)
    predicted = np.full(table.test_factors.shape, np.nan)
    for j, fit in zip(varying, fits, strict=True):
        np.add.at(importance[:, j], [owner[column] for column in columns], fit.importance)
        informative[j] = quality(fit.test, table.test_factors[:, j], kinds[j])
        train[j] = quality(fit.train, table.factors[:, j], kinds[j])
        predicted[:, j] = fit.test
    used = importance[:, varying]
    per_factor = np.full(factors.shape[1], np.nan)
    per_factor[varying] = per_factor_completeness(used)
    return DCI(
        disentanglement(used),
        completeness(used),
        float(np.nanmean(informative)),
        float(np.nanmean(train)),
        importance,
        per_code_disentanglement(used),
        per_factor,
        informative,
        predicted,
        table.test_factors,
        tuple(dict.fromkeys(fit.name for fit in fits)),
        len(table.codes),
        len(table.test_codes),
        seed,
    )


def quality(predicted: Float[np.ndarray, " m"], true: Float[np.ndarray, " m"], kind: str) -> float:
    """Accuracy for categories; for continuous factors R² cut to [0, 1] (0 where the test points do not vary)."""
    if kind == "categorical":
        return float((predicted == true).mean())
    spread = np.square(true - true.mean()).sum()
    return float(np.clip(1 - np.square(predicted - true).sum() / spread, 0, 1)) if spread > 0 else 0.0


def per_code_disentanglement(importance: Float[np.ndarray, "l f"]) -> Float[np.ndarray, " l"]:
    """D_l; about 0 for a code that no factor uses, and 1 when there is only one factor."""
    if importance.shape[1] == 1:
        return np.ones(len(importance))
    shares = importance + 1e-11
    shares = shares / shares.sum(1, keepdims=True)
    return 1 + (shares * np.log(shares)).sum(1) / np.log(importance.shape[1])


def per_factor_completeness(importance: Float[np.ndarray, "l f"]) -> Float[np.ndarray, " f"]:
    """C_j; 1 when there is only one code."""
    return per_code_disentanglement(importance.T)


def disentanglement(importance: Float[np.ndarray, "l f"]) -> float:
    """D: the mean of D_l, weighted by how much a code is used at all.

    Example:
        >>> round(disentanglement(np.array([[0.9, 0.1], [0.1, 0.9], [0.0, 0.0]])), 7)
        0.5310044
    """
    return float(per_code_disentanglement(importance) @ _share(importance.sum(1)))


def completeness(importance: Float[np.ndarray, "l f"]) -> float:
    """C: the mean of C_j, weighted by how much a factor is found at all.

    Example:
        >>> round(completeness(np.array([[0.9, 0.1], [0.1, 0.9], [0.0, 0.0]])), 7)
        0.7040967
    """
    return disentanglement(importance.T)


def _share(mass: Float[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
    total = mass.sum()
    return mass / total if total > 0 else np.full(len(mass), 1 / len(mass))
