"""Plans: a `do` dictionary checked against a graph and made concrete for n units."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from counterfactory.causal.graph import CausalGraph
from counterfactory.causal.interventions import Add, CutEdge, Intervention, Policy, Replace, Scale, Set, as_intervention
from counterfactory.causal.noise import Noise, generator
from counterfactory.errors import CounterfactoryError, unknown


@dataclass(frozen=True)
class Plan:
    """Which variables change, and in which order.

    Attributes:
        ops: place of a variable -> its intervention, with distributions drawn.
        affected: places of the intervened variables and their descendants, in topological order.
        order: places of all variables, in topological order of the graph after the interventions.
        noise: place of a variable -> new noise, for `Replace(noise=...)`.
    """

    ops: dict[int, Intervention] = field(default_factory=dict)
    affected: tuple[int, ...] = ()
    order: tuple[int, ...] = ()
    noise: dict[int, Tensor] = field(default_factory=dict)

    @property
    def simple(self) -> bool:
        """Only `Set`, `Add` and `Scale`: mechanisms and order are as they were."""
        return all(isinstance(op, (Set, Add, Scale)) for op in self.ops.values())


def plan(graph: CausalGraph, do: Mapping[str, Any] | None, n: int, seed: int = 0, copies: int = 1) -> Plan:
    """Check `do` and make it concrete for `copies` stacked copies of the same `n` units.

    Raises:
        CounterfactoryError: an unknown variable, a value that is not finite or not one a unit, an edge that does not
            exist, or a policy that reads what it influences.
    """
    ops: dict[int, Intervention] = {}
    noise: dict[int, Tensor] = {}
    for name, what in (do or {}).items():
        if name not in graph:
            raise unknown("variable in do", name, graph.nodes)
        op = as_intervention(name, what)
        if isinstance(op, (Set, Add, Scale)):
            op = type(op)(_concrete(name, op.value, n, seed, copies))
        elif isinstance(op, CutEdge):
            absent = [p for p in op.values if p not in graph.parents(name)]
            if absent:
                raise unknown(f"parent of '{name}' whose edge is to be cut", absent[0], graph.parents(name))
            op = CutEdge({p: _concrete(name, v, n, seed, copies) for p, v in op.values.items()})
        elif isinstance(op, Replace) and op.noise is not None:
            noise[graph.index(name)] = op.noise.sample(n * copies, generator(seed, name, "replaced"))
        elif isinstance(op, Policy):
            below = set(op.on) & {name, *graph.descendants(name)}
            if below:
                raise CounterfactoryError(
                    f"the policy for '{name}' reads what it influences",
                    given=sorted(below),
                    expected=f"variables that are not '{name}' or its descendants",
                    hint="read its ancestors, or variables it does not reach",
                )
        ops[graph.index(name)] = op
    reordered = any(isinstance(op, Policy) for op in ops.values())
    order = tuple(graph.index(v) for v in (after(graph, ops) if reordered else graph).order)
    return Plan(ops, _affected(graph, ops, order), order, noise)


def after(graph: CausalGraph, ops: Mapping[int, Intervention]) -> CausalGraph:
    """The graph after the interventions: set variables and cut edges lose their arrows, policies bring new ones."""
    cut: set[tuple[str, str]] = set()
    new: list[tuple[str, str]] = []
    for i, op in ops.items():
        name = graph.nodes[i]
        if isinstance(op, (Set, Policy)):
            cut |= {(parent, name) for parent in graph.parents(name)}
        if isinstance(op, Policy):
            new += [(read, name) for read in op.on]
        if isinstance(op, CutEdge):
            cut |= {(parent, name) for parent in op.values}
    return CausalGraph(graph.nodes, [e for e in graph.edges if e not in cut] + new)


def _affected(graph: CausalGraph, ops: Mapping[int, Intervention], order: tuple[int, ...]) -> tuple[int, ...]:
    if not ops:
        return ()
    hit = np.any(graph.reach[list(ops)], axis=0)
    return tuple(i for i in order if hit[i] or i in ops)


def _concrete(name: str, value: Any, n: int, seed: int, copies: int) -> Any:
    """A number, or a tensor [n * copies]; distributions are drawn in a stream of their own."""
    if isinstance(value, Noise):
        value = value.sample(n, generator(seed, name, "do"))
    if not isinstance(value, Tensor) or value.ndim == 0:
        return value
    if value.shape != (n,):
        raise CounterfactoryError(
            f"the value for '{name}' has the wrong shape",
            given=tuple(value.shape),
            expected=f"a number or one value a unit, shape ({n},)",
            hint="one value a unit",
        )
    return value.repeat(copies) if copies > 1 else value


def tensor_of(value: Any, like: Tensor) -> Tensor:
    """A number or tensor in the precision and on the device of `like`."""
    return torch.as_tensor(value, dtype=like.dtype, device=like.device)
