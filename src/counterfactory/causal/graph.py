"""Causal graphs: immutable directed acyclic graphs over named variables.

Conventions used by every file of this room: `A[i, j] = 1` means i -> j (row to column), nodes keep the order in which
they were given, and ties in the topological order are broken by that order, so every result is deterministic.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import networkx as nx
import numpy as np
from jaxtyping import Bool, Int8

from counterfactory.errors import CounterfactoryError, unknown

Names = str | Iterable[str]
"""One name, or several."""


@dataclass(frozen=True, init=False, eq=False, repr=False)
class CausalGraph:
    """A directed acyclic graph; an edge (cause, effect) says that the effect's mechanism reads the cause.

    Args:
        nodes: distinct names; their order is the order of columns and rows everywhere.
        edges: pairs (cause, effect) of those names.

    Raises:
        CounterfactoryError: a name given twice, an edge to an unknown name, an edge given twice, or a cycle (named in
            the error).

    Example:
        >>> graph = CausalGraph(["x", "y", "z"], [("x", "y"), ("x", "z"), ("y", "z")])
        >>> graph.parents("z"), graph.descendants("x"), graph.d_separated("x", "z", ["y"])
        (('x', 'y'), ('y', 'z'), False)
    """

    nodes: tuple[str, ...]
    edges: tuple[tuple[str, str], ...]

    def __init__(self, nodes: Iterable[str], edges: Iterable[tuple[str, str]] = ()) -> None:
        object.__setattr__(self, "nodes", tuple(nodes))
        object.__setattr__(self, "edges", tuple((cause, effect) for cause, effect in edges))
        _refuse_twice("node", self.nodes)
        _refuse_twice("edge", self.edges)
        for edge in self.edges:
            for name in edge:
                if name not in self.nodes:  # networkx would add it silently
                    raise unknown(f"node in the edge {edge[0]} -> {edge[1]}", name, self.nodes)
        try:
            cycle = [cause for cause, _ in nx.find_cycle(self._nx)]
        except nx.NetworkXNoCycle:
            return
        first = min(range(len(cycle)), key=lambda i: self.nodes.index(cycle[i]))
        shown = " -> ".join([*cycle[first:], *cycle[: first + 1]])
        raise CounterfactoryError(
            "the graph has a cycle",
            given=shown,
            expected="a directed acyclic graph",
            hint="remove or reverse one of these edges",
        )

    def __len__(self) -> int:
        return len(self.nodes)

    def __contains__(self, name: object) -> bool:
        return name in self.nodes

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CausalGraph) and self.nodes == other.nodes and set(self.edges) == set(other.edges)

    def __hash__(self) -> int:
        return hash((self.nodes, frozenset(self.edges)))

    def __repr__(self) -> str:
        return f"CausalGraph({list(self.nodes)}, {list(self.edges)})"

    # ---- other forms ----

    @classmethod
    def from_any(cls, source: Any, names: Sequence[str] | None = None) -> "CausalGraph":
        """A graph from an adjacency matrix, a networkx graph, or a graph of causal-learn.

        Args:
            source: a square matrix whose nonzero entries [i, j] are edges i -> j, a `networkx.DiGraph`, or what
                causal-learn's searches return (only when every edge is directed).
            names: names of the nodes; by default the source's own, or x0, x1, ... for a matrix.

        Raises:
            CounterfactoryError: the source is none of these, has undirected edges, or is no directed acyclic graph.
        """
        if isinstance(source, CausalGraph):
            return cls(names or source.nodes, _renamed(source.edges, source.nodes, names))
        if isinstance(source, nx.DiGraph):
            own = [str(v) for v in source.nodes]
            return cls(names or own, _renamed([(str(a), str(b)) for a, b in source.edges], own, names))
        source = getattr(source, "G", source)  # causal-learn's result of PC carries its graph as .G
        if hasattr(source, "get_nodes"):
            # causal-learn codes the mark at i of the edge i-j in [i, j]: -1 a tail, 1 an arrow head
            marks, own = np.asarray(source.graph), [node.get_name() for node in source.get_nodes()]
            if ((marks != 0) & (marks == marks.T)).any():
                raise CounterfactoryError(
                    "the graph has edges without a direction",
                    given=f"{int((marks != 0).sum() // 2)} edges",
                    expected="a directed acyclic graph",
                    hint="read it as a CPDAG",
                )
            return cls.from_any((marks == -1) & (marks.T == 1), names or own)
        matrix = np.asarray(source)
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or (names is not None and len(names) != len(matrix)):
            raise CounterfactoryError(
                "no graph can be read from this",
                given=f"{type(source).__name__} of shape {matrix.shape}, {'no' if names is None else len(names)} names",
                expected="a square adjacency matrix, a networkx DiGraph, or a causal-learn graph",
                hint="give A with A[i, j] != 0 for i -> j, and as many names as rows",
            )
        named = list(names) if names is not None else [f"x{i}" for i in range(len(matrix))]
        return cls(named, [(named[i], named[j]) for i, j in np.argwhere(matrix)])

    @classmethod
    def random(cls, nodes: int, degree: int | float = 2.0, seed: int = 0) -> "CausalGraph":
        """A random graph (Erdos-Renyi) over x0, x1, ... with `degree` neighbours a node on average, in random order."""
        rng = np.random.default_rng(seed)
        upper = np.triu(rng.random((nodes, nodes)) < degree / max(nodes - 1, 1), k=1)
        shuffle = rng.permutation(nodes)
        return cls.from_any(upper[np.ix_(shuffle, shuffle)])

    def to_networkx(self) -> nx.DiGraph:
        """A networkx copy, free to change."""
        return self._nx.copy()

    @cached_property
    def _nx(self) -> nx.DiGraph:
        graph: nx.DiGraph = nx.DiGraph()
        graph.add_nodes_from(self.nodes)
        graph.add_edges_from(self.edges)
        return graph

    @cached_property
    def _place(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.nodes)}

    @cached_property
    def adjacency(self) -> Int8[np.ndarray, "d d"]:
        """`A[i, j] = 1` iff i -> j; read-only."""
        matrix = np.zeros((len(self), len(self)), np.int8)
        for cause, effect in self.edges:
            matrix[self._place[cause], self._place[effect]] = 1
        matrix.setflags(write=False)
        return matrix

    # ---- neighbours and order ----

    def index(self, name: str) -> int:
        """The place of a node in `nodes`."""
        if name not in self._place:
            raise unknown("node", name, self.nodes)
        return self._place[name]

    def parents(self, name: str) -> tuple[str, ...]:
        """Direct causes, in node order."""
        return self._named(self.adjacency[:, self.index(name)])

    def children(self, name: str) -> tuple[str, ...]:
        """Direct effects, in node order."""
        return self._named(self.adjacency[self.index(name)])

    def ancestors(self, name: str) -> tuple[str, ...]:
        """Direct and indirect causes, in node order, without the node itself."""
        return self._named(self.reach[:, self.index(name)])

    def descendants(self, name: str) -> tuple[str, ...]:
        """Direct and indirect effects, in node order, without the node itself."""
        return self._named(self.reach[self.index(name)])

    def _named(self, mask: np.ndarray) -> tuple[str, ...]:
        return tuple(self.nodes[i] for i in np.flatnonzero(mask))

    @cached_property
    def reach(self) -> Bool[np.ndarray, "d d"]:
        """Entry [i, j] says whether a directed path leads from i to j."""
        reach = self.adjacency.astype(bool)
        for name in reversed(self.order):
            i = self._place[name]
            reach[i] |= reach[reach[i]].any(axis=0)
        return reach

    @cached_property
    def order(self) -> tuple[str, ...]:
        """A topological order: causes before effects, ties in node order."""
        return tuple(nx.lexicographical_topological_sort(self._nx, key=self._place.__getitem__))

    @cached_property
    def generations(self) -> tuple[tuple[str, ...], ...]:
        """Nodes by the length of the longest path that leads to them, each generation in node order."""
        return tuple(tuple(sorted(g, key=self._place.__getitem__)) for g in nx.topological_generations(self._nx))

    @cached_property
    def roots(self) -> tuple[str, ...]:
        """Nodes without parents."""
        return self._named(self.adjacency.sum(axis=0) == 0)

    # ---- separation and adjustment ----

    def moral(self) -> nx.Graph:
        """The moral graph: parents of a common child married, directions dropped."""
        return nx.moral_graph(self._nx)

    def markov_blanket(self, name: str) -> tuple[str, ...]:
        """Parents, children and the children's other parents: given these, a node is independent of all others."""
        i = self.index(name)
        children = self.adjacency[i].astype(bool)
        blanket = self.adjacency[:, i].astype(bool) | children | self.adjacency[:, children].any(axis=1)
        blanket[i] = False
        return self._named(blanket)

    def d_separated(self, x: Names, y: Names, given: Names = ()) -> bool:
        """Whether every path between x and y is blocked by `given` (disjoint names or sets of names)."""
        sets = [self._set(names) for names in (x, y, given)]
        for a, b in itertools.combinations(sets, 2):
            if a & b:
                raise CounterfactoryError(
                    "the sets overlap",
                    given=sorted(a & b),
                    expected="disjoint x, y and given",
                    hint="leave each node in one set",
                )
        return bool(nx.is_d_separator(self._nx, *sets))

    def dsep_matrix(self, given: Names = ()) -> Bool[np.ndarray, "d d"]:
        """d-separation of all pairs at once: [i, j] is True iff i and j are d-separated by `given`.

        The ball of Bayes-ball (Shachter 1998) walks over the 2d states (node, came from a child) and (node, came from a
        parent); the transitive closure of its moves answers all pairs. A node of `given` counts as separated from every
        other node.
        """
        d, A = len(self), self.adjacency.astype(bool)
        known = np.isin(np.arange(d), [self._place[name] for name in self._set(given)])
        free = ~known[:, None]
        up, down = A.T & free, A & free
        # a known node sends a ball that comes from a parent back up: so colliders open, and so do their ancestors
        moves = np.block([[up, down], [A.T & known[:, None], down]])
        closure = moves | np.eye(2 * d, dtype=bool)
        for _ in range(max(2 * d - 1, 1).bit_length()):
            closure = (closure.astype(np.float32) @ closure.astype(np.float32)) > 0
        met = closure[:d, :d] | closure[:d, d:]
        met[known] = met[:, known] = False
        np.fill_diagonal(met, True)
        return ~met

    def backdoor_set(self, cause: str, effect: str) -> tuple[str, ...] | None:
        """One minimal adjustment set by the back-door criterion, in node order; None when there is none."""
        cut, allowed = self._backdoor(cause, effect)
        found = nx.find_minimal_d_separator(cut, cause, effect, restricted=allowed)
        return None if found is None else tuple(n for n in self.nodes if n in found)

    def backdoor_sets(self, cause: str, effect: str) -> Iterator[tuple[str, ...]]:
        """All minimal adjustment sets by the back-door criterion (Pearl 1993), smallest first.

        A set qualifies when it holds no descendant of the cause and d-separates cause and effect once the cause's
        outgoing edges are removed. The walk over subsets is exponential in the number of common ancestors: take what
        you need.
        """
        if self.backdoor_set(cause, effect) is None:
            return
        cut, allowed = self._backdoor(cause, effect)
        useful = nx.ancestors(cut, cause) | nx.ancestors(cut, effect)
        candidates = [n for n in self.nodes if n in allowed & useful]
        found: list[set[str]] = []
        for size in range(len(candidates) + 1):
            for subset in itertools.combinations(candidates, size):
                if not any(smaller <= set(subset) for smaller in found) and nx.is_d_separator(
                    cut, {cause}, {effect}, set(subset)
                ):
                    found.append(set(subset))
                    yield subset

    def _backdoor(self, cause: str, effect: str) -> tuple[nx.DiGraph, set[str]]:
        self.index(effect)
        cut = self.to_networkx()
        cut.remove_edges_from([(cause, child) for child in self.children(cause)])
        return cut, set(self.nodes) - {cause, effect} - set(self.descendants(cause))

    def _set(self, names: Names) -> set[str]:
        chosen = {names} if isinstance(names, str) else set(names)
        for name in chosen:
            self.index(name)
        return chosen


def _refuse_twice(kind: str, items: Sequence[Any]) -> None:
    if len(set(items)) != len(items):
        twice = next(item for i, item in enumerate(items) if item in items[:i])
        raise CounterfactoryError(
            f"a {kind} is given twice", given=twice, expected=f"every {kind} once", hint="remove one of the two"
        )


def _renamed(edges: Iterable[tuple[str, str]], old: Sequence[str], new: Sequence[str] | None) -> list[tuple[str, str]]:
    if new is None:
        return list(edges)
    names = dict(zip(old, new, strict=True))
    return [(names[a], names[b]) for a, b in edges]
