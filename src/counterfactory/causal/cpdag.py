"""Markov equivalence: the graph of what observation alone can tell about a DAG.

Two DAGs entail the same independences iff they have the same skeleton and the same v-structures i -> k <- j with i, j
not adjacent (Verma and Pearl 1990). The class of a DAG is drawn as a CPDAG: an edge is directed iff all members agree
on it. It is found from skeleton and v-structures by Meek's rules (Meek 1995), applied until nothing changes:

    R1  i -> j - k, i and k not adjacent                      =>  j -> k
    R2  i -> j -> k, i - k                                    =>  i -> k
    R3  i - j, i - k, i - l, k -> j <- l, k, l not adjacent   =>  i -> j
    R4  i - j, i - k (or k adjacent to i), k -> l -> j, k and j not adjacent   =>  i -> j

R4 is needed only beside edges known from elsewhere; with it, members of the class are enumerated by directing one
edge, closing, and recursing.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence

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
        CounterfactoryError: a matrix of another shape, with other values or a loop, or without any member.

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
        """One member (a consistent extension).

        Raises:
            CounterfactoryError: there is none, as for an undirected cycle of four without a chord.
        """
        member = next(self.dags(limit=1), None)
        if member is None:
            raise CounterfactoryError(
                "this pattern has no member",
                given=repr(self),
                expected="a pattern that some DAG extends without new v-structures",
                hint="look for an undirected cycle without a chord, or for edges that make a directed cycle",
            )
        return member

    def dags(self, limit: int | None = None) -> Iterator[CausalGraph]:
        """The members of the class, at most `limit` of them."""
        wanted = v_structures(self.pattern)
        found = (a for a in _orient(self.pattern) if v_structures(a) == wanted)
        for a in itertools.islice(found, limit):
            yield CausalGraph(self.nodes, [(self.nodes[i], self.nodes[j]) for i, j in np.argwhere(a)])

    def size(self) -> int:
        """Number of members."""
        return sum(1 for _ in self.dags())


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
    """Meek's four rules, until nothing changes; each is one expression over all pairs (i, j)."""
    a = np.array(pattern, dtype=np.int8)
    while True:
        arrow, line = (a & (1 - a.T)).astype(np.int64), (a & a.T).astype(np.int64)
        near = (a | a.T).astype(np.int64)
        apart = 1 - near - np.eye(len(a), dtype=np.int64)
        beside = line[:, None, :] * arrow.T[None, :, :]  # [i, j, k]: i - k -> j
        far = line[:, None, :] * apart.T[None, :, :]  # [i, j, k]: i - k, k and j not adjacent
        last = near[:, None, :] * arrow.T[None, :, :]  # [i, j, l]: i adjacent to l -> j
        rules = arrow.T @ apart + arrow @ arrow + ((beside @ apart) * beside).sum(-1) + ((far @ arrow) * last).sum(-1)
        new = (rules > 0) & (line > 0)
        new &= ~np.tril(new & new.T)  # no pattern of a DAG asks for both directions; of others the first is taken
        if not new.any():
            return a
        a[new.T] = 0


def _orient(pattern: Pattern) -> Iterator[Pattern]:
    """All ways to direct the undirected edges without a cycle."""
    arrow = pattern & (1 - pattern.T)
    if _cyclic(arrow):
        return
    open_edges = np.argwhere(np.triu(pattern & pattern.T))
    if not len(open_edges):
        yield pattern
        return
    i, j = open_edges[0]
    for cause, effect in ((i, j), (j, i)):
        a = pattern.copy()
        a[effect, cause] = 0
        yield from _orient(close(a))


def _cyclic(arrow: np.ndarray) -> bool:
    """Whether peeling off roots gets stuck."""
    left = np.arange(len(arrow))
    while len(left):
        roots = arrow[np.ix_(left, left)].sum(0) == 0
        if not roots.any():
            return True
        left = left[~roots]
    return False
