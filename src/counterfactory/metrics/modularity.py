"""Modularity: does a code speak of one factor only? Explicitness: can a factor be read off by a linear classifier?

Ridgeway and Mozer, "Learning deep disentangled embeddings with the F-statistic loss", NeurIPS 2018, as
disentanglement_lib computes it. With M_lj = I(bin(z_l); s_j) and F factors:

    modularity   = mean over l of 1 - sum_{j not best} M_lj² / ((max_j M_lj)² (F - 1)),     0 for a dead code
    explicitness = mean over factors of the one-against-rest area under the ROC curve, averaged over the factor's
    values,
                   of a logistic regression on standardised codes, on test points (1/2 is chance)

Dead codes pull modularity down, so the mean over live codes is given beside it. With one factor modularity is 1.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped

from counterfactory.errors import CounterfactoryError
from counterfactory.metrics.information import code_ids, factor_ids, mutual_information
from counterfactory.metrics.tables import Groups, category_ids, check_table, factor_kinds, scaling, split_table


@dataclass(frozen=True)
class Modularity:
    """Modularity, from 0 to 1.

    Attributes:
        value: mean over all codes.
        live: mean over the codes that tell of some factor; 0 if there are none.
        per_code: each code's.
        information: mutual information in nats, codes (or blocks) by factors.
    """

    value: float
    live: float
    per_code: Float[np.ndarray, " l"]
    information: Float[np.ndarray, "l f"]


def modularity(
    codes: Shaped[np.ndarray, "n l"],
    factors: Shaped[np.ndarray, "n f"],
    *,
    factor_types: str | Sequence[str] | None = None,
    groups: Groups | None = None,
    bins: int = 20,
) -> Modularity:
    """Modularity of a code table; arguments as for `mig`."""
    z, s = check_table(codes, factors)
    ids = factor_ids(s, factor_kinds(s, factor_types), bins)
    information = mutual_information(code_ids(z, groups, bins), ids)
    per_code = per_code_modularity(information)
    live = information.max(1) > 0
    return Modularity(
        float(per_code.mean()), float(per_code[live].mean()) if live.any() else 0.0, per_code, information
    )


def per_code_modularity(information: Float[np.ndarray, "l f"]) -> Float[np.ndarray, " l"]:
    """1 - delta for every code.

    Example:
        >>> per_code_modularity(np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5], [0.0, 0.0]])).tolist()
        [1.0, 1.0, 0.0, 0.0]
    """
    if information.shape[1] == 1:
        return np.ones(len(information))
    squares = np.square(information)
    best = squares.max(1)
    spare = np.divide(squares.sum(1) - best, best * (squares.shape[1] - 1), out=np.ones(len(best)), where=best > 0)
    return 1 - spare


@dataclass(frozen=True)
class Explicitness:
    """Explicitness, from 1/2 (chance) to 1.

    Attributes:
        value: mean area on test points.
        train: the same on training points.
        per_factor: each factor's; nan for one that never varies.
        influence: what each test point adds to the value, to first order: their mean is the value, and its bootstrap
            interval is that of the value.
        estimator: what was fitted.
    """

    value: float
    train: float
    per_factor: Float[np.ndarray, " f"]
    influence: Float[np.ndarray, " m"]
    estimator: str

    @property
    def rescaled(self) -> float:
        """2 value - 1: from 0 to 1, as in the paper."""
        return 2 * self.value - 1


def explicitness(
    codes: Shaped[np.ndarray, "n l"],
    factors: Shaped[np.ndarray, "n f"],
    *,
    train_frac: float = 2 / 3,
    seed: int = 0,
) -> Explicitness:
    """Explicitness of a code table. Factors are read as categories, and values without test points are skipped.

    Raises:
        CounterfactoryError: tables that do not fit together; a factor with a value for every few points, which is no
            category; no factor with two values on both sides.
    """
    from sklearn.linear_model import LogisticRegression

    table = split_table(codes, factors, kinds=["categorical"] * factors.shape[1], train_frac=train_frac, seed=seed)
    centre, scale = scaling(table.codes)
    x, x_test = (table.codes - centre) / scale, (table.test_codes - centre) / scale
    per_factor, train, influence = np.full(factors.shape[1], np.nan), [], []
    model = LogisticRegression(random_state=seed)
    for j, (s, s_test) in enumerate(zip(table.factors.T, table.test_factors.T, strict=True)):
        values = np.unique(s)
        if len(values) > max(20, len(factors) / 20):
            raise CounterfactoryError(
                f"factor {j} is not a category",
                given=f"{len(values)} values in {len(s)} points",
                expected="at most one value for every 20 points",
                hint="bin the factor first, or use a probe, which takes continuous factors",
            )
        if len(values) < 2 or len(np.unique(s_test)) < 2:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the reference, too, stops after 100 iterations
            model.fit(x, s)
        area, points = macro_area(model.predict_proba(x_test), np.searchsorted(values, s_test))
        per_factor[j] = area
        influence.append(points)
        train.append(macro_area(model.predict_proba(x), category_ids(s))[0])
    if not train:
        raise CounterfactoryError(
            "no factor varies",
            given=f"{factors.shape[1]} factors",
            expected="two values on both sides of the split",
            hint="check the columns",
        )
    value = float(np.nanmean(per_factor))
    return Explicitness(value, float(np.mean(train)), per_factor, np.mean(influence, axis=0), repr(model))


def macro_area(score: Float[np.ndarray, "n k"], ids: Shaped[np.ndarray, " n"]) -> tuple[float, Float[np.ndarray, " n"]]:
    """Mean one-against-rest area under the ROC curve over the classes present, and every point's part in it.

    The area is the share of (positive, negative) pairs in the right order. A point's part is its share of won pairs,
    weighted by how rare its side is (DeLong's placements), so that the parts' mean is the area.
    """
    from scipy.stats import rankdata

    areas, parts = [], []
    for c in np.unique(ids):
        positive = ids == c
        ranks, own = rankdata(score[:, c]), np.empty(len(ids))
        ups, downs = int(positive.sum()), int((~positive).sum())
        own[positive] = (ranks[positive] - rankdata(score[positive, c])) / downs
        own[~positive] = 1 - (ranks[~positive] - rankdata(score[~positive, c])) / ups
        area = own[positive].mean()
        share = np.where(positive, ups, downs) / len(ids)
        areas.append(area)
        parts.append(area + (own - area) / share)
    return float(np.mean(areas)), np.mean(parts, axis=0)
