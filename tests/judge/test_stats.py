"""Intervals and tests: closed forms, coverage, and what clusters do to them."""

import numpy as np
import pytest
from scipy import stats as scipy_stats

from counterfactory.errors import CounterfactoryError
from counterfactory.judge import stats
from counterfactory.metrics.intervals import Interval, mean_interval


def test_wilson_is_the_set_of_shares_not_refused_by_the_score_test():
    for right, n in ((0, 10), (3, 10), (10, 10), (57, 100)):
        low, high = stats.wilson(right, n)[1:3]
        z = scipy_stats.norm.ppf(0.975)
        for end in (low, high):
            assert abs(right / n - end) == pytest.approx(z * np.sqrt(end * (1 - end) / n), abs=1e-7)
    with pytest.raises(CounterfactoryError, match="no share"):
        stats.wilson(3, 2)


def test_group_bootstrap_covers_where_the_item_bootstrap_does_not():
    """50 groups of 10 items, intra-class correlation 0.5, 500 repetitions: group shares are Beta(1/2, 1/2)."""
    rng, repetitions, groups, size = np.random.default_rng(0), 500, 50, 10
    shares = rng.beta(0.5, 0.5, (repetitions, groups, 1))  # variance 1/8 of 1/4: correlation 1/2
    right = (rng.random((repetitions, groups, size)) < shares).astype(float).reshape(repetitions, -1)
    unit = np.repeat(np.arange(groups), size)
    by_group = [stats.share_interval(row, unit, resamples=1000, seed=i) for i, row in enumerate(right)]
    by_item = [mean_interval(row, resamples=200, seed=i) for i, row in enumerate(right)]
    covers = [np.mean([found.low <= 0.5 <= found.high for found in kind]) for kind in (by_group, by_item)]
    assert 0.92 <= covers[0] <= 0.98
    assert covers[1] < 0.8


def test_sums_are_drawn_by_whole_groups():
    rng = np.random.default_rng(1)
    values, unit = rng.random(60), rng.integers(12, size=60)
    counts = np.stack([values, np.ones(60)], 1)
    found = stats.sums_interval(lambda s: s[:, 0] / s[:, 1], counts, unit, seed=5)
    same = mean_interval(values, clusters=unit, resamples=2000, seed=6)
    assert found.value == pytest.approx(same.value) and found.n == 12
    assert found.low == pytest.approx(same.low, abs=0.015) and found.high == pytest.approx(same.high, abs=0.015)
    assert np.isnan(stats.sums_interval(lambda s: s[:, 0], counts, np.zeros(60)).low)


def test_shares_without_spread_keep_an_interval():
    ones, unit = np.ones(40), np.repeat(np.arange(10), 4)
    assert stats.share_interval(ones, unit) == stats.wilson(10, 10)
    assert stats.share_interval(np.array([1.0, 0, 1, 1]), np.arange(4)) == stats.wilson(3, 4)


def test_mcnemar_is_a_sign_test_of_what_differs():
    ours = np.array([1] * 9 + [0] * 2 + [1] * 30 + [0] * 5)
    theirs = np.array([0] * 9 + [1] * 2 + [1] * 30 + [0] * 5)
    only, other, p = stats.mcnemar(ours, theirs)
    assert (only, other) == (9, 2)
    tail = sum(scipy_stats.binom.pmf(k, 11, 0.5) for k in (0, 1, 2))
    assert p == pytest.approx(2 * tail)
    assert stats.mcnemar(ours, ours) == (0, 0, 1.0)


def test_sign_flips_are_exact_for_few_groups_and_follow_whole_groups():
    assert stats.sign_flip(np.ones(5), np.arange(5)) == 2 / 2**5
    assert stats.sign_flip(np.ones(20), np.repeat(np.arange(5), 4)) == 2 / 2**5
    rng = np.random.default_rng(2)
    p = [
        stats.sign_flip(np.repeat(rng.standard_normal(20), 5), np.repeat(np.arange(20), 5), draws=400)
        for _ in range(200)
    ]
    assert 0.01 <= np.mean(np.array(p) < 0.05) <= 0.1  # a test of a true null keeps its level
    assert stats.sign_flip(rng.normal(1, 1, 200), np.arange(200)) < 1e-3
    values = rng.normal(0.03, 1, 2001)
    drawn = stats.sign_flip(values[:2000], np.arange(2000), draws=20_000)
    assert stats.sign_flip(values, np.arange(2001)) == pytest.approx(drawn, abs=0.03)


def test_families_and_equivalence():
    assert stats.benjamini_hochberg([]) == []
    p = [0.001, 0.2, 0.01, 0.04]
    want = [0.004, 0.2, 0.02, 0.04 * 4 / 3]
    assert stats.benjamini_hochberg(p) == pytest.approx(want)
    assert stats.equivalent(Interval(0.0, -0.01, 0.02, 50), 0.03)
    assert not stats.equivalent(Interval(0.0, -0.04, 0.02, 50), 0.03)


def test_paired_differences_lose_what_both_share():
    rng = np.random.default_rng(3)
    hard, unit = rng.random(300) < 0.5, np.repeat(np.arange(100), 3)
    ours, theirs = hard.astype(float), (hard & (rng.random(300) < 0.95)).astype(float)
    gap = stats.paired_interval(ours, theirs, unit)
    alone = stats.share_interval(ours, unit)
    assert gap.high - gap.low < 0.5 * (alone.high - alone.low) and gap.low <= gap.value <= gap.high
