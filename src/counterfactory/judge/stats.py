"""Intervals and tests for runs: Wilson, bootstrap over groups, exact McNemar, sign flips over groups, and families.

Items of one group (one causal model, one story) are not independent, hence groups are drawn anew, not items. Every
score here is a function of sums over items (accuracy, F1, balanced accuracy, calibration error, ...), so a resample is
one product: counts per group [g, m], weighted by how often each group was drawn [r, g].
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped
from scipy import stats

from counterfactory.errors import CounterfactoryError
from counterfactory.metrics.intervals import Interval, difference_interval, mean_interval

RESAMPLES = 2000
_MANY = 2000
_BLOCK = 4_000_000  # weights at once, 32 MB


def wilson(right: int, n: int, level: float = 0.95) -> Interval:
    """Share with its score interval (Wilson, JASA 1927), for independent items; unlike a bootstrap it is never empty.

    Raises:
        CounterfactoryError: n below 1, or more right than n.

    Example:
        >>> [round(end, 3) for end in wilson(10, 10)[:3]]
        [1.0, 0.722, 1.0]
    """
    if not 0 <= right <= n or n < 1:
        raise CounterfactoryError(
            "no share of these counts", given=f"{right} of {n}", expected="0 <= right <= n, n >= 1", hint="count again"
        )
    z = float(stats.norm.ppf(0.5 + level / 2))
    p, shrink = right / n, 1 / (1 + z * z / n)
    centre = (p + z * z / (2 * n)) * shrink
    half = z * shrink * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return Interval(p, max(0.0, float(centre - half)), min(1.0, float(centre + half)), n)


def share_interval(
    values: Shaped[np.ndarray, " n"], groups: Shaped[np.ndarray, " n"], *, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """Mean of values in [0, 1]: Wilson for zeros and ones with a group each, otherwise bootstrap over groups.

    Where all values are equal the bootstrap knows no spread; the Wilson interval over groups stands in.
    """
    values = np.asarray(values, float)
    n = len(np.unique(groups))
    binary = bool(np.isin(values, (0.0, 1.0)).all())
    if binary and (n == len(values) or (values == values[0]).all()):
        return wilson(round(float(values.mean()) * n), n)
    return mean_interval(values, clusters=groups, resamples=resamples, seed=seed)


def sums_interval(
    combine: Callable[[Float[np.ndarray, "r m"]], Float[np.ndarray, " r"]],
    counts: Float[np.ndarray, "n m"],
    groups: Shaped[np.ndarray, " n"],
    *,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """A function of sums over items, with its interval over groups.

    Args:
        combine: sums [r, m] to scores [r]; nan where a score is not defined.
        counts: what is summed, one row an item.
        groups: of each item.
        level, resamples, seed: coverage, draws, and their seed.

    Example:
        >>> f1 = lambda s: 2 * s[:, 0] / (2 * s[:, 0] + s[:, 1] + s[:, 2])
        >>> counts = np.array([[1.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
        >>> sums_interval(f1, counts, np.arange(4)).value
        0.6666666666666666
    """
    _, unit = np.unique(groups, return_inverse=True)
    n = int(unit.max()) + 1
    table = np.zeros((n, counts.shape[1]))
    np.add.at(table, unit, counts)
    with np.errstate(invalid="ignore", divide="ignore"):
        value = float(combine(table.sum(0, keepdims=True))[0])
        if n == 1 or np.isnan(value):
            return Interval(value, np.nan, np.nan, n)
        draws = np.concatenate([combine(weights @ table) for weights in _weights(n, resamples, seed)])
    draws = draws[~np.isnan(draws)]
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high), n)


def paired_interval(
    ours: Shaped[np.ndarray, " n"],
    theirs: Shaped[np.ndarray, " n"],
    groups: Shaped[np.ndarray, " n"],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Mean of `ours - theirs` over the same items, with its interval over groups."""
    return difference_interval(ours, theirs, clusters=groups, resamples=resamples, seed=seed)


def mcnemar(ours: Shaped[np.ndarray, " n"], theirs: Shaped[np.ndarray, " n"]) -> tuple[int, int, float]:
    """Exact McNemar test of two sets of right and wrong answers to the same, independent items.

    Returns:
        Items that only we got right, items that only they got right, and the two-sided p-value: under no difference
        the first number is binomial(b + c, 1/2).

    Example:
        >>> mcnemar(np.array([1, 1, 1, 1, 1, 0]), np.array([0, 0, 0, 0, 0, 0]))
        (5, 0, 0.0625)
    """
    a, b = np.asarray(ours, bool), np.asarray(theirs, bool)
    only_ours, only_theirs = int((a & ~b).sum()), int((~a & b).sum())
    n = only_ours + only_theirs
    p = float(stats.binomtest(only_ours, n, 0.5).pvalue) if n else 1.0
    return only_ours, only_theirs, p


def sign_flip(
    values: Shaped[np.ndarray, " n"], groups: Shaped[np.ndarray, " n"], *, draws: int = 10_000, seed: int = 0
) -> float:
    """Two-sided p-value of "the values are symmetric around 0", with whole groups flipped together.

    All 2^g flips are tried where they are at most `draws`, otherwise so many are drawn; for more than 2,000 groups the
    sum of flips is taken for normal, which its limit is. The values are excesses over
    chance, or differences between two models. Symmetry holds exactly under no difference between two models; around
    chance it is an approximation.
    """
    _, unit = np.unique(groups, return_inverse=True)
    sums = np.bincount(unit, np.asarray(values, float))
    g, tiny = len(sums), 1e-9 * (np.abs(sums).sum() + 1e-300)
    observed = abs(sums.sum())
    if 2**g <= draws:
        flips = 1.0 - 2.0 * ((np.arange(2**g)[:, None] >> np.arange(g)) & 1)
        return float((np.abs(flips @ sums) >= observed - tiny).mean())
    if g > _MANY:
        spread = float(np.sqrt(np.square(sums).sum()))
        return float(2 * stats.norm.sf(observed / spread)) if spread else 1.0
    rng, hits = np.random.default_rng(seed), 0
    for rows in _blocks(draws, g):
        flips = 1.0 - 2.0 * rng.integers(2, size=(rows, g), dtype=np.int8)
        hits += int((np.abs(flips @ sums) >= observed - tiny).sum())
    return (hits + 1) / (draws + 1)


def benjamini_hochberg(p: Sequence[float]) -> list[float]:
    """p-values of one printed family, adjusted so that a bound on them bounds the share of false discoveries.

    Example:
        >>> benjamini_hochberg([0.01, 0.04, 0.03])
        [0.03, 0.04, 0.04]
    """
    return [float(q) for q in stats.false_discovery_control(np.asarray(p, float))] if len(p) else []


def equivalent(difference: Interval, margin: float) -> bool:
    """Whether the whole interval lies within the margin: a large p-value is no proof that two models are alike."""
    return bool(-margin < difference.low and difference.high < margin)


def _weights(n: int, resamples: int, seed: int) -> Any:
    """How often each of n groups was drawn, [rows, n] a block."""
    rng = np.random.default_rng(seed)
    for rows in _blocks(resamples, n):
        drawn = rng.integers(n, size=(rows, n)) + n * np.arange(rows)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n).astype(float)


def _blocks(total: int, width: int) -> list[int]:
    rows = max(1, _BLOCK // width)
    return [min(rows, total - start) for start in range(0, total, rows)]
