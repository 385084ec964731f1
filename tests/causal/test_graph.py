import itertools

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterfactory.causal import CausalGraph
from counterfactory.errors import CounterfactoryError


@st.composite
def graphs(draw, most=7):
    """Nodes and edges; the graph itself is built in the test."""
    d = draw(st.integers(1, most))
    pairs = list(itertools.combinations(range(d), 2))
    kept = [pair for pair in pairs if draw(st.booleans())]
    place = draw(st.permutations(range(d)))
    return [f"v{i}" for i in range(d)], [(f"v{place[a]}", f"v{place[b]}") for a, b in kept]


CHAIN = CausalGraph(["a", "b", "c"], [("a", "b"), ("b", "c")])
COLLIDER = CausalGraph(["a", "b", "c", "d"], [("a", "b"), ("c", "b"), ("b", "d")])


def test_a_cycle_is_named_from_its_first_node():
    with pytest.raises(CounterfactoryError, match="x -> y -> z -> x"):
        CausalGraph(["x", "y", "z", "w"], [("y", "z"), ("z", "x"), ("x", "y"), ("x", "w")])
    with pytest.raises(CounterfactoryError, match="x -> x"):
        CausalGraph(["x"], [("x", "x")])


def test_unknown_and_repeated_names_are_refused():
    with pytest.raises(CounterfactoryError, match="edge x -> angel") as error:
        CausalGraph(["x", "angle"], [("x", "angel")])
    assert "did you mean 'angle'" in str(error.value)
    with pytest.raises(CounterfactoryError, match="a node is given twice"):
        CausalGraph(["x", "y", "x"])
    with pytest.raises(CounterfactoryError, match="edge is given twice"):
        CausalGraph(["x", "y"], [("x", "y"), ("x", "y")])
    with pytest.raises(CounterfactoryError, match="unknown node"):
        CHAIN.parents("q")


def test_a_graph_cannot_be_changed():
    with pytest.raises(AttributeError):
        CHAIN.nodes = ("x",)
    with pytest.raises(ValueError, match="read-only"):
        CHAIN.adjacency[0, 1] = 0
    CHAIN.to_networkx().remove_node("a")
    assert CHAIN.parents("b") == ("a",)


def test_equality_ignores_the_order_of_edges_and_not_that_of_nodes():
    again = CausalGraph(["a", "b", "c"], [("b", "c"), ("a", "b")])
    assert again == CHAIN and hash(again) == hash(CHAIN)
    assert CausalGraph(["b", "a", "c"], CHAIN.edges) != CHAIN


@given(graphs())
@settings(max_examples=60, deadline=None)
def test_relations_agree_with_networkx(parts):
    graph = CausalGraph(*parts)
    other = graph.to_networkx()
    for name in graph.nodes:
        assert set(graph.parents(name)) == set(other.predecessors(name))
        assert set(graph.children(name)) == set(other.successors(name))
        assert set(graph.ancestors(name)) == nx.ancestors(other, name)
        assert set(graph.descendants(name)) == nx.descendants(other, name)
        assert list(graph.ancestors(name)) == sorted(graph.ancestors(name), key=graph.nodes.index)
    assert [graph.index(n) for n in graph.nodes] == list(range(len(graph)))
    assert all(graph.order.index(a) < graph.order.index(b) for a, b in graph.edges)
    assert graph.roots == tuple(n for n in graph.nodes if not graph.parents(n)) == graph.generations[0]
    depth = {n: i for i, generation in enumerate(graph.generations) for n in generation}
    assert all(depth[n] == 1 + max((depth[p] for p in graph.parents(n)), default=-1) for n in graph.nodes)


def test_ties_in_the_order_follow_the_nodes():
    assert CausalGraph(["c", "b", "a"], [("a", "c")]).order == ("b", "a", "c")


def test_separation_in_chain_and_collider():
    assert not CHAIN.d_separated("a", "c") and CHAIN.d_separated("a", "c", "b")
    assert COLLIDER.d_separated("a", "c") and not COLLIDER.d_separated("a", "c", ["b"])
    assert not COLLIDER.d_separated("a", "c", "d")  # a descendant of a collider opens the path too
    assert COLLIDER.d_separated(["a"], ["d"], ["b"]) and not COLLIDER.d_separated("a", ["c", "d"])
    with pytest.raises(CounterfactoryError, match="overlap"):
        CHAIN.d_separated("a", "c", ["a"])


EVERY_GRAPH_OF_FOUR = [
    CausalGraph("abcd", [pair for pair, kept in zip(itertools.combinations("abcd", 2), bits, strict=True) if kept])
    for bits in itertools.product([False, True], repeat=6)
]


@pytest.mark.parametrize("size", range(5))
def test_all_pairs_of_separations_agree_with_single_queries(size):
    for graph, known in itertools.product(EVERY_GRAPH_OF_FOUR, itertools.combinations("abcd", size)):
        compare_separations(graph, set(known))


@given(graphs(), st.data())
@settings(max_examples=40, deadline=None)
def test_all_pairs_of_separations_in_larger_graphs(parts, data):
    graph = CausalGraph(*parts)
    compare_separations(graph, {name for name in graph.nodes if data.draw(st.booleans())})


def compare_separations(graph, known):
    table = graph.dsep_matrix(known)
    for (i, x), (j, y) in itertools.product(enumerate(graph.nodes), repeat=2):
        if x in known or y in known:
            assert table[i, j] == (i != j)
        else:
            assert table[i, j] == (i != j and graph.d_separated(x, y, known))


@given(graphs(), st.data())
@settings(max_examples=40, deadline=None)
def test_the_markov_blanket_shields_and_is_the_smallest_that_does(parts, data):
    graph = CausalGraph(*parts)
    name = data.draw(st.sampled_from(graph.nodes))
    blanket = graph.markov_blanket(name)
    rest = set(graph.nodes) - {name, *blanket}
    assert not rest or graph.d_separated(name, rest, blanket)
    for member in blanket:
        assert not graph.d_separated(name, rest | {member}, set(blanket) - {member})


def test_moral_graph_marries_parents():
    assert {frozenset(e) for e in COLLIDER.moral().edges} == {frozenset(p) for p in ("ab", "bc", "ac", "bd")}


def test_backdoor_sets_of_a_known_graph():
    # two confounders, one of them with a chain, and a mediator that must never be adjusted for
    graph = CausalGraph(
        ["u", "v", "w", "x", "m", "y"],
        [("u", "x"), ("u", "y"), ("v", "w"), ("v", "x"), ("w", "y"), ("x", "m"), ("m", "y")],
    )
    assert list(graph.backdoor_sets("x", "y")) == [("u", "v"), ("u", "w")]
    assert graph.backdoor_set("x", "y") in [("u", "v"), ("u", "w")]
    assert CHAIN.backdoor_set("b", "a") is None and list(CHAIN.backdoor_sets("b", "a")) == []
    assert list(CHAIN.backdoor_sets("a", "c")) == [()]


@given(graphs(6), st.data())
@settings(max_examples=40, deadline=None)
def test_backdoor_sets_are_all_the_minimal_ones(parts, data):
    graph = CausalGraph(*parts)
    cause, effect = data.draw(st.permutations(graph.nodes))[:2] if len(graph) > 1 else (None, None)
    if cause is None:
        return
    cut = graph.to_networkx()
    cut.remove_edges_from([(cause, c) for c in graph.children(cause)])
    free = [n for n in graph.nodes if n not in {cause, effect, *graph.descendants(cause)}]
    valid = [
        set(s)
        for k in range(len(free) + 1)
        for s in itertools.combinations(free, k)
        if nx.is_d_separator(cut, {cause}, {effect}, set(s))
    ]
    minimal = [s for s in valid if not any(other < s for other in valid)]
    found = [set(s) for s in graph.backdoor_sets(cause, effect)]
    assert sorted(map(sorted, found)) == sorted(map(sorted, minimal))


def test_graphs_come_from_matrices_and_networkx():
    matrix = np.array([[0, 0.5, 0], [0, 0, -2], [0, 0, 0]])
    assert CausalGraph.from_any(matrix, ["a", "b", "c"]) == CHAIN
    assert CausalGraph.from_any(matrix).nodes == ("x0", "x1", "x2")
    assert CausalGraph.from_any(CHAIN.to_networkx()) == CHAIN
    assert CausalGraph.from_any(CHAIN, ["x", "y", "z"]).edges == (("x", "y"), ("y", "z"))
    assert CausalGraph.from_any(CHAIN.adjacency, CHAIN.nodes) == CHAIN
    with pytest.raises(CounterfactoryError, match="no graph can be read"):
        CausalGraph.from_any(np.zeros((2, 3)))
    with pytest.raises(CounterfactoryError, match="x0 -> x1 -> x0"):
        CausalGraph.from_any(np.ones((2, 2)) - np.eye(2))


def test_graphs_come_from_causal_learn_with_the_right_direction():
    pytest.importorskip("causallearn")
    from causallearn.graph.Dag import Dag
    from causallearn.graph.Edge import Edge
    from causallearn.graph.Endpoint import Endpoint
    from causallearn.graph.GeneralGraph import GeneralGraph
    from causallearn.graph.GraphNode import GraphNode

    nodes = [GraphNode(n) for n in "abc"]
    theirs = Dag(nodes)
    theirs.add_directed_edge(nodes[0], nodes[1])
    theirs.add_directed_edge(nodes[1], nodes[2])
    assert CausalGraph.from_any(theirs) == CHAIN
    half = GeneralGraph(nodes)
    half.add_edge(Edge(nodes[0], nodes[1], Endpoint.TAIL, Endpoint.TAIL))
    with pytest.raises(CounterfactoryError, match="without a direction"):
        CausalGraph.from_any(half)


def test_random_graphs_repeat_and_have_the_asked_degree():
    assert CausalGraph.random(30, 4.0, seed=3) == CausalGraph.random(30, 4.0, seed=3)
    edges = [len(CausalGraph.random(40, 3.0, seed=s).edges) for s in range(20)]
    assert abs(np.mean(edges) - 60) < 3 * np.sqrt(60 / 20)
