"""MIG, SAP, FactorVAE, BetaVAE, modularity, explicitness and IRS: known values, invariances, edges."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from counterfactory.errors import CounterfactoryError
from counterfactory.metrics import beta_vae, explicitness, factor_vae, irs, mig, modularity, sap
from counterfactory.metrics.mig import top_gap
from counterfactory.metrics.modularity import macro_area, per_code_modularity
from counterfactory.metrics.sap import _hits, squared_correlation

from .conftest import grid

RNG = np.random.default_rng(0)
SMALL = grid(2, 3, repeats=10)
JOINT = np.stack([SMALL[:, 0] * 3 + SMALL[:, 1], SMALL[:, 0]], 1)  # the joint id of both factors, and the first


def rotated(factors: np.ndarray) -> np.ndarray:
    turn = np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))[0]
    return (factors - factors.mean(0)) / factors.std(0) @ turn


# ---- known values ----


def test_codes_that_are_the_factors_are_perfect(factors: np.ndarray) -> None:
    assert mig(factors, factors).value == pytest.approx(1)
    assert modularity(factors, factors).value == pytest.approx(1)
    assert irs(factors, factors).value == pytest.approx(1)
    assert factor_vae(factors, factors, n_train=500, n_eval=500).value == 1
    assert beta_vae(factors, factors, n_train=500, n_eval=500).value == 1
    assert explicitness(factors, factors).value > 0.93  # middle values are not linear
    assert sap(factors, factors, factor_types="continuous").value == pytest.approx(1, abs=0.01)


def test_noise_is_at_chance(factors: np.ndarray) -> None:
    many = np.tile(factors, (8, 1))
    noise = RNG.normal(size=(len(many), 5))
    assert mig(noise, many).value < 0.01
    assert factor_vae(noise, many, n_train=3000, n_eval=3000).value == pytest.approx(1 / 3, abs=0.05)
    assert beta_vae(noise, many, n_train=2000, n_eval=2000).value == pytest.approx(1 / 3, abs=0.05)
    assert explicitness(noise, many).value == pytest.approx(0.5, abs=0.03)
    assert sap(noise, many, factor_types="continuous").value < 0.01


def test_a_joint_code_beside_one_factor() -> None:
    assert mig(JOINT, SMALL).value == pytest.approx(0.5)
    found = irs(JOINT, SMALL, quantile=1.0)
    assert found.value == pytest.approx(2 / 3) and found.per_code == pytest.approx([0.6, 1.0])
    linear = squared_correlation(JOINT.astype(float), SMALL.astype(float))
    assert top_gap(linear).mean() == pytest.approx(0.2285714, abs=1e-7)
    z, s = JOINT.astype(float), SMALL.astype(float)
    machine = np.array([[_hits(z[:, i], s[:, j], z[:, i], s[:, j]).mean() for j in range(2)] for i in range(2)])
    assert top_gap(machine).mean() == pytest.approx(1 / 6)


def test_modularity_of_a_known_matrix() -> None:
    per_code = per_code_modularity(np.array([[1, 0], [0, 1], [0.5, 0.5], [0, 0.0]]))
    assert per_code.tolist() == [1, 1, 0, 0] and per_code.mean() == 0.5
    assert per_code_modularity(np.array([[0.3], [0.0]])).tolist() == [1, 1]  # one factor


def test_dead_codes_pull_modularity_down_and_are_told_apart(factors: np.ndarray) -> None:
    dead = np.concatenate([factors, np.zeros((len(factors), 3))], 1)
    found = modularity(dead, factors)
    assert found.value == pytest.approx(0.5) and found.live == pytest.approx(1)


def test_area_equals_the_library_and_its_influence_has_its_mean() -> None:
    ids = RNG.integers(0, 4, 300)
    score = RNG.random((300, 4)).round(1) + np.eye(4)[ids] * 0.3
    area, parts = macro_area(score, ids)
    expected = [roc_auc_score(ids == c, score[:, c]) for c in range(4)]
    assert area == pytest.approx(np.mean(expected)) and parts.mean() == pytest.approx(area)
    resampled = []
    for _ in range(300):
        rows = RNG.integers(300, size=300)
        resampled.append(macro_area(score[rows], ids[rows])[0])
    assert parts.std() / 300**0.5 == pytest.approx(np.std(resampled), rel=0.15)


def test_explicitness_skips_values_without_test_points() -> None:
    s = np.zeros((60, 1), int)
    s[:30] = 1
    s[30] = 2  # a single point, which the split puts on the training side
    z = s + 0.1 * RNG.normal(size=s.shape)
    found = explicitness(z, s)
    assert found.value == pytest.approx(1) and found.rescaled == pytest.approx(1)


# ---- invariances ----


@pytest.mark.parametrize(
    ("score", "scale_matters"),
    [
        (lambda z, s: mig(z, s).value, False),
        (lambda z, s: modularity(z, s).value, False),
        (lambda z, s: sap(z, s, factor_types="continuous").value, False),
        (lambda z, s: factor_vae(z, s, n_train=2000, n_eval=4000).value, False),
        (lambda z, s: explicitness(z, s).value, False),
        (lambda z, s: irs(z, s).value, True),
        (lambda z, s: irs(z, s, standardise=True).value, False),
        (lambda z, s: beta_vae(z, s, n_train=3000, n_eval=4000).value, True),
        (lambda z, s: beta_vae(z, s, standardise=True, n_train=3000, n_eval=4000).value, False),
    ],
)
def test_order_sign_and_scale(factors: np.ndarray, score: object, scale_matters: bool) -> None:
    z = rotated(factors) + 0.3 * np.random.default_rng(6).normal(size=factors.shape)
    plain, turned = score(z, factors), score(-z[:, [2, 0, 1]], factors)
    assert turned == pytest.approx(plain, abs=0.02)
    stretched = score(z * [100.0, 1.0, 0.01], factors)
    assert (abs(stretched - plain) > 0.03) == scale_matters


def test_rotation_lowers_what_looks_at_axes(factors: np.ndarray) -> None:
    straight, turned = factors + 0.05 * RNG.normal(size=factors.shape), rotated(factors)
    for score in (mig, modularity, irs, lambda z, s: sap(z, s, factor_types="continuous")):
        assert score(turned, factors).value < score(straight, factors).value - 0.15
    assert explicitness(turned, factors).value == pytest.approx(explicitness(straight, factors).value, abs=0.03)


# ---- edges ----


def test_one_code(factors: np.ndarray) -> None:
    z = factors[:, :1]
    assert mig(z, factors).per_factor == pytest.approx([1, 0, 0], abs=1e-9)
    assert sap(z, factors, factor_types="continuous").per_factor == pytest.approx([1, 0, 0], abs=0.01)
    assert factor_vae(z, factors, n_train=500, n_eval=500).value == pytest.approx(1 / 3, abs=0.07)


def test_constant_factors_are_left_out(factors: np.ndarray) -> None:
    held = factors.copy()
    held[:, 2] = 1
    for score in (mig, sap):
        with pytest.warns(UserWarning, match=r"factors \[2\] never vary"):
            found = score(factors, held)
        assert np.isnan(found.per_factor[2]) and not np.isnan(found.per_factor[:2]).any()
    assert mig_quietly(factors, held) == pytest.approx(1)
    assert np.isnan(explicitness(factors, held).per_factor[2])
    with pytest.raises(CounterfactoryError, match="no factor varies"):
        explicitness(factors, np.ones_like(factors))


def mig_quietly(z: np.ndarray, s: np.ndarray) -> float:
    with pytest.warns(UserWarning):
        return mig(z, s).value


def test_constant_codes_get_no_vote_and_no_robustness(factors: np.ndarray) -> None:
    z = np.concatenate([np.full((len(factors), 1), 3.3), factors, np.zeros((len(factors), 1))], 1)
    votes = factor_vae(z, factors, n_train=500, n_eval=500)
    assert votes.value == 1 and votes.active.tolist() == [False, True, True, True, False]
    assert votes.votes[:, [0, 4]].sum() == 0
    robust = irs(z, factors)
    assert robust.active.sum() == 3 and robust.value == pytest.approx(1)
    assert robust.parent.tolist() == [-1, 0, 1, 2, -1] and np.isnan(robust.per_code[0])
    nothing = np.zeros((len(factors), 2))
    assert irs(nothing, factors).value == 0 and factor_vae(nothing, factors).value == 0
    small = factor_vae(factors * [1, 1, 0.001], factors, threshold=0.05, n_train=500, n_eval=500)
    assert small.active.tolist() == [True, True, False] and small.value < 1


def test_dependent_factors_are_reported(factors: np.ndarray) -> None:
    tied = factors.copy()
    tied[:, 2] = tied[:, 1]
    for score in (factor_vae, beta_vae):
        with pytest.warns(UserWarning, match="depend on each other"):
            found = score(factors, tied, n_train=300, n_eval=300)
        assert found.dependence > 0.9
    assert factor_vae(factors, factors, n_train=300, n_eval=300).dependence < 0.01


def test_beta_vae_does_not_miss_one_factor(factors: np.ndarray) -> None:
    """The known defect: with all but one factor encoded it can still be 1."""
    assert beta_vae(factors[:, :2], factors, n_train=2000, n_eval=1000).value > 0.99
    assert beta_vae(factors[:, :1], factors[:, :1], n_train=20, n_eval=20).value == 1


def test_groups_rejoin_what_a_rotation_mixed() -> None:
    s = grid(4, 4, 4, repeats=20)
    z = s.astype(float)
    z[:, :2] = (z[:, :2] - 1.5) @ [[1, -1], [1, 1]] + 0.01 * RNG.normal(size=(len(s), 2))
    blocks = [[0, 1], [2]]
    assert modularity(z, s, groups=blocks).information.shape == (2, 3)
    assert mig(z, s).value < 0.75 and mig(z, s, groups=blocks).value > 0.97
    votes = factor_vae(z, s, groups=blocks, n_train=500, n_eval=500)
    assert votes.votes.shape == (3, 2) and votes.votes[2, 1] > 0.95 * votes.votes[2].sum()


def test_explicitness_refuses_numbers(factors: np.ndarray) -> None:
    with pytest.raises(CounterfactoryError, match="factor 1 is not a category"):
        explicitness(factors, np.stack([factors[:, 0], RNG.normal(size=len(factors))], 1))


def test_seeds(factors: np.ndarray) -> None:
    z = rotated(factors)
    for score in (factor_vae, beta_vae):
        a, b, c = (score(z, factors, n_train=400, n_eval=400, seed=seed) for seed in (0, 0, 1))
        assert (a.right == b.right).all() and not (a.right == c.right).all()
