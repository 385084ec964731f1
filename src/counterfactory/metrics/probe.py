"""Probes: can a factor be read off the codes, by a line or by a small network, and how much of that is the probe's
own work?

Linear: multinomial logistic regression with the strength of its L2 penalty chosen by 5-fold cross-validation from
10 values (categories), ridge regression likewise (continuous factors). MLP: one hidden layer of 256 rectified
units, Adam at 1e-3, stopped early on a tenth of the training points, the best of 3 starts. Codes are standardised
on the training points.

A score by itself says little (Hewitt and Liang 2019), so each comes with what always guessing the majority gets,
with what the same probe gets when the training labels are shuffled (selectivity is the difference), and with a
curve over sample sizes.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

from counterfactory.errors import CounterfactoryError, unknown
from counterfactory.metrics.tables import Groups, as_groups, factor_kinds, scaling, split_table

PROBES = ("linear", "mlp")
_STRENGTHS = np.logspace(-4, 4, 10)


@dataclass(frozen=True)
class Probe:
    """How well one factor is read off the codes, on test points.

    Attributes:
        value: accuracy for categories, R² for a continuous factor (below 0 where the mean would do better).
        balanced_accuracy: mean over the categories present of the share that is right; None for a continuous factor.
        macro_f1: mean over the categories present of 2 tp / (2 tp + fp + fn); None for a continuous factor.
        baseline: what always guessing the majority (the mean) gets.
        control: what the probe gets that was trained on shuffled labels; None if it was not asked for.
        curve: (training points, value) for growing samples.
        predicted, true: of the test points.
        kind: "categorical" or "continuous".
        estimator: what was fitted.
    """

    value: float
    balanced_accuracy: float | None
    macro_f1: float | None
    baseline: float
    control: float | None
    curve: tuple[tuple[int, float], ...]
    predicted: Float[np.ndarray, " m"]
    true: Float[np.ndarray, " m"]
    kind: str
    estimator: str

    @property
    def selectivity(self) -> float | None:
        """value - control: what the codes add to the probe's own power."""
        return None if self.control is None else self.value - self.control


def probe(
    codes: Shaped[np.ndarray, "n l"],
    factor: Shaped[np.ndarray, " n"],
    *,
    factor_type: str | None = None,
    kind: str = "linear",
    groups: Groups | None = None,
    sizes: tuple[int, ...] = (10, 100, 1_000, 10_000),
    control: bool = True,
    train_frac: float = 2 / 3,
    seed: int = 0,
) -> Probe:
    """Probe the codes for one factor.

    Args:
        codes: [n, l].
        factor: [n].
        factor_type: "categorical" or "continuous"; by default whole numbers are categories.
        kind: one of `PROBES`.
        groups: only the columns in these blocks are used.
        sizes: of the curve; those above the number of training points are left out, () for no curve.
        control: also train on shuffled labels.
        train_frac: share of the points that the probe is fitted on.
        seed: of the split, the shuffle and the probe.

    Raises:
        CounterfactoryError: tables that do not fit together, an unknown kind, or a factor that never varies.
    """
    if kind not in PROBES:
        raise unknown("kind of probe", kind, PROBES)
    factors = factor[:, None]
    kinds = factor_kinds(factors, factor_type)
    table = split_table(codes, factors, kinds=kinds, train_frac=train_frac, seed=seed)
    columns = sorted(i for block in as_groups(groups, codes.shape[1]) for i in block)
    x, x_test = table.codes[:, columns], table.test_codes[:, columns]
    y, y_test = table.factors[:, 0], table.test_factors[:, 0]
    if (y == y[0]).all():
        raise CounterfactoryError(
            "the factor never varies",
            given=f"{y[0]:g} in all points",
            expected="at least two values",
            hint="leave it out",
        )
    centre, scale = scaling(x)
    x, x_test = (x - centre) / scale, (x_test - centre) / scale
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(y))
    make = {"linear": _linear, "mlp": _mlp}[kind]
    categorical = kinds[0] == "categorical"

    def fit(rows: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, str]:
        return _fitted(make, x[rows], labels[rows], x_test, categorical, seed)

    predicted, name = fit(order, y)
    shuffled = fit(order, rng.permutation(y))[0] if control else None
    curve = tuple((m, score(fit(order[:m], y)[0], y_test, categorical)) for m in sizes if m < len(y))
    values, counts = np.unique(y, return_counts=True)
    guess = np.full(len(y_test), values[counts.argmax()] if categorical else y.mean())
    value = score(predicted, y_test, categorical)
    return Probe(
        value,
        balanced_accuracy(predicted, y_test) if categorical else None,
        macro_f1(predicted, y_test) if categorical else None,
        score(guess, y_test, categorical),
        None if shuffled is None else score(shuffled, y_test, categorical),
        (*curve, (len(y), value)),
        predicted,
        y_test,
        kinds[0],
        name,
    )


def score(predicted: Float[np.ndarray, " m"], true: Float[np.ndarray, " m"], categorical: bool) -> float:
    """Accuracy, or R² (0 where the test points do not vary)."""
    if categorical:
        return float((predicted == true).mean())
    total = np.square(true - true.mean()).sum()
    return float(1 - np.square(predicted - true).sum() / total) if total > 0 else 0.0


def balanced_accuracy(predicted: Float[np.ndarray, " m"], true: Float[np.ndarray, " m"]) -> float:
    """Mean over the true categories of the share that is right."""
    return float(np.mean([(predicted[true == c] == c).mean() for c in np.unique(true)]))


def macro_f1(predicted: Float[np.ndarray, " m"], true: Float[np.ndarray, " m"]) -> float:
    """Mean over the categories in either of 2 tp / (2 tp + fp + fn)."""
    values = np.unique(np.concatenate([predicted, true]))
    both = [2 * ((predicted == c) & (true == c)).sum() / ((predicted == c).sum() + (true == c).sum()) for c in values]
    return float(np.mean(both))


def _fitted(
    make: Callable[..., Any], x: np.ndarray, y: np.ndarray, x_test: np.ndarray, categorical: bool, seed: int
) -> tuple[np.ndarray, str]:
    """Predictions for the test points; a sample with a single value predicts that value."""
    if (y == y[0]).all():
        return np.full(len(x_test), y[0]), "constant"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # stopping early is part of the protocol
        return make(x, y, x_test, categorical, seed)


def _linear(x: np.ndarray, y: np.ndarray, x_test: np.ndarray, categorical: bool, seed: int) -> tuple[np.ndarray, str]:
    from sklearn.linear_model import LogisticRegression, LogisticRegressionCV, Ridge, RidgeCV
    from sklearn.model_selection import KFold, StratifiedKFold

    rarest = int(np.unique(y, return_counts=True)[1].min()) if categorical else len(y)
    folds = min(5, rarest)
    if folds < 2:
        model = (LogisticRegression if categorical else Ridge)(random_state=seed).fit(x, y)
        return model.predict(x_test), repr(model)
    if categorical:
        cut = StratifiedKFold(folds, shuffle=True, random_state=seed)
        model = LogisticRegressionCV(Cs=_STRENGTHS, cv=cut, random_state=seed).fit(
            x, y
        )  # each strength starts at the last
        return model.predict(x_test), f"LogisticRegression(C={model.C_[0]:.3g}), cross-validated"
    model = RidgeCV(_STRENGTHS, cv=KFold(folds, shuffle=True, random_state=seed)).fit(x, y)
    return model.predict(x_test), f"Ridge(alpha={model.alpha_:.3g}), cross-validated"


def _mlp(x: np.ndarray, y: np.ndarray, x_test: np.ndarray, categorical: bool, seed: int) -> tuple[np.ndarray, str]:
    """Early stopping needs points of every category on both sides; smaller samples stop on the training loss."""
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    values, ids, counts = np.unique(y, return_inverse=True, return_counts=True)
    held_out = 0.1 * len(y)
    early = held_out >= len(values) and counts.min() >= 2 if categorical else held_out >= 2
    middle, width = (0.0, 1.0) if categorical else (y.mean(), y.std())
    target = ids if categorical else (y - middle) / width
    best: Any = None
    for start in range(3):
        model = (MLPClassifier if categorical else MLPRegressor)(
            hidden_layer_sizes=(256,), learning_rate_init=1e-3, early_stopping=early, random_state=seed + start
        ).fit(x, target)
        quality = model.best_validation_score_ if early else -model.loss_
        if best is None or quality > best[0]:
            best = (quality, model)
    found = best[1].predict(x_test)
    return (values[found] if categorical else found * width + middle), repr(best[1])
