"""Code tables: checks, kinds of factors, and the one split that all metrics share.

A table is two arrays with one row a point: `codes` [n, l] (what a model encodes) and `factors` [n, f] (what is true).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from counterfactory.errors import CounterfactoryError, unknown

KINDS = ("categorical", "continuous")
Groups = Sequence[Sequence[int]]
"""Blocks of code columns that count as one code each."""


def check_table(
    codes: Shaped[np.ndarray, "n l"], factors: Shaped[np.ndarray, "m f"]
) -> tuple[Float[np.ndarray, "n l"], Float[np.ndarray, "m f"]]:
    """Both in float64.

    Raises:
        CounterfactoryError: no rows or columns, different numbers of rows, or values that are not finite.
    """
    if len(codes) != len(factors) or not codes.size or not factors.size:
        raise CounterfactoryError(
            "codes and factors do not fit together",
            given=f"codes {codes.shape}, factors {factors.shape}",
            expected="one row a point in both, at least one column each",
            hint="disentanglement_lib stores the transposes: pass codes.T and factors.T from there",
        )
    for name, table in (("codes", codes), ("factors", factors)):
        bad = ~np.isfinite(table.astype(float))
        if bad.any():
            row, column = np.argwhere(bad)[0]
            raise CounterfactoryError(
                f"the {name} are not all finite",
                given=f"{table[row, column]} in row {row}, column {column}",
                expected="finite numbers",
                hint="drop the points without a value",
            )
    return codes.astype(float), factors.astype(float)


def factor_kinds(factors: Shaped[np.ndarray, "n f"], given: str | Sequence[str] | None = None) -> tuple[str, ...]:
    """One of `KINDS` for each factor: as given, or categorical where all values are whole numbers.

    Raises:
        CounterfactoryError: an unknown kind, or not one for each factor.
    """
    width = factors.shape[1]
    if given is None:
        whole = (np.rint(factors) == factors).all(0)
        return tuple(KINDS[0] if w else KINDS[1] for w in whole)
    kinds = (given,) * width if isinstance(given, str) else tuple(given)
    for kind in kinds:
        if kind not in KINDS:
            raise unknown("kind of factor", kind, KINDS)
    if len(kinds) != width:
        raise CounterfactoryError(
            "not one kind for each factor", given=kinds, expected=f"{width} kinds", hint="one word serves all factors"
        )
    return kinds


def scaling(x: Float[np.ndarray, "n k"]) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, " k"]]:
    """Mean and standard deviation of every column, to standardise with; 1 for a constant column, which becomes 0.

    Constant is told by the range: the rounded variance of equal numbers need not be 0.
    """
    constant = np.ptp(x, axis=0) == 0
    return np.where(constant, x[0], x.mean(0)), np.where(constant, 1.0, x.std(0))


def category_ids(column: Shaped[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """Values as ids 0, 1, 2, ... in the order of the values."""
    return np.unique(column, return_inverse=True)[1].reshape(-1)


def as_groups(groups: Groups | None, width: int) -> tuple[tuple[int, ...], ...]:
    """The blocks of columns; every column by itself when none are given.

    Raises:
        CounterfactoryError: an empty block, a column that does not exist, or one in two blocks.
    """
    if groups is None:
        return tuple((i,) for i in range(width))
    blocks = tuple(tuple(int(i) for i in block) for block in groups)
    used = [i for block in blocks for i in block]
    if not blocks or not all(blocks) or len(set(used)) != len(used) or not all(0 <= i < width for i in used):
        raise CounterfactoryError(
            "the groups are not blocks of code columns",
            given=blocks,
            expected=f"non-empty lists of columns from 0 to {width - 1}, each column at most once",
            hint="for instance [[0, 1], [2, 3]]",
        )
    return blocks


class Split(NamedTuple):
    """A table cut into training and test points."""

    codes: Float[np.ndarray, "n l"]
    factors: Float[np.ndarray, "n f"]
    test_codes: Float[np.ndarray, "m l"]
    test_factors: Float[np.ndarray, "m f"]


def split_table(
    codes: Shaped[np.ndarray, "n l"],
    factors: Shaped[np.ndarray, "n f"],
    *,
    kinds: Sequence[str] | None = None,
    train_frac: float = 2 / 3,
    seed: int = 0,
) -> Split:
    """Training and test points; with the same table and seed, the same ones for every metric.

    No category is left out of the training points: where chance did so, its first test point moves over.

    Raises:
        CounterfactoryError: as `check_table`, or a share that leaves no points on one side.
    """
    z, s = check_table(codes, factors)
    n = len(z)
    size = round(n * train_frac)
    if not 0 < size < n:
        raise CounterfactoryError(
            "no points on one side of the split",
            given=f"train_frac {train_frac:g} of {n} points",
            expected="a share between 0 and 1 that leaves at least one training and one test point",
            hint="2/3 is the usual choice",
        )
    order = np.random.default_rng(seed).permutation(n)
    train = np.zeros(n, bool)
    train[order[:size]] = True
    for j, kind in enumerate(factor_kinds(s, kinds)):
        if kind == "categorical":
            train |= _missing(category_ids(s[:, j]), train)
    return Split(z[train], s[train], z[~train], s[~train])


def _missing(ids: Int[np.ndarray, " n"], train: Bool[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """The first point of every category that has no training point."""
    absent = np.bincount(ids[train], minlength=ids.max() + 1) == 0
    first = np.zeros(len(ids), bool)
    first[np.unique(ids, return_index=True)[1][absent]] = True
    return first
