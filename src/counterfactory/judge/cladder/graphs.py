"""The ten causal graphs of CLadder (Jin et al., NeurIPS 2023, figure 3).

X is the treatment, Y the outcome, V1 a common cause, V2 and V3 the others. Hidden variables have a name in the story
and a place in the model, but no number about them is ever printed.
"""

import itertools
from dataclasses import dataclass
from functools import cached_property

from counterfactory.causal.graph import CausalGraph

X, Y = "X", "Y"


@dataclass(frozen=True)
class Structure:
    """One of the ten graphs.

    Args:
        id: its name in the data.
        graph: the graph; nodes are in the order V1, X, V2, V3, Y, and so are the axes of every table.
        hidden: variables that nobody observes.
    """

    id: str
    graph: CausalGraph
    hidden: tuple[str, ...] = ()

    @cached_property
    def mediators(self) -> tuple[str, ...]:
        """What lies on a directed path from X to Y."""
        between = set(self.graph.descendants(X)) & set(self.graph.ancestors(Y))
        return tuple(name for name in self.graph.nodes if name in between)

    @cached_property
    def adjustment_sets(self) -> dict[tuple[str, ...], bool]:
        """Every set of observed variables -> whether it meets the back-door criterion (Pearl 1993) for X and Y."""
        free = [name for name in self.graph.nodes if name not in (X, Y, *self.hidden)]
        sets = itertools.chain.from_iterable(itertools.combinations(free, k) for k in range(len(free) + 1))
        return {chosen: self.backdoor(chosen) for chosen in sets}

    def backdoor(self, chosen: tuple[str, ...]) -> bool:
        """Whether a set has no descendant of X and blocks every path into X."""
        kept = [edge for edge in self.graph.edges if edge[0] != X]
        apart = CausalGraph(self.graph.nodes, kept).d_separated(X, Y, chosen)
        return apart and not set(chosen) & set(self.graph.descendants(X))

    @cached_property
    def arrows(self) -> str:
        """The edges as text, for instance `X->V2, V2->Y`."""
        return ", ".join(f"{cause}->{effect}" for cause, effect in self.graph.edges)


def _structure(name: str, arrows: str, hidden: tuple[str, ...] = ()) -> Structure:
    edges = [(cause, effect) for cause, effect in (arrow.split(">") for arrow in arrows.split())]
    nodes = [node for node in ("V1", X, "V2", "V3", Y) if any(node in edge for edge in edges)]
    return Structure(name, CausalGraph(nodes, edges), hidden)


STRUCTURES = {
    structure.id: structure
    for structure in (
        _structure("chain", "X>V2 V2>Y"),
        _structure("mediation", "X>V2 X>Y V2>Y"),
        _structure("confounding", "V1>X V1>Y X>Y"),
        _structure("fork", "X>Y V2>Y"),
        _structure("collision", "X>V3 Y>V3"),
        _structure("diamond", "X>V2 X>V3 V2>Y V3>Y"),
        _structure("diamondcut", "V1>X V1>V3 X>Y V3>Y"),
        _structure("frontdoor", "V1>X V1>Y X>V3 V3>Y", hidden=("V1",)),
        _structure("IV", "V1>X V1>Y V2>X X>Y", hidden=("V1",)),
        _structure("arrowhead", "X>V3 V2>V3 X>Y V2>Y V3>Y", hidden=("V2",)),
    )
}
"""Name -> graph."""
