import numpy as np
import pytest
from sklearn.feature_selection import mutual_info_classif
from sklearn.metrics import mutual_info_score

from counterfactory.metrics.information import (
    code_ids,
    entropies,
    equal_width,
    factor_dependence,
    factor_ids,
    knn_information,
    mutual_information,
)

RNG = np.random.default_rng(0)


def test_bins_are_the_reference_s() -> None:
    on_edges, rounded = RNG.integers(0, 21, 500) * 0.1, 1e16 + 2 * RNG.integers(0, 42, 500)
    z = np.concatenate([RNG.normal(size=(500, 3)), on_edges[:, None], rounded[:, None]], 1)
    for i in range(5):
        expected = np.digitize(z[:, i], np.histogram(z[:, i], 20)[1][:-1]) - 1
        assert (equal_width(z)[:, i] == expected).all()
    assert equal_width(z).min() == 0 and equal_width(z).max() == 19
    assert (equal_width(np.ones((5, 1))) == equal_width(np.ones((5, 1)))[0]).all()


def test_an_outlier_is_reported() -> None:
    z = np.concatenate([RNG.normal(size=(200, 1)), [[1e4]]])
    with pytest.warns(UserWarning, match="share one bin of code 0"):
        equal_width(z)


def test_discrete_information_equals_the_library() -> None:
    a, b = RNG.integers(0, 7, (300, 4)), RNG.integers(0, 5, (300, 3))
    b[:, 0] = a[:, 0] % 5
    found = mutual_information(a, b)
    for i in range(4):
        for j in range(3):
            assert found[i, j] == pytest.approx(mutual_info_score(a[:, i], b[:, j]), abs=1e-12)
    assert entropies(b)[1] == pytest.approx(mutual_info_score(b[:, 1], b[:, 1]))


def test_a_noisy_binary_channel_has_the_known_capacity() -> None:
    s = np.tile([0, 1], 5000)
    for p in (0.0, 0.1, 0.5):
        wrong = np.zeros(10_000, int)
        wrong[: round(5000 * p) * 2] = 1  # the same share of both symbols
        z = s ^ wrong
        h2 = 0.0 if p == 0 else -p * np.log2(p) - (1 - p) * np.log2(1 - p)
        nmi = mutual_information(z[:, None], s[:, None])[0, 0] / entropies(s[:, None])[0]
        assert nmi == pytest.approx(1 - h2, abs=1e-12)


def brute_force(ids: np.ndarray, z: np.ndarray, k: int) -> float:
    """Ross's estimate from its definition, with all distances."""
    from scipy.special import digamma

    size = np.bincount(ids)[ids]
    ids, z, size = ids[size > 1], z[size > 1], size[size > 1]
    far = np.abs(z[:, None] - z[None]).max(-1)
    near, within = [], []
    for i in range(len(ids)):
        own = np.sort(far[i, ids == ids[i]])
        k_i = min(k, size[i] - 1)
        near.append(k_i)
        within.append(max(1, (far[i] < own[k_i]).sum()))
    value = digamma(len(ids)) + np.mean(digamma(near)) - np.mean(digamma(size)) - np.mean(digamma(within))
    return max(0.0, value)


@pytest.mark.parametrize("columns", [1, 2])
@pytest.mark.parametrize("k", [1, 3, 10])
def test_nearest_neighbours_equal_their_definition(columns: int, k: int) -> None:
    ids = np.concatenate([RNG.integers(0, 4, 300), [4, 5, 5, 5]])  # one class of one, one smaller than k
    z = RNG.normal(size=(304, columns)) + ids[:, None] / 2
    assert knn_information(ids, z, k) == pytest.approx(brute_force(ids, z, k), abs=1e-12)


def test_points_on_a_lattice_do_not_round_across_the_radius() -> None:
    """z ± r rounds onto the neighbour for many of these points; the definition compares distances."""
    z = np.round(RNG.permutation(np.arange(400) * 0.1), 1)[:, None]
    ids = RNG.integers(0, 3, 400)
    assert knn_information(ids, z, 3) == pytest.approx(brute_force(ids, z, 3), abs=1e-12)


def test_nearest_neighbours_equal_the_library() -> None:
    ids = RNG.integers(0, 5, 800)
    z = RNG.normal(size=(800, 1)) + ids[:, None]
    theirs = mutual_info_classif(z, ids, discrete_features=False, n_neighbors=10, random_state=0)[0]
    assert knn_information(ids, z / z.std(), 10) == pytest.approx(theirs, abs=1e-6)


def test_a_class_of_one_leaves_nothing() -> None:
    assert knn_information(np.arange(5), RNG.normal(size=(5, 1))) == 0


def test_blocks_are_binned_by_two_principal_components() -> None:
    s = RNG.integers(0, 4, (2000, 2))
    angle = np.pi / 4
    turned = (s + 0.05 * RNG.normal(size=s.shape)) @ [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    apart = mutual_information(code_ids(turned), s)
    joint = mutual_information(code_ids(turned, [[0, 1]]), s)
    assert joint.shape == (1, 2)
    assert joint.min() > 0.9 * np.log(4) > apart.max() + 0.1


def test_dependence_of_factors() -> None:
    free = RNG.integers(0, 4, (5000, 3))
    assert factor_dependence(free) < 0.01
    tied = free.copy()
    tied[:, 2] = tied[:, 0]
    assert factor_dependence(tied) > 0.95
    assert factor_dependence(free[:, :1]) == 0
    ids = factor_ids(np.stack([free[:, 0] * 2.5, RNG.normal(size=5000)], 1), ["categorical", "continuous"])
    assert ids[:, 0].max() == 3 and ids[:, 1].max() == 19
