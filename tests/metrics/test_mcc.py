import itertools

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr

from counterfactory.errors import CounterfactoryError
from counterfactory.metrics import mcc
from counterfactory.metrics.mcc import assign, correlations

RNG = np.random.default_rng(0)
S = RNG.laplace(size=(1500, 4))


def test_correlations_equal_the_library() -> None:
    z = S @ RNG.normal(size=(4, 3)) + RNG.normal(size=(1500, 3))
    for kind, theirs in (("pearson", pearsonr), ("spearman", spearmanr)):
        ours = correlations(z, S, kind)
        for i, j in itertools.product(range(3), range(4)):
            assert ours[i, j] == pytest.approx(abs(theirs(z[:, i], S[:, j]).statistic), abs=1e-12)


@pytest.mark.parametrize("correlation", ["pearson", "spearman", "rdc"])
def test_permutation_sign_and_scale_do_not_matter(correlation: str) -> None:
    found = mcc(S[:, [2, 0, 3, 1]] * [-1.0, 5.0, 0.1, -9.0] + 3, S, correlation=correlation)
    assert found.value == pytest.approx(1)
    assert found.matched == ((0, 1), (1, 3), (2, 0), (3, 2))
    assert found.n == 1500


def test_which_maps_each_correlation_sees_through() -> None:
    cubed = np.sign(S) * np.abs(S) ** 5
    assert mcc(cubed, S, correlation="spearman").value == pytest.approx(1)
    assert mcc(cubed, S).value < 0.8
    even = S**2
    assert mcc(even, S).value < 0.3 and mcc(even, S, correlation="spearman").value < 0.3
    assert mcc(even, S, correlation="rdc").value > 0.95


@pytest.mark.parametrize("correlation", ["pearson", "spearman", "rdc"])
def test_noise_scores_near_zero(correlation: str) -> None:
    assert mcc(np.random.default_rng(1).normal(size=S.shape), S, correlation=correlation).value < 0.12


def test_the_assignment_is_optimal_where_greed_is_not() -> None:
    table = np.array([[0.9, 0.8], [0.85, 0.1]])
    assert assign(table) == ((0, 1), (1, 0))  # 0.85 + 0.8; greed takes 0.9 + 0.1
    for seed in range(5):
        table = np.random.default_rng(seed).random((4, 4))
        best = max(sum(table[p[j], j] for j in range(4)) for p in itertools.permutations(range(4)))
        assert sum(table[i, j] for j, i in assign(table)) == pytest.approx(best)


def test_more_and_fewer_codes_than_factors() -> None:
    assert mcc(np.concatenate([RNG.normal(size=(1500, 3)), S], 1), S).value == pytest.approx(1)
    few = mcc(S[:, :3], S)
    assert few.value == pytest.approx(0.75) and len(few.matched) == 3


def test_constant_columns_correlate_with_nothing() -> None:
    z = S.copy()
    z[:, 0] = 7.3
    for correlation in ("pearson", "spearman", "rdc"):
        found = mcc(z, S, correlation=correlation)
        assert (found.correlation[0] == 0).all()
        assert found.value == pytest.approx(0.75, abs=0.02)


def test_out_of_sample_keeps_the_assignment_of_the_training_points() -> None:
    swapped = (S[:, ::-1], S)
    found = mcc(S, S, test=swapped)
    assert found.matched == ((0, 0), (1, 1), (2, 2), (3, 3))
    assert found.value < 0.15
    assert found.correlation[0, 3] == pytest.approx(1)


def test_weak_mcc_undoes_a_linear_mixture() -> None:
    mixed = S @ RNG.normal(size=(4, 6))
    train, test = (mixed[:1000], S[:1000]), (mixed[1000:], S[1000:])
    assert mcc(*train, test=test).value < 0.9
    for weak in ("affine", "cca"):
        found = mcc(*train, weak=weak, test=test)
        assert found.value == pytest.approx(1, abs=1e-6)
        assert found.name == f"pearson after {weak}"
        noise = np.random.default_rng(2).normal(size=S.shape)
        assert mcc(noise[:1000], S[:1000], weak=weak, test=(noise[1000:], S[1000:])).value < 0.15
    narrow = mcc(mixed[:1000, :2], S[:1000], weak="cca", test=(mixed[1000:, :2], S[1000:]))
    assert narrow.value == pytest.approx(0.5, abs=1e-6)  # two directions out of four


def test_errors() -> None:
    with pytest.raises(CounterfactoryError, match="did you mean 'pearson'"):
        mcc(S, S, correlation="person")
    with pytest.raises(CounterfactoryError, match="nothing to be scored on"):
        mcc(S, S, weak="affine")
    with pytest.raises(CounterfactoryError, match="unknown map"):
        mcc(S, S, weak="linear", test=(S, S))
