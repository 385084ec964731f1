"""How much each code column helps an estimator to predict a factor: the matrix R behind DCI.

Scores differ between estimators by up to 0.2, so the estimator is always named in the result. Columns of R sum to one.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from counterfactory.errors import unknown
from counterfactory.metrics.boosting import boost
from counterfactory.metrics.tables import scaling


class Fit(NamedTuple):
    """One factor's estimator: importance of the codes, predictions on both sides, and the estimator's name."""

    importance: Float[np.ndarray, " l"]
    train: Float[np.ndarray, " n"]
    test: Float[np.ndarray, " m"]
    name: str


def _trees(model: Any, x: np.ndarray, y: np.ndarray, x_test: np.ndarray) -> Fit:
    model.fit(x, y)
    return Fit(_normal(model.feature_importances_), model.predict(x), model.predict(x_test), repr(model))


def _gradient_boosting(x: np.ndarray, y: np.ndarray, x_test: np.ndarray, categorical: bool, seed: int) -> Fit:
    """The reference: the library's defaults, 100 trees a class, depth 3, learning rate 0.1."""
    from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor

    cls = GradientBoostingClassifier if categorical else GradientBoostingRegressor
    return _trees(cls(random_state=seed), x, y, x_test)


def _binned_boosting(x: np.ndarray, y: np.ndarray, x_test: np.ndarray, categorical: bool, seed: int) -> Fit:
    """The reference's trees on codes cut into at most 1024 bins (`boosting`)."""
    found = boost(x, y, x_test, categorical=categorical, seed=seed)
    return Fit(_normal(found.gain), found.train, found.test, f"BinnedBoosting(random_state={seed})")


def _random_forest(x: np.ndarray, y: np.ndarray, x_test: np.ndarray, categorical: bool, seed: int) -> Fit:
    """Categories as Tripod has it (100 trees, entropy, depth 10), numbers as XFactors has it (20 trees, depth 20)."""
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    if categorical:
        return _trees(RandomForestClassifier(100, criterion="entropy", max_depth=10, random_state=seed), x, y, x_test)
    return _trees(RandomForestRegressor(20, max_depth=20, random_state=seed), x, y, x_test)


def _lasso(x: np.ndarray, y: np.ndarray, x_test: np.ndarray, categorical: bool, seed: int) -> Fit:
    """Linear, as in Eastwood and Williams 2018: |weights| on standardised codes; categories as one-hot targets."""
    from sklearn.linear_model import Lasso

    centre, scale = scaling(x)
    values, ids = np.unique(y, return_inverse=True)
    target = np.eye(len(values))[ids] if categorical else y[:, None]
    middle, width = target.mean(0), target.std(0)
    model = Lasso(alpha=0.02, random_state=seed).fit((x - centre) / scale, (target - middle) / width)
    weights = np.reshape(model.coef_, (target.shape[1], -1))

    def predict(points: np.ndarray) -> np.ndarray:
        raw = (points - centre) / scale @ weights.T * width + middle
        return values[raw.argmax(1)] if categorical else raw[:, 0]

    return Fit(_normal(np.abs(weights).sum(0)), predict(x), predict(x_test), repr(model))


def _normal(importance: Float[np.ndarray, " l"]) -> Float[np.ndarray, " l"]:
    importance = np.abs(importance)
    total = importance.sum()
    return importance / total if total > 0 else importance


ESTIMATORS: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray, bool, int], Fit]] = {
    "gradient_boosting": _gradient_boosting,
    "binned_boosting": _binned_boosting,
    "random_forest": _random_forest,
    "lasso": _lasso,
}


def fit_importance(
    codes: Float[np.ndarray, "n l"],
    factor: Float[np.ndarray, " n"],
    test_codes: Float[np.ndarray, "m l"],
    *,
    categorical: bool,
    estimator: str = "gradient_boosting",
    seed: int = 0,
) -> Fit:
    """Fit one factor from all codes.

    Raises:
        CounterfactoryError: an unknown estimator.
    """
    if estimator not in ESTIMATORS:
        raise unknown("estimator", estimator, ESTIMATORS)
    return ESTIMATORS[estimator](codes, factor, test_codes, categorical, seed)
