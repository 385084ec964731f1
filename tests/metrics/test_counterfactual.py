import numpy as np
import pytest

from counterfactory.errors import CounterfactoryError
from counterfactory.metrics.counterfactual import (
    changed_region,
    composition,
    effectiveness,
    identity,
    minimality,
    reversibility,
    truth_error,
)

X = np.random.default_rng(0).random((6, 1, 8, 8)) / 2


def test_composition_counts_its_cycles() -> None:
    calls = []

    def drift(x: np.ndarray) -> np.ndarray:
        calls.append(1)
        return x + 0.01

    found = composition(X, drift, cycles=(1, 4, 10))
    assert len(calls) == 10
    assert list(found) == [1, 4, 10]
    for m, values in found.items():
        assert values == pytest.approx(np.full(6, 0.01 * m))
    with pytest.raises(CounterfactoryError, match="no cycles"):
        composition(X, drift, cycles=())


def test_reversibility_goes_there_and_back() -> None:
    exact = reversibility(X, lambda x: x * 2, lambda x: x / 2)
    assert all(values == pytest.approx(np.zeros(6), abs=1e-15) for values in exact.values())
    lossy = reversibility(X, lambda x: x.clip(max=0.25), lambda x: x, cycles=(1, 2))
    assert (lossy[1] == lossy[2]).all() and (lossy[1] > 0).all()  # what is lost once is not lost twice


def test_effectiveness_has_one_value_a_pair() -> None:
    read, asked = np.array([[1.0, 2.2], [3.0, 5.0]]), np.array([[1.5, 2.0], [3.0, 4.0]])
    assert effectiveness(read, asked).tolist() == [[0.5, pytest.approx(0.2)], [0, 1]]
    assert effectiveness(read, asked, np.array([False, True])).tolist() == [[0.5, 1], [0, 0]]


def test_truth_error_inside_and_outside() -> None:
    truth = X.copy()
    truth[:, :, :2] += 0.4
    truth[5] = X[5]  # nothing changes in the last unit
    region = changed_region(X, truth)
    assert region[:5, :2].all() and not region[:, 2:].any() and not region[5].any()
    answer = truth + 0.1
    answer[:, :, :2] -= 0.2
    error = truth_error(answer, truth, X)
    assert error.inside[:5] == pytest.approx(np.full(5, 0.1))
    assert error.outside == pytest.approx(np.full(6, 0.1))
    assert np.isnan(error.inside[5]) and np.isnan(error.relative[5])
    assert error.unchanged[:5] == pytest.approx(np.full(5, 0.1)) and error.unchanged_inside[:5] == pytest.approx(0.4)
    assert error.relative[:5] == pytest.approx(np.ones(5))
    half = truth_error((truth + X) / 2, truth, X)
    assert half.relative[:5] == pytest.approx(np.full(5, 0.5)) and half.outside == pytest.approx(np.zeros(6))
    given = truth_error(answer, truth, X, mask=np.ones((6, 8, 8), bool))
    assert given.inside == pytest.approx(given.total) and np.isnan(given.outside).all()


def test_a_change_below_eps_is_none() -> None:
    assert not changed_region(X, X + 0.4 / 255).any()
    assert changed_region(X, X + 1 / 255).all()
    assert not changed_region(X, X + 1 / 255, eps=2 / 255).any()


def test_identity_is_in_units_of_the_spread() -> None:
    noise = np.array([[0.0, 1.0], [2.0, 1.0]])
    found = identity(noise + np.array([[1.0, 0.0], [-1.0, 0.0]]), noise, np.array([2.0, 0.0]))
    assert found[:, 0].tolist() == [0.5, 0.5] and np.isnan(found[:, 1]).all()


def test_minimality_from_its_definition() -> None:
    moved = np.array([1.0, 1.0, 3.0])
    to = np.array([[2.0, 3.0], [0.5, 2.0], [1.0, 2.0]])
    own = np.array([[0.1, 0.2], [1.0, 0.2], [4.0, 5.0]])
    expected = [np.log(0.8 * np.exp(p1) + 0.2 * np.exp(p2)) for p1, p2 in ((0, 0), (0.5, 0.5), (1, 1))]
    assert minimality(moved, to, own) == pytest.approx(expected)
    assert minimality(moved, to, own)[[0, 2]].tolist() == pytest.approx([0, 1])
