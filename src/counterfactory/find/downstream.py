"""What dropping latents costs a classifier that is trained on the codes."""

import warnings
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Shaped

from counterfactory.errors import CounterfactoryError, unknown
from counterfactory.find.variable_findings import SUBSETS, VariableFindings, members
from counterfactory.metrics import mean_interval
from counterfactory.metrics.boosting import boost
from counterfactory.metrics.tables import split_table
from counterfactory.results import Report

CLASSIFIERS = ("logistic", "boosting")


def downstream(
    found: VariableFindings,
    y: Shaped[np.ndarray, "n *f"],
    kind: str = "logistic",
    *,
    representation: str = "mean",
    subsets: Sequence[str] = tuple(SUBSETS),
    train_frac: float = 2 / 3,
    seed: int = 0,
) -> Report:
    """Test accuracy of classifiers that see all latents, some kinds of them, or nothing.

    Logistic regression chooses the strength of its penalty by 5-fold cross-validation from 10 values; boosting grows
    100 trees of depth 3 a class. The split is the same for every subset. The codes are taken as they are, as in the
    paper: a classifier that first standardises them makes the tiny means of passive latents as large as the others.

    Args:
        found: from `active_variables`.
        y: categories, one row a picture that was given there, one column a factor.
        kind: one of `CLASSIFIERS`.
        representation: "mean" or "sampled".
        subsets: names from `SUBSETS`; those without latents are left out.
        train_frac: share of the pictures to train on.
        seed: of the split, of the classifiers and of the random guesses.

    Returns:
        One row a subset: `accuracy`, the mean over factors, with an interval over test pictures, and `worst factor`.
        The control guesses uniformly.

    Raises:
        CounterfactoryError: an unknown name, another number of rows, or codes that are not one a picture.
    """
    for what, name, allowed in (
        ("classifier", kind, CLASSIFIERS),
        ("representation", representation, found.representations),
        *(("subset of the latents", subset, SUBSETS) for subset in subsets),
    ):
        if name not in allowed:
            raise unknown(what, name, allowed)
    codes = found.representations[representation].codes
    if len(y) != found.given or len(codes) != len(found.examples):
        raise CounterfactoryError(
            "codes and categories do not fit together",
            given=f"{len(y)} rows of categories, {found.given} pictures, {len(codes)} codes of {len(found.examples)}",
            expected=f"{found.given} rows, and one code a picture",
            hint="on a grid of latents, find them with per_site=True",
        )
    factors = np.asarray(y)[found.examples].reshape(len(codes), -1)
    rows = []
    for subset, latents in members(found.kinds).items():
        if subset in subsets and len(latents):
            part = codes[:, latents]
            right = np.stack([_right(part, factor, kind, train_frac, seed) for factor in factors.T], 1)
            rows.append({"latents": subset, "how many": len(latents)} | _accuracy(right))
    return Report(
        f"Accuracy of {kind} classifiers on {representation} codes",
        rows,
        controls=[{"latents": "random guess", "how many": 0} | _accuracy(_guessed(factors, train_frac, seed))],
    )


def _accuracy(right: Bool[np.ndarray, "m f"]) -> dict[str, object]:
    worst = right.mean(0).argmin()
    return {"accuracy": mean_interval(right.mean(1)), "worst factor": mean_interval(right[:, worst])}


def _right(
    codes: Float[np.ndarray, "n l"], factor: Shaped[np.ndarray, " n"], kind: str, train_frac: float, seed: int
) -> Bool[np.ndarray, " m"]:
    """Which test points a classifier gets right."""
    cut = split_table(codes, factor[:, None], kinds=("categorical",), train_frac=train_frac, seed=seed)
    y, true = cut.factors[:, 0], cut.test_factors[:, 0]
    if kind == "boosting":
        return boost(cut.codes, y, cut.test_codes, categorical=True, seed=seed).test == true
    return _logistic(cut.codes, y, cut.test_codes, seed) == true


def _logistic(
    x: Float[np.ndarray, "n l"], y: Float[np.ndarray, " n"], x_test: Float[np.ndarray, "m l"], seed: int
) -> Float[np.ndarray, " m"]:
    """Predictions for the test points."""
    if (y == y[0]).all():
        return np.full(len(x_test), y[0])
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, StratifiedKFold

    rarest = int(np.unique(y, return_counts=True)[1].min())
    cut = StratifiedKFold(max(2, min(5, rarest)), shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a fit that is stopped early is a worse candidate, and no error
        return GridSearchCV(LogisticRegression(), {"C": np.logspace(-4, 4, 10)}, cv=cut).fit(x, y).predict(x_test)


def _guessed(factors: Shaped[np.ndarray, "n f"], train_frac: float, seed: int) -> Bool[np.ndarray, "m f"]:
    """Which test points uniform guesses get right."""
    rng, right = np.random.default_rng(seed), []
    for factor in factors.T:
        cut = split_table(factor[:, None], factor[:, None], kinds=("categorical",), train_frac=train_frac, seed=seed)
        true = cut.test_factors[:, 0]
        right.append(rng.choice(np.unique(factor), len(true)) == true)
    return np.stack(right, 1)
