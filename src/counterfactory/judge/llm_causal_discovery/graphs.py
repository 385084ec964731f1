"""A whole graph from names: one question with four options a pair, votes, and distances from the true graph.

For every pair i < j the options are: i acts on j directly, j on i, both, neither. With Y the answered and A the true
adjacency matrix of n variables, row acts on column,

    NHD      = #{(i, j): Y_ij != A_ij} / n^2
    baseline = (|Y| + |A|) / n^2           the NHD of as many edges with none of them right
    ratio    = NHD / baseline = 1 - F1     lower is better

Feedback is allowed: the true graph may have cycles, and "both" is two arrows. Where both graphs are acyclic the
structural distances of `causal.distances` are given as well.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import networkx as nx
import numpy as np
from jaxtyping import Bool, Float

from counterfactory.causal import CausalGraph
from counterfactory.causal.distances import shd, sid
from counterfactory.errors import unknown
from counterfactory.judge.items import Item, ItemSet
from counterfactory.judge.llm_causal_discovery.pairwise import matrix
from counterfactory.judge.records import Record

VERSION = "1"
PROMPTS = {
    "direct4": ("changes {b} directly", "Neither changes the other directly."),
    "strong4": ("has a strong effect on {b}", "Neither has a strong effect on the other."),
}
"""Name -> what an option says; the two differ in what they take for an edge."""


class GraphScores(NamedTuple):
    """How far a graph is from the true one; see the equations of the module."""

    precision: float
    recall: float
    f1: float
    nhd: float
    baseline: float
    ratio: float
    edges: int


@dataclass(frozen=True)
class GraphAnswer:
    """What a model thinks the graph is.

    Attributes:
        names: of the n variables.
        votes: share of the questions about i and j in which i -> j was claimed, [n, n].
        gold: the true graph.
        unparsed: share of the answers that could not be read; they claim nothing.
    """

    names: tuple[str, ...]
    votes: Float[np.ndarray, "n n"]
    gold: Bool[np.ndarray, "n n"]
    unparsed: float

    @property
    def adjacency(self) -> Bool[np.ndarray, "n n"]:
        """Arrows claimed in more than half of their questions."""
        return self.votes > 0.5

    @property
    def scores(self) -> GraphScores:
        """Distances from the true graph."""
        return graph_scores(self.gold, self.adjacency)

    @property
    def structural(self) -> dict[str, int]:
        """SHD and SID, where both graphs are acyclic; otherwise nothing."""
        both = [nx.from_numpy_array(A.astype(int), create_using=nx.DiGraph) for A in (self.gold, self.adjacency)]
        if not all(map(nx.is_directed_acyclic_graph, both)):
            return {}
        gold, found = (CausalGraph(map(str, range(len(self.names))), _edges(g)) for g in both)
        return {"SHD": shd(gold, found), "SID": sid(gold, found)}

    def to_networkx(self) -> nx.DiGraph:
        """The claimed arrows, each with its `votes`."""
        graph: nx.DiGraph = nx.DiGraph()
        graph.add_nodes_from(self.names)
        for i, j in np.argwhere(self.adjacency):
            graph.add_edge(self.names[i], self.names[j], votes=float(self.votes[i, j]))
        return graph


def full_graph(
    names: Sequence[str], gold: Any, *, prompt: str = "direct4", swap: bool = False, name: str = "graph"
) -> ItemSet:
    """All pairs of variables as items for `judge.run`; `read_graph` puts the answers together.

    Args:
        names: of the n variables, as they stand within a sentence.
        gold: a `CausalGraph`, or a matrix [n, n] with a 1 where row acts on column; it may have cycles.
        prompt: a key of `PROMPTS`.
        swap: ask everything once more with names and options in reverse; an arrow then has to be claimed both times.
        name: of the set.

    Raises:
        CounterfactoryError: an unknown prompt, fewer than two names, or a matrix of another size.
    """
    if prompt not in PROMPTS:
        raise unknown("prompt of graphs", prompt, PROMPTS)
    says, neither = PROMPTS[prompt]
    A = matrix(gold, len(names))
    items = []
    for i, j in itertools.combinations(range(len(names)), 2):
        target = 2 if A[i, j] and A[j, i] else 0 if A[i, j] else 1 if A[j, i] else 3
        one, other = (f"{names[a][:1].upper()}{names[a][1:]} {says.format(b=names[b])}." for a, b in ((i, j), (j, i)))
        choices = (one, other, "Both of these are true.", neither)
        for order in ("forward", "backward") if swap else ("forward",):
            turned = order == "backward"
            items.append(
                Item(
                    id=f"{i}-{j}:{order}",
                    prompt="Which of these is right?",
                    choices=(other, one, *choices[2:]) if turned else choices,
                    target=(1, 0, 2, 3)[target] if turned else target,
                    group=f"{i}-{j}",
                    tags={"order": order, "edge": ("one", "one", "both", "none")[target]},
                    meta={"i": i, "j": j, "pair": f"{i}-{j}", "question": "which", "names": [names[i], names[j]]},
                    version=VERSION,
                )
            )
    card = {
        "kind": "graph",
        "measures": "a causal graph from the names of its variables, pair by pair",
        "paper": "Kiciman, Ness, Sharma and Tan, Causal Reasoning and Large Language Models, arXiv 2305.00050",
        "names": list(names),
        "gold": A.astype(int).tolist(),
        "prompt": prompt,
        "swap": swap,
        "license": "Apache-2.0",
    }
    return ItemSet(name, VERSION, items, card)


def read_graph(items: ItemSet, records: Sequence[Record]) -> GraphAnswer:
    """The graph that answers to a set of `full_graph` claim.

    Args:
        items: the set.
        records: of its run; repeats are further votes.
    """
    names = tuple(items.card["names"])
    votes, asked = np.zeros((len(names), len(names))), np.zeros((len(names), len(names)))
    unparsed = 0
    for record in records:
        i, j = record["doc"]["meta"]["i"], record["doc"]["meta"]["j"]
        asked[i, j] += 1
        asked[j, i] += 1
        said = record["extracted"]
        unparsed += said is None
        if said is None:
            continue
        if record["tags"]["order"] == "backward":
            i, j = j, i
        votes[i, j] += said in (0, 2)
        votes[j, i] += said in (1, 2)
    gold = np.array(items.card["gold"], bool)
    return GraphAnswer(names, votes / np.maximum(asked, 1), gold, unparsed / max(1, len(records)))


def graph_scores(gold: Any, found: Any) -> GraphScores:
    """Precision, recall and F1 of arrows, NHD, its baseline, and their ratio.

    Example:
        >>> graph_scores([[0, 1], [0, 0]], [[0, 1], [1, 0]]).ratio
        0.3333333333333333
    """
    A, Y = (np.asarray(value).astype(bool) for value in (gold, found))
    hits, said, true, wrong = int((A & Y).sum()), int(Y.sum()), int(A.sum()), int((A ^ Y).sum())
    cells = A.size
    return GraphScores(
        precision=hits / said if said else float(not true),
        recall=hits / true if true else float(not said),
        f1=2 * hits / (said + true) if said + true else 1.0,
        nhd=wrong / cells,
        baseline=(said + true) / cells,
        ratio=wrong / (said + true) if said + true else 0.0,
        edges=said,
    )


def expected_nhd(n: int, flip: float) -> float:
    """NHD of an answerer that knows the graph and, with probability `flip`, gives one of the three other answers.

    Two of the three change a given arrow, so each of the n (n - 1) arrows is wrong with probability 2/3 flip. With
    flip = 3/4 this is the NHD of random letters, (n - 1) / (2 n).
    """
    return 2 / 3 * flip * (n - 1) / n


def _edges(graph: nx.DiGraph) -> list[tuple[str, str]]:
    return [(str(a), str(b)) for a, b in graph.edges]
