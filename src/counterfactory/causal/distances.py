"""How far is an estimated graph from the true one?

    shd          pairs of variables whose edge differs: missing, extra or reversed
    adjacencies  precision, recall and F1 of the skeleton
    arrows       the same of directed edges
    sid          ordered pairs (i, j) for which adjusting for i's parents in the estimate gives a wrong p(j | do(i))
                 (Peters and Buehlmann 2015, arXiv 1306.1043)
    aid          the same when the estimate's user adjusts for other sets: all ancestors, or the statistically best set
                 (Henckel, Wuertzen and Weichwald 2024, arXiv 2402.08616)

SID and AID are asymmetric, and 0 for every graph that contains the true one: read them beside the SHD. A CPDAG as
estimate has one SID for each of its members; `sid_bounds` gives the smallest and the largest.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool

from counterfactory.causal.cpdag import CPDAG, parts
from counterfactory.causal.graph import CausalGraph
from counterfactory.errors import CounterfactoryError

Estimate = CausalGraph | CPDAG


@dataclass(frozen=True)
class EdgeScores:
    """Precision, recall and F1; 1 where there is nothing to find and nothing was found."""

    precision: float
    recall: float
    f1: float


def shd(true: Estimate, estimate: Estimate, *, reversal: int = 1) -> int:
    """Structural Hamming distance.

    Args:
        true: the true graph, or its CPDAG.
        estimate: over the same variables, in any order.
        reversal: what an edge of the wrong direction counts, 1 or 2; an undirected one counts 1.

    Raises:
        CounterfactoryError: graphs over different variables.

    Example:
        >>> a = CausalGraph(["x", "y", "z"], [("x", "y"), ("y", "z")])
        >>> b = CausalGraph(["x", "y", "z"], [("y", "x"), ("x", "z")])
        >>> shd(a, b), shd(a, b, reversal=2)
        (3, 4)
    """
    a, b = _aligned(true, estimate)
    differs = np.triu((a != b) | (a.T != b.T))
    both_arrows = (a + a.T == 1) & (b + b.T == 1)
    return int(differs.sum() + (reversal - 1) * (differs & both_arrows).sum())


def adjacencies(true: Estimate, estimate: Estimate) -> EdgeScores:
    """Precision, recall and F1 of the skeleton."""
    a, b = _aligned(true, estimate)
    return _scores(np.triu(a | a.T).astype(bool), np.triu(b | b.T).astype(bool))


def arrows(true: Estimate, estimate: Estimate) -> EdgeScores:
    """Precision, recall and F1 of directed edges; an undirected edge claims no arrow."""
    a, b = _aligned(true, estimate)
    return _scores((a & (1 - a.T)).astype(bool), (b & (1 - b.T)).astype(bool))


def sid(true: CausalGraph, estimate: CausalGraph) -> int:
    """Structural intervention distance of a DAG, between 0 and d (d - 1).

    For i and j, adjusting for the parents Z of i in the estimate is right iff Z is a valid adjustment set in the true
    graph: no member of Z descends from a variable on a directed path from i to j, and Z blocks every path from i to j
    that is not such a directed path. Where the estimate has j among the parents of i, it says that i does not act
    on j: wrong iff j descends from i.
    """
    a, b = _aligned(true, estimate)
    truth = _Truth(a)
    return sum(truth.wrong_parents(i, b[:, i].astype(bool)) for i in range(len(a)))


def sid_bounds(true: CausalGraph, estimate: CPDAG) -> tuple[int, int]:
    """Smallest and largest SID of the members of a class.

    A variable's share depends on its own parents only, and the undirected parts of a CPDAG are directed independently
    of each other: the bounds are sums over parts, and only the members of one part at a time are walked through.

    Raises:
        CounterfactoryError: graphs over different variables, or a pattern without members.
    """
    a, b = _aligned(true, estimate)
    truth, whole = _Truth(a), CPDAG(true.nodes, b)
    groups = parts(b & b.T)
    if CPDAG.of(whole.dag()) != whole:  # some edges are known from elsewhere: the parts depend on each other
        groups = [list(range(len(a)))] if groups else []
    alone = set(range(len(a))).difference(*groups)
    low = high = sum(truth.wrong_parents(i, b[:, i].astype(bool)) for i in alone)
    for group in groups:
        own = np.ix_(group, group)
        known, found = b & (1 - b.T), set()
        for member in CPDAG([true.nodes[i] for i in group], b[own]).dags():
            known[own] = member.adjacency
            found.add(sum(truth.wrong_parents(i, known[:, i].astype(bool)) for i in group))
        low, high = low + min(found), high + max(found)
    return low, high


def aid(true: CausalGraph, estimate: CausalGraph, adjust: Literal["ancestors", "optimal"] = "ancestors") -> int:
    """Adjustment identification distance of a DAG, between 0 and d (d - 1).

    Where the estimate has no directed path from i to j, it says that i does not act on j: wrong iff j descends from i.
    Elsewhere it says to adjust for a set Z: wrong iff Z is no valid adjustment set in the true graph.

    Args:
        true: the true graph.
        estimate: over the same variables, in any order.
        adjust: for all ancestors of i, or for the set of smallest asymptotic variance: the parents of the variables
            on the directed paths from i to j that are not themselves i or descend from one of these.

    Raises:
        CounterfactoryError: graphs over different variables.
    """
    a, b = _aligned(true, estimate)
    truth, reach = _Truth(a), CausalGraph.from_any(b).reach
    down = reach | np.eye(len(b), dtype=bool)
    wrong = 0
    for i in range(len(a)):
        check = truth.check(i, reach[:, i]) if adjust == "ancestors" else None
        for j in range(len(a)):
            if not reach[i, j]:
                wrong += i != j and bool(truth.reach[i, j])
            elif check is not None:
                wrong += check(j)
            else:
                on_path = reach[i] & down[:, j]
                best = b[:, on_path].any(1) & ~down[on_path].any(0)
                best[i] = False
                wrong += truth.check(i, best)(j)
    return int(wrong)


class _Truth:
    """Answers of the true graph about adjustment."""

    def __init__(self, a: np.ndarray) -> None:
        self.a, self.reach = a, CausalGraph.from_any(a).reach
        self.down = self.reach | np.eye(len(a), dtype=bool)
        self.known: dict[tuple[int, bytes], int] = {}

    def check(self, i: int, z: Bool[np.ndarray, " d"]) -> Callable[[int], bool]:
        """For a set Z: the function that says whether adjusting for it gives a wrong effect of i on j."""
        open_to = _open_paths(self.a, i, z, np.any(self.down[:, z], axis=1))

        def wrong(j: int) -> bool:
            forbidden = self.down[self.reach[i] & self.down[:, j]].any(0)
            return bool((z & forbidden).any() or open_to[j])

        return wrong

    def wrong_parents(self, i: int, z: Bool[np.ndarray, " d"]) -> int:
        """How many effects of i are wrong when Z are taken for its parents."""
        key = i, z.tobytes()
        if key not in self.known:
            wrong = self.check(i, z)
            others = (j for j in range(len(z)) if j != i)
            self.known[key] = sum(bool(self.reach[i, j]) if z[j] else wrong(j) for j in others)
        return self.known[key]


def _open_paths(
    a: np.ndarray, i: int, z: Bool[np.ndarray, " d"], above_z: Bool[np.ndarray, " d"]
) -> Bool[np.ndarray, " d"]:
    """Where a walk from i that Z leaves open, and that is not directed all the way, can end (Bayes ball).

    A state is (variable, whether an arrow led into it, whether the walk was directed so far).
    """
    parents = [np.flatnonzero(a[:, v]) for v in range(len(a))]
    children = [np.flatnonzero(a[v]) for v in range(len(a))]
    todo = [(int(c), True, True) for c in children[i]] + [(int(p), False, False) for p in parents[i]]
    seen = set(todo)
    found = np.zeros(len(a), dtype=bool)
    while todo:
        v, into, directed = todo.pop()
        found[v] |= not directed
        ahead = []
        if not z[v]:
            ahead += [(int(c), True, directed and into) for c in children[v]]
            ahead += [] if into else [(int(p), False, False) for p in parents[v]]
        if into and above_z[v]:  # a collider, opened by a descendant in Z
            ahead += [(int(p), False, False) for p in parents[v]]
        new = [state for state in ahead if state[0] != i and state not in seen]
        seen.update(new)
        todo += new
    return found


def _aligned(true: Estimate, estimate: Estimate) -> tuple[np.ndarray, np.ndarray]:
    """Both matrices in the order of the true graph's variables."""
    if set(true.nodes) != set(estimate.nodes):
        raise CounterfactoryError(
            "the graphs are over different variables",
            given=f"{list(estimate.nodes)}",
            expected=f"{list(true.nodes)}, in any order",
            hint="rename or add variables first",
        )
    place = [estimate.nodes.index(name) for name in true.nodes]
    return _matrix(true), _matrix(estimate)[np.ix_(place, place)]


def _matrix(graph: Estimate) -> np.ndarray:
    return graph.pattern if isinstance(graph, CPDAG) else graph.adjacency


def _scores(true: Bool[np.ndarray, "d d"], found: Bool[np.ndarray, "d d"]) -> EdgeScores:
    hits = int((true & found).sum())
    precision = hits / int(found.sum()) if found.any() else 1.0
    recall = hits / int(true.sum()) if true.any() else 1.0
    return EdgeScores(
        precision,
        recall,
        2 * precision * recall / (precision + recall) if hits else float(not true.any() and not found.any()),
    )
