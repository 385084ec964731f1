"""Bootstrap intervals: how far a score would move, had other units been drawn.

The percentile bootstrap (Efron 1979): draw the n units again with replacement, compute the score, repeat; the
interval is the middle 95% of those scores. Where one unit gives several points (ten questions about one scene, all
cycles of one picture), whole units are drawn (`clusters`), because points of one unit are not independent and an
interval over points would be too narrow.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Shaped

from counterfactory.errors import CounterfactoryError

_BLOCK = 200_000  # resampled points at once; more fall out of the cache


class Interval(NamedTuple):
    """A score, its interval, and the number of units that were drawn anew; the ends are nan for a single unit."""

    value: float
    low: float
    high: float
    n: int


def mean_interval(
    values: Shaped[np.ndarray, " n"],
    *,
    clusters: Shaped[np.ndarray, " n"] | None = None,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> Interval:
    """The mean of one number (or truth value) a point, with its interval.

    Args:
        values: finite, [n].
        clusters: which unit a point belongs to, [n]; by default every point is a unit.
        level: coverage, between 0 and 1.
        resamples: bootstrap draws; 200 will do for a table, 2,000 for a figure in a paper.
        seed: of the draws.

    Raises:
        CounterfactoryError: no values, values that are not finite, or a setting out of range.

    Example:
        >>> mean_interval(np.array([1.0, 1.0, 1.0])).value
        1.0
    """
    return ratio_interval(values, np.ones(len(values)), clusters=clusters, level=level, resamples=resamples, seed=seed)


def ratio_interval(
    numerator: Shaped[np.ndarray, " n"],
    denominator: Shaped[np.ndarray, " n"],
    *,
    clusters: Shaped[np.ndarray, " n"] | None = None,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> Interval:
    """Sum of one quantity over the sum of another, both drawn anew together: stable where single ratios are not.

    Raises:
        CounterfactoryError: as `mean_interval`; and a denominator that sums to zero.
    """
    top, bottom = _checked(numerator, level, resamples), _checked(denominator, level, resamples)
    if clusters is not None:
        _, unit = np.unique(clusters, return_inverse=True)
        top, bottom = np.bincount(unit, top), np.bincount(unit, bottom)
    n, total = len(top), bottom.sum()
    if total == 0:
        raise CounterfactoryError(
            "the denominator sums to zero",
            given=f"{n} units",
            expected="a sum other than 0",
            hint="check that the baseline is not perfect already",
        )
    rng, draws, same = np.random.default_rng(seed), [], bool((bottom == bottom[0]).all())
    for rows in _blocks(resamples, n):
        drawn = rng.integers(n, size=(rows, n))
        below = total if same else bottom.take(drawn).sum(1)
        with np.errstate(invalid="ignore", divide="ignore"):  # a draw may hold only units without denominator
            draws.append(top.take(drawn).sum(1) / below)
    return _interval(float(top.sum() / total), np.concatenate(draws), n, level)


def difference_interval(ours: Shaped[np.ndarray, " n"], theirs: Shaped[np.ndarray, " m"], **options: Any) -> Interval:
    """Mean of `ours - theirs` over the same points, so that what both share cancels; options as `mean_interval`.

    Example:
        >>> difference_interval(np.array([3.0, 5.0, 9.0]), np.array([2.0, 4.0, 8.0]))
        Interval(value=1.0, low=1.0, high=1.0, n=3)
    """
    if len(ours) != len(theirs):
        raise CounterfactoryError(
            "the two sides are not paired",
            given=f"{len(ours)} and {len(theirs)} points",
            expected="the same points on both sides",
            hint="score both on the same units, in the same order",
        )
    return mean_interval(np.asarray(ours, float) - np.asarray(theirs, float), **options)


def statistic_interval(
    statistic: Callable[..., Any],
    *arrays: np.ndarray,
    clusters: Shaped[np.ndarray, " n"] | None = None,
    vectorised: bool = False,
    centred: bool = False,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> Interval:
    """Any statistic of points, with its interval.

    Args:
        statistic: takes the arrays and returns one number.
        arrays: each with one row a point, drawn anew together.
        clusters: which unit a point belongs to, [n].
        vectorised: the statistic takes arrays with a leading axis of resamples, [r, n, ...], and returns [r].
        centred: move the draws so that their mean is the value. For statistics that repeated points push up by
            themselves, such as plug-in mutual information; without it the value can lie outside its interval.
        level, resamples, seed: as in `mean_interval`.

    Raises:
        CounterfactoryError: as `mean_interval`; arrays of different lengths; `vectorised` with clusters of unequal
            size.

    Example:
        >>> x = np.arange(100.0)
        >>> statistic_interval(np.median, x, resamples=200).value
        49.5
    """
    if not arrays or len({len(a) for a in arrays}) != 1 or len(arrays[0]) == 0:
        raise CounterfactoryError(
            "the arrays do not have the same points",
            given=[len(a) for a in arrays],
            expected="at least one array, all with the same number of rows, at least one",
            hint="give one row a point",
        )
    _check_settings(level, resamples)
    n = len(arrays[0])
    unit = np.arange(n) if clusters is None else np.unique(clusters, return_inverse=True)[1]
    order, sizes = np.argsort(unit, kind="stable"), np.bincount(unit)
    units, width = len(sizes), int(sizes[0])
    if vectorised and (sizes != width).any():
        raise CounterfactoryError(
            "a vectorised statistic needs units of equal size",
            given=f"units of {sizes.min()} to {sizes.max()} points",
            expected="the same number of points in every unit",
            hint="leave `vectorised` out",
        )
    rng, draws = np.random.default_rng(seed), []
    if vectorised:
        value = float(np.asarray(statistic(*(a[None] for a in arrays)))[0])
        members = order.reshape(units, width)
        for rows in _blocks(resamples, n):
            drawn = members[rng.integers(units, size=(rows, units))].reshape(rows, n)
            draws.append(np.asarray(statistic(*(a[drawn] for a in arrays)), float))
        return _interval(value, np.concatenate(draws), units, level, centred)
    parts = np.split(order, np.cumsum(sizes)[:-1])
    for _ in range(resamples):
        drawn = np.concatenate([parts[i] for i in rng.integers(units, size=units)])
        draws.append(np.asarray(statistic(*(a[drawn] for a in arrays)), float)[None])
    return _interval(float(statistic(*arrays)), np.concatenate(draws), units, level, centred)


def _interval(value: float, draws: np.ndarray, n: int, level: float, centred: bool = False) -> Interval:
    draws = draws[~np.isnan(draws)]
    if n == 1 or not len(draws):
        return Interval(value, np.nan, np.nan, n)
    if centred:
        draws = draws + (value - draws.mean())
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high), n)


def _blocks(resamples: int, n: int) -> list[int]:
    rows = max(1, _BLOCK // n)
    return [min(rows, resamples - start) for start in range(0, resamples, rows)]


def _checked(values: np.ndarray, level: float, resamples: int) -> np.ndarray:
    _check_settings(level, resamples)
    values = np.asarray(values, float)
    if len(values) == 0 or not np.isfinite(values).all():
        raise CounterfactoryError(
            "no interval for these values",
            given=f"{len(values)} values, {int((~np.isfinite(values)).sum())} of them not finite",
            expected="at least one value, all finite",
            hint="drop the points without a value, and say how many there were",
        )
    return values


def _check_settings(level: float, resamples: int) -> None:
    if not 0 < level < 1 or resamples < 1:
        raise CounterfactoryError(
            "no such interval",
            given=f"level {level}, {resamples} resamples",
            expected="a level between 0 and 1, and at least one resample",
            hint="0.95 and 1000 are the usual choice",
        )
