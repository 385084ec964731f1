"""Markov equivalence: classes are those of d-separation, and their members are all and only theirs."""

import itertools
import math

import networkx as nx
import numpy as np
import pytest

from counterfactory.causal import CPDAG, CausalGraph, markov_equivalent
from counterfactory.errors import CounterfactoryError


def all_dags(d: int) -> list[CausalGraph]:
    nodes = [f"x{i}" for i in range(d)]
    pairs = list(itertools.combinations(range(d), 2))
    found = []
    for kinds in itertools.product((0, 1, 2), repeat=len(pairs)):
        edges = [(i, j) if kind == 1 else (j, i) for (i, j), kind in zip(pairs, kinds, strict=True) if kind]
        try:
            found.append(CausalGraph(nodes, [(nodes[i], nodes[j]) for i, j in edges]))
        except CounterfactoryError:
            continue
    return found


def separations(graph: CausalGraph) -> frozenset:
    """All (pair, set) that are d-separated."""
    out = set()
    for a, b in itertools.combinations(graph.nodes, 2):
        rest = [n for n in graph.nodes if n not in (a, b)]
        for k in range(len(rest) + 1):
            out |= {(a, b, given) for given in itertools.combinations(rest, k) if graph.d_separated(a, b, given)}
    return frozenset(out)


@pytest.mark.parametrize(("d", "dags", "classes"), [(2, 3, 2), (3, 25, 11), (4, 543, 185)])
def test_the_numbers_of_dags_and_of_classes_are_the_known_ones(d: int, dags: int, classes: int) -> None:
    everything = all_dags(d)
    by_class: dict[CPDAG, list[CausalGraph]] = {}
    for graph in everything:
        by_class.setdefault(CPDAG.of(graph), []).append(graph)
    assert (len(everything), len(by_class)) == (dags, classes)
    for pattern, members in by_class.items():
        assert set(pattern.dags()) == set(members) and pattern.size() == len(members)
        assert pattern.dag() in members
        for a, b in itertools.combinations(pattern.nodes, 2):  # directed iff all members agree
            agree = [(a, b) in m.edges for m in members]
            assert ((a, b) in pattern.directed) == all(agree)
            assert ((a, b) in pattern.undirected) == (any(agree) and not all(agree))


def test_equivalent_is_the_same_d_separations() -> None:
    everything = all_dags(3)
    told = {graph: separations(graph) for graph in everything}
    for a, b in itertools.product(everything, repeat=2):
        assert markov_equivalent(a, b) == (told[a] == told[b]) == (CPDAG.of(a) == CPDAG.of(b))
    assert not markov_equivalent(everything[0], CausalGraph(["p", "q", "r"]))
    a, b = CausalGraph("xyz", [("x", "y")]), CausalGraph("zyx", [("y", "x")])
    assert markov_equivalent(a, b)


def test_each_of_meeks_rules_directs_its_edge() -> None:
    def directed(nodes: str, arrows: list[str], lines: list[str]) -> set[tuple[str, str]]:
        a = np.zeros((len(nodes),) * 2, dtype=int)
        for i, j in [*arrows, *lines]:
            a[nodes.index(i), nodes.index(j)] = 1
        for i, j in lines:
            a[nodes.index(j), nodes.index(i)] = 1
        return set(CPDAG(nodes, a).directed)

    assert ("y", "z") in directed("xyz", ["xy"], ["yz"])
    assert ("x", "z") in directed("xyz", ["xy", "yz"], ["xz"])
    assert ("i", "j") in directed("ijkl", ["kj", "lj"], ["ij", "ik", "il"])
    assert ("i", "j") in directed("ijkl", ["kl", "lj"], ["ij", "ik", "il"])


def test_large_random_graphs_are_in_their_own_class() -> None:
    for seed in range(20):
        graph = CausalGraph.random(12, degree=2.0, seed=seed)
        pattern = CPDAG.of(graph)
        assert markov_equivalent(pattern.dag(), graph)
        assert all(markov_equivalent(member, graph) for member in pattern.dags(limit=10))


def lines(graph: nx.Graph) -> CPDAG:
    """A pattern without any direction."""
    return CPDAG([str(v) for v in graph], nx.to_numpy_array(graph, dtype=int))


def test_classes_are_counted_by_known_formulas() -> None:
    assert lines(nx.path_graph(30)).size() == lines(nx.star_graph(29)).size() == 30  # a tree has one member a root
    assert lines(nx.complete_graph(9)).size() == math.factorial(9)
    assert lines(nx.disjoint_union(nx.path_graph(5), nx.complete_graph(4))).size() == 5 * 24
    near_complete = nx.complete_graph(7)
    near_complete.remove_edge(0, 1)  # He, Jia and Yu 2015, Theorem 5: 2 (p - 1)! - (p - 2)!
    assert lines(near_complete).size() == 2 * math.factorial(6) - math.factorial(5)


def test_counting_agrees_with_enumerating() -> None:
    for seed in range(8):
        whole = CPDAG.of(CausalGraph.random(8, degree=2.5, seed=seed))
        assert whole.size() == len(set(whole.dags()))
        chordal, _ = nx.complete_to_chordal_graph(nx.gnp_random_graph(6, 0.5, seed=seed))
        pattern = lines(nx.convert_node_labels_to_integers(chordal))
        members = set(pattern.dags())
        assert pattern.size() == len(members)
        i, j = np.argwhere(pattern.pattern)[0]
        known = pattern.pattern.copy()
        known[j, i] = 0  # one edge known from elsewhere leaves the members that have it
        left = CPDAG(pattern.nodes, known)
        assert set(left.dags()) == {m for m in members if (pattern.nodes[i], pattern.nodes[j]) in m.edges}
        assert left.size() == len(set(left.dags()))


def test_patterns_without_members_and_matrices_that_are_none() -> None:
    square = np.array([[0, 1, 0, 1], [1, 0, 1, 0], [0, 1, 0, 1], [1, 0, 1, 0]])
    with pytest.raises(CounterfactoryError, match="has no member"):
        CPDAG("abcd", square).dag()
    many = CPDAG([f"x{i}" for i in range(60)], np.kron(np.eye(15, dtype=int), square))
    assert list(many.dags()) == [] and many.size() == 0
    for wrong in (np.eye(3), np.zeros((2, 3)), 2 * np.ones((3, 3))):
        with pytest.raises(CounterfactoryError, match="no pattern over the variables"):
            CPDAG("abc", wrong)
    assert repr(CPDAG.of(CausalGraph("ab"))) == "CPDAG(no edges)"


def test_graphs_of_causal_learn_are_read_with_the_right_marks() -> None:
    pytest.importorskip("causallearn")
    from causallearn.graph.Edge import Edge
    from causallearn.graph.Endpoint import Endpoint
    from causallearn.graph.GeneralGraph import GeneralGraph
    from causallearn.graph.GraphNode import GraphNode

    tail, head = Endpoint.TAIL, Endpoint.ARROW
    nodes = [GraphNode(n) for n in "abcd"]
    theirs = GeneralGraph(nodes)
    theirs.add_edge(Edge(nodes[0], nodes[1], tail, head))
    theirs.add_edge(Edge(nodes[2], nodes[1], tail, head))
    theirs.add_edge(Edge(nodes[2], nodes[3], tail, tail))
    found = CPDAG.from_causal_learn(theirs)
    assert (found.directed, found.undirected) == ((("a", "b"), ("c", "b")), (("c", "d"),))
    assert CPDAG.from_causal_learn(theirs, names="wxyz").undirected == (("y", "z"),)
    theirs.add_edge(Edge(nodes[0], nodes[3], head, head))
    with pytest.raises(CounterfactoryError, match="1 edges with two heads"):
        CPDAG.from_causal_learn(theirs)
