import numpy as np
import pytest

from counterfactory.errors import CounterfactoryError
from counterfactory.metrics import difference_interval, mean_interval, ratio_interval, statistic_interval


def test_the_interval_covers_the_mean_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    hits = [
        low <= 1 <= high
        for _, low, high, _ in (mean_interval(rng.exponential(size=80), resamples=400, seed=i) for i in range(400))
    ]
    assert 0.90 < np.mean(hits) < 0.98


def test_the_interval_of_a_mean_is_near_the_normal_one() -> None:
    x = np.random.default_rng(1).normal(3, 2, size=2000)
    value, low, high, n = mean_interval(x, resamples=2000)
    half = 1.96 * x.std() / 2000**0.5
    assert (value, n) == (pytest.approx(x.mean()), 2000)
    assert (low, high) == pytest.approx((value - half, value + half), abs=0.1 * half)


def test_clusters_of_copies_are_as_good_as_their_units() -> None:
    x = np.random.default_rng(2).normal(size=60)
    copies, unit = np.repeat(x, 10), np.repeat(np.arange(60), 10)
    assert mean_interval(copies, clusters=unit, seed=5) == pytest.approx(mean_interval(x, seed=5))
    naive, honest = mean_interval(copies), mean_interval(copies, clusters=unit)
    assert honest.n == 60 and naive.n == 600
    assert (honest.high - honest.low) > 2.5 * (naive.high - naive.low)  # sqrt(10) is 3.2


def test_clustered_coverage() -> None:
    """50 units of 10 points with intra-unit correlation 1/2: units must be drawn, not points."""
    rng, hits, naive = np.random.default_rng(3), 0, 0
    unit = np.repeat(np.arange(50), 10)
    for i in range(200):
        x = np.repeat(rng.normal(size=50), 10) + rng.normal(size=500)
        _, low, high, _ = mean_interval(x, clusters=unit, resamples=200, seed=i)
        hits += low <= 0 <= high
        _, low, high, _ = mean_interval(x, resamples=200, seed=i)
        naive += low <= 0 <= high
    assert hits >= 0.88 * 200 and naive < 0.75 * 200


def test_a_paired_difference_cancels_what_both_share() -> None:
    rng = np.random.default_rng(4)
    shared = rng.normal(size=300)
    ours, theirs = shared + 0.1 * rng.normal(size=300) + 0.05, shared + 0.1 * rng.normal(size=300)
    assert difference_interval(ours, theirs).low > 0
    assert mean_interval(ours).low < mean_interval(theirs).high  # unpaired, the two overlap
    with pytest.raises(CounterfactoryError, match="not paired"):
        difference_interval(ours, theirs[1:])


def test_a_ratio_is_of_sums() -> None:
    top, bottom = np.array([1.0, 3.0]), np.array([1.0, 1.0])
    assert ratio_interval(top, bottom).value == 2
    assert ratio_interval(np.array([0.0, 3.0]), np.array([0.0, 2.0])).value == 1.5  # a unit without denominator
    with pytest.raises(CounterfactoryError, match="sums to zero"):
        ratio_interval(top, np.zeros(2))


def test_any_statistic_and_its_vectorised_form_agree() -> None:
    rng = np.random.default_rng(5)
    x = rng.normal(size=(200, 2))
    x[:, 1] += x[:, 0]

    def corr(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        a, b = a - a.mean(-1, keepdims=True), b - b.mean(-1, keepdims=True)
        return (a * b).sum(-1) / np.sqrt((a**2).sum(-1) * (b**2).sum(-1))

    slow = statistic_interval(corr, x[:, 0], x[:, 1], seed=1)
    fast = statistic_interval(corr, x[:, 0], x[:, 1], seed=1, vectorised=True)
    assert slow == pytest.approx(fast)
    assert slow.value == pytest.approx(np.corrcoef(x.T)[0, 1])
    assert slow.low < 0.7071 < slow.high
    unit = rng.permutation(np.repeat(np.arange(20), 10))
    assert statistic_interval(corr, *x.T, clusters=unit, seed=2) == pytest.approx(
        statistic_interval(corr, *x.T, clusters=unit, seed=2, vectorised=True)
    )
    means = statistic_interval(lambda v: v.mean(-1), x[:, 0], seed=3, vectorised=True)
    assert means == pytest.approx(mean_interval(x[:, 0], seed=3))


def test_unequal_clusters_are_weighted_by_their_points() -> None:
    x, unit = np.array([0.0, 0.0, 0.0, 1.0]), np.array([7, 7, 7, 9])
    by_sums = mean_interval(x, clusters=unit, seed=0)
    by_points = statistic_interval(np.mean, x, clusters=unit, seed=0)
    assert by_sums == pytest.approx(by_points)
    assert by_sums.value == 0.25
    with pytest.raises(CounterfactoryError, match="equal size"):
        statistic_interval(np.mean, x, clusters=unit, vectorised=True)


def test_seeds_and_degenerate_input() -> None:
    x = np.random.default_rng(6).normal(size=50)
    assert mean_interval(x, seed=1) == mean_interval(x, seed=1) != mean_interval(x, seed=2)
    assert mean_interval(np.array([True, False, True, True])).value == 0.75
    single = mean_interval(np.array([2.0]))
    assert single.value == 2 and np.isnan(single.low) and np.isnan(single.high)
    wide, narrow = mean_interval(x, level=0.99), mean_interval(x, level=0.5)
    assert wide.low < narrow.low < narrow.high < wide.high
    for bad in (np.array([]), np.array([1.0, np.nan])):
        with pytest.raises(CounterfactoryError, match="no interval"):
            mean_interval(bad)
    for setting in ({"level": 1.0}, {"resamples": 0}):
        with pytest.raises(CounterfactoryError, match="no such interval"):
            mean_interval(x, **setting)
    with pytest.raises(CounterfactoryError, match="same points"):
        statistic_interval(np.mean, x, x[1:])


def test_centred_draws_surround_a_biased_statistic() -> None:
    """The number of different values can only fall in a resample."""
    x = np.arange(200.0)
    plain, centred = (statistic_interval(lambda v: len(set(v)), x, centred=c, resamples=200) for c in (False, True))
    assert plain.high < plain.value
    assert centred.low < centred.value < centred.high
    assert centred.high - centred.low == pytest.approx(plain.high - plain.low)
