"""Sets of points that agree in one factor, drawn from a table in place of a generator of pictures.

The FactorVAE and BetaVAE scores ask for a million encoded pictures, 64 at a time, that share the value of one
factor and are random in the others. When the codes of a table of points are known, the sets are gathered from it:
points with that value, with replacement. Where the factors of the table depend on each other, the others are not
random; say so.
"""

import warnings

import numpy as np
from jaxtyping import Int

from counterfactory.metrics.information import factor_dependence

_DEPENDENT = 0.05


class Agreeing:
    """Points by the value of each factor.

    Attributes:
        dependence: largest normalised mutual information of two factors.
    """

    def __init__(self, ids: Int[np.ndarray, "n f"]) -> None:
        self.ids = ids
        self.order = [np.argsort(column, kind="stable") for column in ids.T]
        self.dependence = factor_dependence(ids)
        if self.dependence > _DEPENDENT:
            warnings.warn(
                f"the factors depend on each other (normalised mutual information {self.dependence:.2f}): "
                "sets that agree in one factor agree partly in others",
                stacklevel=3,
            )

    def with_values_of(
        self, points: Int[np.ndarray, " v"], factor: int, size: int, rng: np.random.Generator
    ) -> Int[np.ndarray, "v s"]:
        """For each given point, `size` points that have its value of a factor."""
        value = self.ids[points, factor]
        count = np.bincount(self.ids[:, factor])
        start = np.cumsum(count) - count
        place = (rng.random((len(points), size)) * count[value, None]).astype(np.intp)
        return self.order[factor].take(start[value, None] + place)
