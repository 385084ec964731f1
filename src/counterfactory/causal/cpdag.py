"""Markov equivalence: the graph of what observation alone can tell about a DAG.

Two DAGs entail the same independences iff they have the same skeleton and the same v-structures i -> k <- j with i, j
not adjacent (Verma and Pearl 1990). The class of a DAG is drawn as a CPDAG: an edge is directed iff all members agree
on it. It is found from skeleton and v-structures by Meek's rules (Meek 1995), applied until nothing changes:

    R1  i -> j - k, i and k not adjacent                      =>  j -> k
    R2  i -> j -> k, i - k                                    =>  i -> k
    R3  i - j, i - k, i - l, k -> j <- l, k, l not adjacent   =>  i -> j
    R4  i - j, i - k, k -> l -> j, i and l adjacent, k and j not           =>  i -> j

R4 is needed only beside edges known from elsewhere; with it, members of the class are enumerated by directing one
edge, closing, and recursing. They are counted without being enumerated: the undirected parts of a CPDAG are directed
independently of each other, each member of a part has one root, and what a root leaves undirected is made of such parts
again (He, Jia and Yu 2015, Theorem 3).
"""

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import networkx as nx
import numpy as np
from jaxtyping import Int8

from counterfactory.causal.graph import CausalGraph
from counterfactory.errors import CounterfactoryError

Pattern = Int8[np.ndarray, "d d"]
"""A[i, j] = 1, A[j, i] = 0 for i -> j; both 1 for i - j."""


class CPDAG:
    """A partially directed acyclic graph, closed under Meek's rules.

    Args:
        nodes: names, in the order of the matrix.
        pattern: A[i, j] = 1 and A[j, i] = 0 for i -> j; both 1 for an edge that no direction is known of.

    Raises:
        CounterfactoryError: a matrix of another shape, with other values, or with a loop.

    Example:
        >>> chain = CPDAG.of(CausalGraph(["x", "y", "z"], [("x", "y"), ("y", "z")]))
        >>> chain.undirected, chain.size()
        ((('x', 'y'), ('y', 'z')), 3)
        >>> CPDAG.of(CausalGraph(["x", "y", "z"], [("x", "y"), ("z", "y")])).directed
        (('x', 'y'), ('z', 'y'))
    """

    def __init__(self, nodes: Sequence[str], pattern: np.ndarray) -> None:
        self.nodes, a = tuple(nodes), np.asarray(pattern).astype(np.int8)
        if a.shape != (len(self.nodes),) * 2 or not np.isin(a, (0, 1)).all() or a.diagonal().any():
            raise CounterfactoryError(
                "this matrix is no pattern over the variables",
                given=f"shape {a.shape}, values {np.unique(a).tolist()}",
                expected=f"[{len(self.nodes)}, {len(self.nodes)}] of 0 and 1, without loops",
                hint="1 above and 0 below the diagonal for i -> j, 1 in both places for i - j",
            )
        self.pattern: Pattern = close(a)
        self.pattern.flags.writeable = False

    @classmethod
    def of(cls, graph: CausalGraph) -> "CPDAG":
        """The class of a DAG."""
        a = graph.adjacency
        return cls(graph.nodes, pattern_of(a | a.T, v_structures(a)))

    @classmethod
    def from_causal_learn(cls, source: Any, names: Sequence[str] | None = None) -> "CPDAG":
        """What causal-learn's searches return, closed under Meek's rules.

        Args:
            source: a graph of causal-learn, or the result of its PC.
            names: names of the nodes; by default the source's own.

        Raises:
            CounterfactoryError: an edge with two heads or with a circle, which no CPDAG has.
        """
        source = getattr(source, "G", source)
        # the mark at i of the edge i-j stands in [i, j]: -1 a tail, 1 a head, 2 a circle
        marks = np.asarray(source.graph)
        other = ((marks == 1) & (marks.T == 1)) | (marks > 1)
        if other.any():
            raise CounterfactoryError(
                "the graph has edges that no CPDAG has",
                given=f"{int((other | other.T).sum() // 2)} edges with two heads or with a circle",
                expected="edges i -> j and i - j",
                hint="run PC with uc_priority=2",
            )
        return cls(names or [node.get_name() for node in source.get_nodes()], marks == -1)

    @property
    def directed(self) -> tuple[tuple[str, str], ...]:
        """Edges that all members share."""
        return self._edges(self.pattern & (1 - self.pattern.T))

    @property
    def undirected(self) -> tuple[tuple[str, str], ...]:
        """Edges that members direct differently, each once."""
        return self._edges(np.triu(self.pattern & self.pattern.T))

    def _edges(self, mask: np.ndarray) -> tuple[tuple[str, str], ...]:
        return tuple((self.nodes[i], self.nodes[j]) for i, j in np.argwhere(mask == 1))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CPDAG) and self.nodes == other.nodes and np.array_equal(self.pattern, other.pattern)

    def __hash__(self) -> int:
        return hash((self.nodes, self.pattern.tobytes()))

    def __repr__(self) -> str:
        words = [f"{a} -> {b}" for a, b in self.directed] + [f"{a} - {b}" for a, b in self.undirected]
        return f"CPDAG({', '.join(words) or 'no edges'})"

    def dag(self) -> CausalGraph:
        """One member, a consistent extension (Dor and Tarsi 1992).

        Raises:
            CounterfactoryError: there is none, as for an undirected cycle of four without a chord.
        """
        member = _extension(self.pattern)
        if member is None:
            raise CounterfactoryError(
                "this pattern has no member",
                given=repr(self),
                expected="a pattern that some DAG extends without new v-structures",
                hint="look for an undirected cycle without a chord, or for edges that make a directed cycle",
            )
        return self._graph(member)

    def dags(self, limit: int | None = None) -> Iterator[CausalGraph]:
        """The members of the class, at most `limit` of them; none for a pattern without."""
        if _extension(self.pattern) is not None:
            yield from map(self._graph, itertools.islice(_orient(self.pattern), limit))

    def size(self) -> int:
        """Number of members."""
        member = _extension(self.pattern)
        if member is None:
            return 0
        if not np.array_equal(CPDAG.of(self._graph(member)).pattern, self.pattern):
            return sum(1 for _ in self.dags())  # some edges are known from elsewhere: the parts depend on each other
        line = self.pattern & self.pattern.T
        known: dict[tuple[int, ...], int] = {}
        return math.prod([_count(line, part, known) for part in parts(line)])

    def _graph(self, a: np.ndarray) -> CausalGraph:
        return CausalGraph(self.nodes, self._edges(a))


def markov_equivalent(a: CausalGraph, b: CausalGraph) -> bool:
    """Whether two DAGs over the same variables entail the same independences."""
    if set(a.nodes) != set(b.nodes):
        return False
    place = [b.index(name) for name in a.nodes]
    ours, theirs = a.adjacency, b.adjacency[np.ix_(place, place)]
    return np.array_equal(ours | ours.T, theirs | theirs.T) and v_structures(ours) == v_structures(theirs)


def v_structures(a: np.ndarray) -> set[tuple[int, int, int]]:
    """All (i, k, j), i < j, with i -> k <- j in a pattern and i, j not adjacent."""
    apart, arrow = (a | a.T) == 0, a & (1 - a.T)
    return {
        (int(i), k, int(j))
        for k in range(len(a))
        for i, j in itertools.combinations(np.flatnonzero(arrow[:, k]), 2)
        if apart[i, j]
    }


def pattern_of(skeleton: np.ndarray, colliders: Iterable[tuple[int, int, int]]) -> Pattern:
    """A skeleton with its v-structures (i, k, j) directed; where two disagree on an edge, the first wins."""
    a = np.array(skeleton, dtype=np.int8)
    for i, k, j in colliders:
        if a[i, k] and a[j, k]:
            a[k, i] = a[k, j] = 0
    return a


def close(pattern: np.ndarray) -> Pattern:
    """Meek's four rules, until nothing changes; each is one product over all undirected edges."""
    a = np.array(pattern, dtype=np.int8)
    while True:
        arrow, line = (a & (1 - a.T)).astype(np.float32), (a & a.T).astype(np.float32)
        near = np.maximum(a, a.T).astype(np.float32)
        apart = 1 - near - np.eye(len(a), dtype=np.float32)
        i, j = np.nonzero(line)
        beside = line[i] * arrow.T[j]  # [edge, k]: i - k -> j
        far = line[i] * apart[j]  # [edge, k]: i - k, k and j not adjacent
        last = near[i] * arrow.T[j]  # [edge, l]: i adjacent to l -> j
        found = (arrow.T @ apart + arrow @ arrow)[i, j] + ((beside @ apart) * beside + (far @ arrow) * last).sum(-1)
        new = np.zeros(a.shape, dtype=bool)
        new[i, j] = found > 0
        new &= ~np.tril(new & new.T)  # no pattern of a DAG asks for both directions; of others the first is taken
        if not new.any():
            return a
        a[new.T] = 0


def parts(line: np.ndarray) -> list[list[int]]:
    """The connected parts of an undirected graph that have an edge."""
    found = nx.connected_components(nx.from_numpy_array(line))
    return [sorted(part) for part in found if len(part) > 1]


def _orient(pattern: Pattern) -> Iterator[Pattern]:
    """All members of a closed pattern that has any: every undirected edge can then be directed either way."""
    open_edges = np.argwhere(np.triu(pattern & pattern.T))
    if not len(open_edges):
        yield pattern
        return
    i, j = open_edges[0]
    for cause, effect in ((i, j), (j, i)):
        a = pattern.copy()
        a[effect, cause] = 0
        yield from _orient(close(a))


def _extension(pattern: Pattern) -> Pattern | None:
    """Take away sinks one by one: nodes without children whose undirected neighbours know all their neighbours."""
    a, left = pattern.copy(), np.arange(len(pattern))
    near = (pattern | pattern.T).astype(bool) | np.eye(len(pattern), dtype=bool)
    while len(left):
        for x in left:
            out, into = a[x, left] == 1, a[left, x] == 1
            lines, neighbours = left[out & into], left[out | into]
            if not (out & ~into).any() and near[np.ix_(lines, neighbours)].all():
                a[x, lines] = 0
                left = left[left != x]
                break
        else:
            return None
    return a


def _count(line: np.ndarray, part: list[int], known: dict[tuple[int, ...], int]) -> int:
    """Ways to direct a connected chordal part without cycles and v-structures, summed over its root."""
    key, own = tuple(part), line[np.ix_(part, part)]
    if own.all(where=~np.eye(len(part), dtype=bool)):
        return math.factorial(len(part))
    if key not in known:
        known[key] = 0
        for root in range(len(part)):
            a = own.copy()
            a[:, root] = 0
            inner = close(a)
            inner &= inner.T
            known[key] += math.prod([_count(line, [part[v] for v in sub], known) for sub in parts(inner)])
    return known[key]
