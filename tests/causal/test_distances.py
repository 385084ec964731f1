"""Graph distances: known values, the definition by adjustment, and a reference where it is installed."""

import itertools

import numpy as np
import pytest
import torch

from counterfactory.causal import CPDAG, CausalGraph, LinearSCM, adjacencies, aid, arrows, shd, sid, sid_bounds
from counterfactory.errors import CounterfactoryError

CHAIN = CausalGraph("xyz", [("x", "y"), ("y", "z")])


def test_hamming_counts_each_pair_once() -> None:
    back = CausalGraph("xyz", [("y", "x"), ("y", "z")])
    assert shd(CHAIN, CHAIN) == 0 and shd(CHAIN, back) == 1 and shd(CHAIN, back, reversal=2) == 2
    assert shd(CHAIN, CausalGraph("zyx", [("x", "z")])) == 3
    assert shd(CHAIN, CPDAG.of(CHAIN)) == 2  # directions that the class does not know


def test_precision_and_recall() -> None:
    guess = CausalGraph("xyz", [("y", "x"), ("x", "z")])
    assert (adjacencies(CHAIN, guess).precision, adjacencies(CHAIN, guess).recall) == (0.5, 0.5)
    assert arrows(CHAIN, guess).f1 == 0.0 and arrows(CHAIN, CHAIN).f1 == 1.0
    assert arrows(CHAIN, CPDAG.of(CHAIN)).recall == 0.0 and arrows(CHAIN, CPDAG.of(CHAIN)).precision == 1.0
    empty = CausalGraph("xyz")
    assert arrows(empty, empty).f1 == 1.0 and arrows(CHAIN, empty).recall == 0.0


def by_adjustment(true: CausalGraph, estimate: CausalGraph) -> int:
    """SID from its definition, numerically: a linear model's effect against the coefficient after adjusting."""
    rng = np.random.default_rng(0)
    weights = true.adjacency * rng.uniform(0.5, 2.0, true.adjacency.shape)
    _, covariance = LinearSCM(true, torch.from_numpy(weights)).mean_cov()
    c, d = covariance.double().numpy(), len(true)
    total = np.linalg.inv(np.eye(d) - weights)
    wrong = 0
    for i, j in itertools.permutations(range(d), 2):
        z = np.flatnonzero(estimate.adjacency[:, i])
        if j in z:
            wrong += abs(total[i, j]) > 1e-9
        else:
            on = [i, *z]
            wrong += abs(np.linalg.solve(c[np.ix_(on, on)], c[on, j])[0] - total[i, j]) > 1e-6
    return int(wrong)


def test_sid_is_the_number_of_wrong_effects() -> None:
    for seed in range(60):
        true, guess = (CausalGraph.random(5, degree=2.0, seed=s) for s in (seed, 1000 + seed))
        guess = CausalGraph(true.nodes, guess.edges)
        assert sid(true, guess) == by_adjustment(true, guess), (true, guess)


def test_distances_of_effects_are_zero_for_supergraphs_and_not_the_other_way() -> None:
    more, empty = CausalGraph("xyz", [*CHAIN.edges, ("x", "z")]), CausalGraph("xyz")
    assert sid(CHAIN, more) == aid(CHAIN, more) == aid(CHAIN, more, "optimal") == 0
    # the chain blocks nothing on y <- x -> z; its ancestors and its best set for (y, z) do, or do not, hold x
    assert (sid(more, CHAIN), aid(more, CHAIN), aid(more, CHAIN, "optimal")) == (1, 0, 1)
    assert aid(more, empty) == aid(more, empty, "optimal") == 3  # three effects are denied


def test_distances_of_effects_by_hand() -> None:
    fork = CausalGraph("xyz", [("y", "x"), ("y", "z")])
    # the fork denies that x acts on y and z, and takes the association of y and x for an effect of y
    assert sid(CHAIN, fork) == aid(CHAIN, fork) == aid(CHAIN, fork, "optimal") == 3


def test_bounds_over_a_class_are_those_of_its_members() -> None:
    assert sid_bounds(CHAIN, CPDAG.of(CHAIN)) == (0, max(sid(CHAIN, g) for g in CPDAG.of(CHAIN).dags()))
    for seed in range(15):
        true, guess = (CausalGraph.random(7, degree=2.0, seed=s) for s in (seed, 1000 + seed))
        whole = CPDAG.of(guess)
        found = [sid(true, member) for member in whole.dags()]
        assert sid_bounds(true, whole) == (min(found), max(found))
        if whole.undirected:  # one edge known from elsewhere
            a = whole.pattern.copy()
            i, j = (whole.nodes.index(name) for name in whole.undirected[-1])
            a[j, i] = 0
            half = CPDAG(whole.nodes, a)
            found = [sid(true, member) for member in half.dags()]
            assert sid_bounds(true, half) == (min(found), max(found))


def test_bounds_need_a_member() -> None:
    square = np.array([[0, 1, 0, 1], [1, 0, 1, 0], [0, 1, 0, 1], [1, 0, 1, 0]])
    with pytest.raises(CounterfactoryError, match="has no member"):
        sid_bounds(CausalGraph("abcd"), CPDAG("abcd", square))


def test_other_variables_are_refused() -> None:
    for distance in (shd, sid, aid):
        with pytest.raises(CounterfactoryError, match="over different variables"):
            distance(CHAIN, CausalGraph("xyw"))


def test_the_reference_counts_the_same() -> None:
    gadjid = pytest.importorskip("gadjid")
    for seed in range(10):
        true, guess = (CausalGraph.random(20, degree=3.0, seed=s).adjacency for s in (seed, 500 + seed))
        both = CausalGraph.from_any(true), CausalGraph.from_any(guess)
        order = {"edge_direction": "from row to column"}
        assert gadjid.sid(true, guess, **order)[1] == sid(*both)
        assert gadjid.ancestor_aid(true, guess, **order)[1] == aid(*both)
        assert gadjid.oset_aid(true, guess, **order)[1] == aid(*both, adjust="optimal")
        assert gadjid.shd(true, guess)[1] == shd(*both)
