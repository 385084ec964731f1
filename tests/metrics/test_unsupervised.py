import numpy as np
import pytest
from scipy.linalg import sqrtm

from counterfactory.metrics import unsupervised
from counterfactory.metrics.unsupervised import (
    averaged_information,
    effective_rank,
    gaussian_total_correlation,
    gaussian_wasserstein,
    pairwise_information,
)

PAIR = np.array([[1, 0.5], [0.5, 1]])
RNG = np.random.default_rng(0)


def test_known_values() -> None:
    assert gaussian_total_correlation(PAIR) == pytest.approx(-0.5 * np.log(0.75), abs=1e-12)
    assert gaussian_wasserstein(PAIR) == pytest.approx(0.13630, abs=5e-6)
    assert effective_rank(np.eye(4)) == pytest.approx(4)
    assert effective_rank(np.diag([1.0, 0, 0])) == pytest.approx(1)


def test_wasserstein_from_its_definition() -> None:
    a = RNG.normal(size=(5, 5))
    c = a @ a.T
    root = np.real(sqrtm(np.diag(np.diag(c)) @ c))
    assert gaussian_wasserstein(c) == pytest.approx(2 * np.trace(c) - 2 * np.trace(root), rel=1e-9)
    assert gaussian_wasserstein(np.diag([1.0, 7.0])) == pytest.approx(0, abs=1e-12)


def test_total_correlation_ignores_scale_and_sees_tiny_codes() -> None:
    a = RNG.normal(size=(4, 4))
    c = a @ a.T
    scale = np.array([1, 1e-6, 1e3, 1.0])
    assert gaussian_total_correlation(c * np.outer(scale, scale)) == pytest.approx(gaussian_total_correlation(c))
    assert gaussian_total_correlation(np.ones((2, 2))) == np.inf


def test_independent_codes_are_near_what_chance_gives() -> None:
    n, width = 5000, 6
    found = unsupervised(RNG.normal(size=(n, width)))
    assert found.total_correlation == pytest.approx(width * (width - 1) / (4 * n), rel=0.6)
    assert found.averaged_information < 19**2 / (2 * n)
    assert found.effective_rank == pytest.approx(width, abs=0.05)
    mixed = unsupervised(RNG.normal(size=(n, width)) @ RNG.normal(size=(width, width)))
    assert mixed.total_correlation > 1 and mixed.averaged_information > 0.05 and mixed.wasserstein_normalised > 0.05


def test_dead_codes_are_left_out() -> None:
    z = RNG.normal(size=(300, 3))
    with pytest.warns(UserWarning, match=r"codes \[1\] do not vary"):
        found = unsupervised(z * [1, 0, 1])
    assert found.used == (0, 2)
    assert found.total_correlation == pytest.approx(unsupervised(z[:, [0, 2]]).total_correlation)
    with pytest.warns(UserWarning):
        assert unsupervised(np.zeros((5, 2))).used == ()
    assert unsupervised(z[:, :1]).averaged_information == 0


def test_pairwise_information_is_what_is_averaged() -> None:
    z = RNG.normal(size=(2000, 3))
    z[:, 2] = z[:, 0] + 0.1 * z[:, 2]
    table = pairwise_information(z)
    assert np.allclose(table, table.T) and not table.diagonal().any()
    assert table[0, 2] > 1 > 0.15 > table[0, 1]
    assert averaged_information(z) == pytest.approx(table.sum() / 6)
    assert table[0, 1] == pytest.approx(averaged_information(z[:, :2]))  # a pair does not depend on the others
