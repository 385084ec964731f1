"""The model after an intervention, as a model of its own: `scm.do({...})`."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from counterfactory.causal.graph import CausalGraph
from counterfactory.causal.interventions import (
    Add,
    CutEdge,
    Intervention,
    Policy,
    Replace,
    Scale,
    Set,
    as_intervention,
    values_of,
)
from counterfactory.causal.mechanisms import AdditiveNoise, Linear, Mechanism
from counterfactory.causal.noise import Deterministic, Noise
from counterfactory.causal.plan import after, plan
from counterfactory.errors import CounterfactoryError

Source = int | float
"""A row of the parents (int), or a constant (float)."""


class Changed(Mechanism):
    """A mechanism whose output is shifted or scaled, or whose parents are rewired: x = scale f(sources, u) + shift.

    Args:
        mechanism: f.
        sources: for each parent of f, the row of our own parents it is, or the constant it reads; None leaves them as
            they are.
        scale: not zero.
    """

    def __init__(
        self, mechanism: Mechanism, sources: Sequence[Source] | None = None, shift: float = 0.0, scale: float = 1.0
    ) -> None:
        self.mechanism, self.sources, self.shift, self.scale = mechanism, sources, shift, scale
        self.assumption, self.weighted = mechanism.assumption, mechanism.weighted

    @property
    def invertible(self) -> bool:
        """As the mechanism inside."""
        return self.mechanism.invertible

    def _inside(self, parents: Tensor) -> Tensor:
        if self.sources is None:
            return parents
        rows = [parents[s] if isinstance(s, int) else parents.new_full((parents.shape[-1],), s) for s in self.sources]
        return torch.stack(rows) if rows else parents[:0]

    def forward(self, parents: Tensor, noise: Tensor) -> Tensor:
        """scale f(sources, u) + shift."""
        return self.mechanism.forward(self._inside(parents), noise) * self.scale + self.shift

    def invert(self, parents: Tensor, value: Tensor) -> Tensor:
        """The noise of f."""
        return self.mechanism.invert(self._inside(parents), (value - self.shift) / self.scale)

    def log_prob(self, parents: Tensor, value: Tensor, prior: Noise) -> Tensor:
        """That of f, less log |scale| (a density; a discrete f is not to be scaled)."""
        return (
            self.mechanism.log_prob(self._inside(parents), (value - self.shift) / self.scale, prior)
            - torch.tensor(abs(self.scale)).log()
        )

    def posterior(self, parents: Tensor, value: Tensor, prior: Noise, stream: torch.Generator) -> tuple[Tensor, Tensor]:
        """That of f."""
        return self.mechanism.posterior(self._inside(parents), (value - self.shift) / self.scale, prior, stream)


def submodel(
    graph: CausalGraph, mechanisms: Mapping[str, Mechanism], noise: Mapping[str, Noise], do: Mapping[str, Any]
) -> tuple[CausalGraph, dict[str, Mechanism], dict[str, Noise]]:
    """Graph, mechanisms and noise after `do`, with the edges that the interventions cut or bring.

    Raises:
        CounterfactoryError: as `plan`; and for a value given unit by unit, since a model speaks of a population.
    """
    given = {name: as_intervention(name, what) for name, what in do.items()}
    for name, op in given.items():
        if any(isinstance(v, Tensor) and v.ndim > 0 for v in values_of(op)):
            raise CounterfactoryError(
                f"'{name}' is given unit by unit",
                given=do[name],
                expected="a number or a distribution",
                hint="pass do= to sample or counterfactual instead",
            )
    changed = after(graph, plan(graph, given, n=1).ops)
    new_mechanisms, new_noise = dict(mechanisms), dict(noise)
    for name, op in given.items():
        left = changed.parents(name)
        new_mechanisms[name], new_noise[name] = _new(op, mechanisms[name], noise[name], graph.parents(name), left)
    return changed, new_mechanisms, new_noise


def _new(
    op: Intervention, old: Mechanism, noise: Noise, parents: Sequence[str], left: Sequence[str]
) -> tuple[Mechanism, Noise]:
    """Mechanism and noise of one variable after `op`; `left` are its parents then."""
    if isinstance(op, Set):
        return (Linear(), op.value) if isinstance(op.value, Noise) else (Linear((), float(op.value)), Deterministic())
    if isinstance(op, Replace):
        return op.mechanism or old, op.noise or noise
    if isinstance(op, Policy):
        return Changed(AdditiveNoise(op.fn), [left.index(v) for v in op.on]), Deterministic()
    if isinstance(op, CutEdge):
        return _rewired(old, [float(op.values[p]) if p in op.values else left.index(p) for p in parents]), noise
    if isinstance(op, Add):
        shift = float(op.value)
        return (
            Linear(old.weights, old.intercept + shift) if isinstance(old, Linear) else Changed(old, shift=shift)
        ), noise
    assert isinstance(op, Scale)
    scale = float(op.value)
    return (Changed(old, scale=scale), noise) if scale else (Linear(torch.zeros(len(left))), Deterministic())


def _rewired(old: Mechanism, sources: list[Source]) -> Mechanism:
    if not isinstance(old, Linear):
        return Changed(old, sources)
    constant = sum(float(w) * s for w, s in zip(old.weights, sources, strict=True) if isinstance(s, float))
    return Linear(old.weights[[isinstance(s, int) for s in sources]], old.intercept + constant)
