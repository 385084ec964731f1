"""Tests of conditional independence, a whole batch of questions in one call.

A test knows its variables by place and answers with p-values; nan means that the data cannot tell (too few rows, a
singular matrix, an empty table), which is neither dependence nor independence.

    FisherZ          linear, Gaussian: z = sqrt(n - |S| - 3) atanh(r), r the partial correlation of x and y given S
    ChiSquare        discrete: Pearson's statistic or G, summed over the levels of S
    DSeparation      what infinite data would say of a known graph
    CausalLearnTest  any other test of causal-learn, for instance its kernel test
"""

from collections.abc import Sequence
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from counterfactory.causal.graph import CausalGraph
from counterfactory.causal.observed import check_finite
from counterfactory.causal.samples import Samples
from counterfactory.errors import CounterfactoryError, unknown

Data = Samples | Tensor | Shaped[np.ndarray, "..."]
"""One row a unit, [n, d]; samples bring the names of their variables."""

SINGULAR = 1e-10
"""A variable of unit variance with less than this left, once the others are known, is a function of them."""


@runtime_checkable
class IndependenceTest(Protocol):
    """What a search asks: are x and y independent given S?"""

    names: tuple[str, ...]

    def __call__(
        self, x: Int[np.ndarray, " b"], y: Int[np.ndarray, " b"], given: Int[np.ndarray, "b k"]
    ) -> Float[np.ndarray, " b"]:
        """The p-values of b questions, places of variables in and numbers in [0, 1] or nan out."""


class FisherZ:
    """Zero partial correlation; right for linear models with Gaussian noise.

    Args:
        data: [n, d], n > 3 rows, no column constant.
        names: of the columns; by default the samples' own, or x0, x1, ...

    Raises:
        CounterfactoryError: data that is no table of finite numbers, or a constant column.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(500, 3)) @ [[1.0, 1, 0], [0, 1, 1], [0, 0, 1]]  # x0 -> x1 -> x2
        >>> FisherZ(x)(np.array([0, 0]), np.array([1, 2]), np.empty((2, 0), int)).round(2).tolist()
        [0.0, 0.95]
    """

    def __init__(self, data: Data, names: Sequence[str] | None = None) -> None:
        rows, self.names = table(data, names)
        self._set(np.cov(rows.T).reshape((len(self.names),) * 2), len(rows))

    @classmethod
    def from_covariance(
        cls, covariance: Float[np.ndarray, "d d"], n: int, names: Sequence[str] | None = None
    ) -> "FisherZ":
        """The test for a known covariance, as if measured on n rows."""
        test = cls.__new__(cls)
        test.names = _names(len(covariance), names)
        test._set(covariance, n)
        return test

    def _set(self, covariance: np.ndarray, n: int) -> None:
        refuse_constant(np.diag(covariance), self.names)
        deviation = np.sqrt(np.diag(covariance))
        self.correlation = covariance / np.outer(deviation, deviation)
        self.n = n

    def __call__(
        self, x: Int[np.ndarray, " b"], y: Int[np.ndarray, " b"], given: Int[np.ndarray, "b k"]
    ) -> Float[np.ndarray, " b"]:
        """Two-sided p-values. Of the Cholesky factor of (S, x, y), the last row holds what S leaves of y:

        r = L[y, x] / sqrt(L[y, x]^2 + L[y, y]^2).
        """
        freedom = self.n - given.shape[1] - 3
        places = np.column_stack([given, x, y])
        factor, failed = torch.linalg.cholesky_ex(
            torch.from_numpy(self.correlation[places[:, :, None], places[:, None]])
        )
        L = factor.numpy()
        with_x, alone = L[:, -1, -2], L[:, -1, -1]
        left_x, left_y = L[:, -2, -2] ** 2, with_x**2 + alone**2
        known = (failed.numpy() == 0) & (np.minimum(left_x, left_y) > SINGULAR) & (freedom > 0)
        # atanh(r) = asinh(r / sqrt(1 - r^2)), finite for r = 1
        z = np.sqrt(max(freedom, 0)) * np.arcsinh(np.abs(with_x) / np.where(known, alone, 1.0))
        return np.where(known, torch.special.erfc(torch.from_numpy(z / np.sqrt(2))).numpy(), np.nan)


class ChiSquare:
    """Independence of discrete variables, level by level of the given ones.

    Args:
        data: [n, d]; equal numbers are equal levels.
        names: of the columns; by default the samples' own, or x0, x1, ...
        statistic: "pearson", sum (O - E)^2 / E, or "g", 2 sum O log(O / E).

    The degrees of freedom are summed over the levels of S that occur, (rows that occur - 1) (columns that occur - 1).

    Raises:
        CounterfactoryError: data that is no table of finite numbers, or an unknown statistic.
    """

    def __init__(
        self, data: Data, names: Sequence[str] | None = None, statistic: Literal["pearson", "g"] = "pearson"
    ) -> None:
        if statistic not in ("pearson", "g"):
            raise unknown("statistic", statistic, ["pearson", "g"])
        rows, self.names = table(data, names)
        self.codes = [np.unique(column, return_inverse=True)[1] for column in rows.T]
        self.levels = [int(c.max()) + 1 for c in self.codes]
        self.statistic = statistic

    def __call__(
        self, x: Int[np.ndarray, " b"], y: Int[np.ndarray, " b"], given: Int[np.ndarray, "b k"]
    ) -> Float[np.ndarray, " b"]:
        """p-values, one table a question."""
        return np.array([self._one(int(i), int(j), s) for i, j, s in zip(x, y, given, strict=True)], dtype=float)

    def _one(self, i: int, j: int, given: Int[np.ndarray, " k"]) -> float:
        strata = np.zeros(len(self.codes[i]), dtype=np.int64)
        for s in given:  # numbered anew after each variable, so that only levels that occur take space
            strata = np.unique(strata * self.levels[s] + self.codes[s], return_inverse=True)[1]
        shape = int(strata.max()) + 1, self.levels[i], self.levels[j]
        cells = np.ravel_multi_index((strata, self.codes[i], self.codes[j]), shape)
        counts = np.bincount(cells, minlength=int(np.prod(shape))).reshape(shape)
        rows, columns = counts.sum(2, keepdims=True), counts.sum(1, keepdims=True)
        expected = rows * columns / counts.sum((1, 2), keepdims=True)
        freedom = float((((rows > 0).sum(1) - 1) * ((columns > 0).sum(2) - 1)).sum())
        if freedom == 0:
            return np.nan
        # cells without expectation are empty and add nothing; nor do empty ones to G
        if self.statistic == "g":
            seen = counts > 0
            statistic = float(2 * (counts[seen] * np.log(counts[seen] / expected[seen])).sum())
        else:
            seen = expected > 0
            statistic = float(((counts[seen] - expected[seen]) ** 2 / expected[seen]).sum())
        return float(torch.special.gammaincc(*torch.tensor([freedom / 2, statistic / 2], dtype=torch.float64)))


class DSeparation:
    """The answers of a known graph: 1 where S d-separates x and y, 0 where not."""

    def __init__(self, graph: CausalGraph) -> None:
        self.graph, self.names = graph, graph.nodes

    def __call__(
        self, x: Int[np.ndarray, " b"], y: Int[np.ndarray, " b"], given: Int[np.ndarray, "b k"]
    ) -> Float[np.ndarray, " b"]:
        """1 or 0."""
        name = self.names.__getitem__
        asked = zip(x, y, given, strict=True)
        return np.array([self.graph.d_separated(name(i), name(j), [*map(name, s)]) for i, j, s in asked], dtype=float)


class CausalLearnTest:
    """A test of causal-learn: "kci" (kernels; seconds a question at thousands of rows), "fastkci", "rcit" and others.

    Args:
        data: [n, d].
        method: causal-learn's name of the test.
        names: of the columns; by default the samples' own, or x0, x1, ...
        options: further arguments of that test.

    Raises:
        CounterfactoryError: causal-learn is not installed, or data that is no table of finite numbers.
    """

    def __init__(self, data: Data, method: str, names: Sequence[str] | None = None, **options: Any) -> None:
        rows, self.names = table(data, names)
        try:
            from causallearn.utils.cit import CIT
        except ImportError as error:
            raise missing_causal_learn(error) from error
        self.test = CIT(rows, method, **options)

    def __call__(
        self, x: Int[np.ndarray, " b"], y: Int[np.ndarray, " b"], given: Int[np.ndarray, "b k"]
    ) -> Float[np.ndarray, " b"]:
        """p-values, one call of the test a question."""
        return np.array([self.test(i, j, list(s)) for i, j, s in zip(x, y, given, strict=True)], dtype=float)


def table(data: Data, names: Sequence[str] | None = None) -> tuple[Float[np.ndarray, "n d"], tuple[str, ...]]:
    """The rows in float64 and the names of the columns.

    Raises:
        CounterfactoryError: not two dimensions, fewer than two rows, values that are not finite, or another number of
            names than of columns.
    """
    if isinstance(data, Samples):
        names = names or data.names
    values = data.values if isinstance(data, Samples) else data
    rows = values.detach() if isinstance(values, Tensor) else torch.from_numpy(np.ascontiguousarray(values))
    if rows.ndim != 2 or len(rows) < 2 or rows.shape[1] < 1:
        raise CounterfactoryError(
            "the data is no table",
            given=f"shape {tuple(rows.shape)}",
            expected="at least two rows (units) and one column (a variable)",
            hint="one row a unit, one column a variable",
        )
    check_finite("the data", rows)
    return rows.double().cpu().numpy(), _names(rows.shape[1], names)


def refuse_constant(variance: Float[np.ndarray, " d"], names: Sequence[str]) -> None:
    """Raise `CounterfactoryError` when a variance is zero."""
    if not (variance > 0).all():
        raise CounterfactoryError(
            "a variable does not vary",
            given=", ".join(name for name, v in zip(names, variance, strict=True) if not v > 0),
            expected="positive variances",
            hint="leave it out: nothing can be learned about it",
        )


def _names(d: int, names: Sequence[str] | None) -> tuple[str, ...]:
    named = tuple(names) if names is not None else tuple(f"x{i}" for i in range(d))
    if len(named) != d:
        raise CounterfactoryError(
            "the names do not fit the columns", given=f"{len(named)} names", expected=f"{d}", hint="one name a column"
        )
    return named


def missing_causal_learn(error: ImportError) -> CounterfactoryError:
    """The error where causal-learn is needed and not installed."""
    return CounterfactoryError(
        "causal-learn is not installed",
        given=str(error),
        expected="the extra 'causal'",
        hint="pip install 'counterfactory[causal]'",
    )
