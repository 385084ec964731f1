"""BetaVAE score: can one tell from how two codes differ which factor was held?

Higgins et al., "beta-VAE", ICLR 2017, as disentanglement_lib computes it. One point: a factor j at random, 64 pairs
that agree in it, and the feature mean |z - z'| over the pairs, [l], with label j. A logistic regression (defaults)
is fitted on 10,000 such points; the score is its accuracy on 5,000 fresh ones.

It depends on the scale of the codes (`standardise` removes that), and is 1 as soon as all factors but one are encoded.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from counterfactory.metrics.draws import Agreeing
from counterfactory.metrics.information import factor_ids
from counterfactory.metrics.tables import check_table, factor_kinds, scaling

_BLOCK = 500  # points drawn at once
_CACHED = 50  # points gathered at once; more fall out of the cache


@dataclass(frozen=True)
class BetaVAE:
    """The accuracy, from about 1 / factors (chance) to 1.

    Attributes:
        value: accuracy on the fresh points.
        train: accuracy on the points that were fitted.
        right: which fresh points are right.
        dependence: of the factors on each other, see `draws`.
        estimator: what was fitted.
    """

    value: float
    train: float
    right: Bool[np.ndarray, " v"]
    dependence: float
    estimator: str


def beta_vae(
    codes: Shaped[np.ndarray, "n l"],
    factors: Shaped[np.ndarray, "n f"],
    *,
    factor_types: str | Sequence[str] | None = None,
    standardise: bool = False,
    n_train: int = 10_000,
    n_eval: int = 5_000,
    batch: int = 64,
    seed: int = 0,
) -> BetaVAE:
    """BetaVAE score of a code table.

    Args:
        codes: [n, l].
        factors: [n, f], ideally all combinations or independent draws.
        factor_types: "categorical" or "continuous" (cut into 20 bins), one for all or one a factor.
        standardise: divide every code by its standard deviation first; the reference does not.
        n_train: points that the classifier is fitted on.
        n_eval: points that are scored.
        batch: pairs a point.
        seed: of the draws.

    Raises:
        CounterfactoryError: tables that do not fit together.
    """
    from sklearn.linear_model import LogisticRegression

    z, s = check_table(codes, factors)
    width, sets = s.shape[1], Agreeing(factor_ids(s, factor_kinds(s, factor_types)))
    if standardise:
        z = z / scaling(z)[1]
    rng = np.random.default_rng(seed)

    def draw(n: int) -> tuple[Float[np.ndarray, "v l"], Int[np.ndarray, " v"]]:
        label, feature = rng.integers(width, size=n), np.empty((n, z.shape[1]))
        for j in range(width):
            mine = np.flatnonzero(label == j)
            for part in np.split(mine, range(_BLOCK, len(mine), _BLOCK)):
                one = rng.integers(len(z), size=len(part) * batch)
                two = sets.with_values_of(one, j, 1, rng)[:, 0]
                feature[part] = mean_distance(z, one.reshape(-1, batch), two.reshape(-1, batch))
        return feature, label

    x, y = draw(n_train)
    x_fresh, y_fresh = draw(n_eval)
    if width == 1:  # nothing to tell apart
        return BetaVAE(1.0, 1.0, np.ones(n_eval, bool), sets.dependence, "none")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the reference, too, stops after 100 iterations
        model = LogisticRegression(random_state=seed).fit(x, y)
    right = np.asarray(model.predict(x_fresh) == y_fresh)
    return BetaVAE(float(right.mean()), float(model.score(x, y)), right, sets.dependence, repr(model))


def mean_distance(
    codes: Float[np.ndarray, "n l"], one: Int[np.ndarray, "v b"], two: Int[np.ndarray, "v b"]
) -> Float[np.ndarray, "v l"]:
    """Mean |z - z'| over the pairs of each point; pairs lead, so that sums run along whole rows of memory."""
    found = np.empty((len(one), codes.shape[1]))
    for start in range(0, len(one), _CACHED):
        here = slice(start, start + _CACHED)
        apart = codes.take(one[here].T, axis=0)
        apart -= codes.take(two[here].T, axis=0)
        found[here] = np.abs(apart, out=apart).mean(0)
    return found
