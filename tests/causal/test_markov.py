import itertools
import math

import networkx as nx
import numpy as np
import pytest

from counterfactory.causal import CPDAG, CausalGraph
from counterfactory.causal.markov import (
    RELATIONS,
    dags,
    markov_classes,
    members,
    pattern_of_dags,
    relations,
    separations,
)
from counterfactory.causal.masks import acyclic, canonical, relabelled, transposed, upper_dags
from counterfactory.errors import CounterfactoryError

COUNTS = {  # variables: DAGs up to relabelling, DAGs, classes up to relabelling, classes, members of the largest
    2: (2, 3, 2, 2, 2),
    3: (6, 25, 5, 11, 6),
    4: (31, 543, 20, 185, 24),
    5: (302, 29_281, 142, 8_782, 120),
}
LABELS = {2: (0, 2, 10), 3: (3, 27, 60), 4: (57, 204, 459), 5: (1248, 2090, 5182)}


@pytest.mark.parametrize("n", COUNTS)
def test_the_counts_are_the_known_ones(n: int) -> None:
    graphs, ways = dags(n)
    classes = markov_classes(n)
    found = len(graphs), ways.sum(), len(classes), classes.relabellings.sum(), classes.sizes.max()
    assert found == COUNTS[n]
    assert (classes.sizes * classes.relabellings).sum() == COUNTS[n][1]  # every DAG is in one class


@pytest.mark.parametrize("n", LABELS)
def test_relations_held_by_all_some_and_no_members_are_as_many_as_known(n: int) -> None:
    classes = markov_classes(n)
    held, size = classes.held, classes.sizes[:, None, None]
    assert held.shape == (len(classes), math.comb(n, 2), len(RELATIONS))
    valid, never = int((held == size).sum()), int((held == 0).sum())
    assert (valid, held.size - valid - never, never) == LABELS[n]


@pytest.mark.parametrize(("n", "step"), [(3, 1), (4, 5), (5, 256), (6, 20011)])
def test_separations_are_those_of_the_graph(n: int, step: int) -> None:
    parents = shuffled(upper_dags(n)[::step])
    for row, found in zip(parents, separations(parents), strict=True):
        graph = named(row)
        for z in range(1 << n):
            given = [str(v) for v in range(n) if z >> v & 1]
            free = [v for v in range(n) if not z >> v & 1]
            for i, j in itertools.permutations(free, 2):
                assert bool(found[i, z] >> j & 1) == graph.d_separated(str(i), str(j), given)
            assert all(found[i, z] >> v & 1 == 0 for i in range(n) for v in range(n) if i not in free or v not in free)


@pytest.mark.parametrize(("n", "step"), [(3, 1), (4, 2), (5, 41), (6, 4001)])
def test_relations_are_those_of_all_simple_paths(n: int, step: int) -> None:
    parents = shuffled(upper_dags(n)[::step])
    for row, found in zip(parents, relations(parents), strict=True):
        for (i, j), held in zip(itertools.combinations(range(n), 2), found, strict=True):
            assert dict(zip(RELATIONS, held, strict=True)) == by_paths(row, i, j)


def test_a_path_that_repeats_a_variable_makes_no_collider_and_no_confounder() -> None:
    chain = relations(np.array([[0, 1, 2]], np.uint8))[0]  # 0 -> 1 -> 2
    names = [{name for name, held in zip(RELATIONS, row, strict=True) if held} for row in chain]
    assert names == [{"parent"}, {"ancestor"}, {"parent"}]  # 2 is no collider of 0 and 1, 0 no confounder of 1 and 2


@pytest.mark.parametrize(("n", "step"), [(3, 1), (4, 1), (5, 29)])
def test_members_are_those_of_the_cpdag(n: int, step: int) -> None:
    classes = markov_classes(n)
    for c in range(0, len(classes), step):
        own = classes.members[classes.owner == c]
        graphs = {named(row) for row in own}
        assert graphs == set(CPDAG.of(named(own[0])).dags()) and len(graphs) == len(own)


def test_classes_of_six_variables_have_the_known_extremes() -> None:
    classes = markov_classes(6)
    assert len(classes) == 2201 and classes.relabellings.sum() == 1_067_825 and classes.sizes.max() == 720
    assert acyclic(classes.members).all()
    assert (pattern_of_dags(classes.members) == classes.patterns[classes.owner]).all()


def test_the_same_graph_under_other_names_has_the_same_smallest_code() -> None:
    rng = np.random.default_rng(0)
    parents = upper_dags(5)[rng.choice(1024, 50, replace=False)]
    order = rng.permuted(np.tile(np.arange(5), (50, 1)), axis=1)
    moved = relabelled(parents, order)
    assert (canonical(parents)[0] == canonical(moved)[0]).all()
    for before, after, names in zip(parents, moved, order, strict=True):
        renamed = {(str(names[int(a)]), str(names[int(b)])) for a, b in named(before).edges}
        assert renamed == set(named(after).edges)
    assert (transposed(transposed(parents)) == parents).all()


def test_a_pattern_without_members_has_none() -> None:
    square = np.array([[0b1010, 0b0101, 0b1010, 0b0101]], np.uint8)[0]  # lines 0 - 1 - 2 - 3 - 0, no chord
    graphs, owner = members(np.stack([square, np.array([2, 5, 2, 0], np.uint8)]))
    assert owner.tolist() == [1, 1, 1] and len(graphs) == 3


def test_cycles_are_seen() -> None:
    assert acyclic(np.array([[4, 1, 2], [0, 1, 2]], np.uint8)).tolist() == [False, True]


@pytest.mark.parametrize("n", [1, 7])
def test_other_sizes_are_refused(n: int) -> None:
    with pytest.raises(CounterfactoryError, match="from 2 to 6"):
        markov_classes(n)


def named(parents: np.ndarray) -> CausalGraph:
    n = len(parents)
    edges = [(str(u), str(v)) for u in range(n) for v in range(n) if parents[v] >> u & 1]
    return CausalGraph([str(v) for v in range(n)], edges)


def shuffled(parents: np.ndarray) -> np.ndarray:
    """The same graphs with their variables in random order."""
    n = parents.shape[1]
    return relabelled(parents, np.random.default_rng(0).permuted(np.tile(np.arange(n), (len(parents), 1)), axis=1))


def by_paths(parents: np.ndarray, i: int, j: int) -> dict[str, bool]:
    """The relations by walking along every path of the skeleton."""
    graph = named(parents).to_networkx()
    found = dict.fromkeys(RELATIONS, False)
    for path in nx.all_simple_paths(graph.to_undirected(), str(i), str(j)):
        along = "".join(">" if graph.has_edge(a, b) else "<" for a, b in itertools.pairwise(path))
        ahead, back = along.count(">"), along.count("<")
        found["parent"] |= along == ">"
        found["child"] |= along == "<"
        found["ancestor"] |= back == 0 and ahead > 1
        found["descendant"] |= ahead == 0 and back > 1
        found["collider"] |= ahead > 0 and back > 0 and along == ">" * ahead + "<" * back
        found["confounder"] |= ahead > 0 and back > 0 and along == "<" * back + ">" * ahead
    return found
