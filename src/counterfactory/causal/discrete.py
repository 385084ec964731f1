"""Discrete structural causal models: conditional probability tables, and two ways to answer counterfactuals with them.

A table says p(x | parents) and nothing of x under another parent value for the same unit: counterfactuals of discrete
variables are not identified from data. So each table names an assumption, and every answer carries it:

    gumbel      x = argmax_k log p_k + g_k with one Gumbel variable a level (Oberst and Sontag 2019). Given x, the noise
    is drawn
                top-down: the maximum Z ~ Gumbel(0) belongs to x, the others are Gumbel(log p_k) cut off at Z.
                Counterfactually stable: raising the odds of the level observed never changes it.
    monotone    x = number of cumulative probabilities that u ~ U(0, 1) reaches. Levels are ordered, and a shift of
                probability upwards never moves a unit down (Pearl 2009, section 9.2).

Levels are the whole numbers 0 .. K-1, stored as floats beside all other variables.
"""

import math
from collections.abc import Mapping
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from counterfactory.causal.graph import CausalGraph
from counterfactory.causal.mechanisms import Mechanism
from counterfactory.causal.noise import Gumbel, Noise, Number, Uniform
from counterfactory.causal.observed import complete_rows
from counterfactory.causal.scm import SCM
from counterfactory.errors import CounterfactoryError, unknown

Assumption = Literal["gumbel", "monotone"]


class Table(Mechanism):
    """A conditional probability table.

    Args:
        probabilities: p(x | parents), shape [levels of parent 1, ..., levels of parent k, levels of x]; sums to one
            over the last axis.
        counterfactual: `"gumbel"` or `"monotone"`, see the module.

    Raises:
        CounterfactoryError: probabilities that are negative or do not sum to one, fewer than two levels, or (in use) a
            parent value that is none of its levels.
    """

    def __init__(self, probabilities: Float[Tensor, "*parents levels"], counterfactual: Assumption = "gumbel") -> None:
        p = probabilities.double()
        if counterfactual not in ("gumbel", "monotone"):
            raise unknown("counterfactual assumption", counterfactual, ["gumbel", "monotone"])
        if p.ndim < 1 or p.shape[-1] < 2 or not bool((p >= 0).all()) or not bool(((p.sum(-1) - 1).abs() < 1e-6).all()):
            raise CounterfactoryError(
                "a table is not made of probabilities",
                given=tuple(p.shape),
                expected="nonnegative, at least two levels, summing to one over the last axis",
                hint="divide by the sum",
            )
        self.levels = p.shape[-1]
        self.parent_levels = tuple(p.shape[:-1])
        self.assumption = (
            "Gumbel-max noise of discrete variables"
            if counterfactual == "gumbel"
            else "monotone response of discrete variables"
        )
        self._gumbel = counterfactual == "gumbel"
        self.probabilities = p / p.sum(-1, keepdim=True)
        flat = self.probabilities.reshape(-1, self.levels).T.contiguous()  # [levels, cells]
        self._log, self._cumulative = flat.log(), flat.cumsum(0)[:-1]

    @property
    def own_noise(self) -> Noise:
        """One Gumbel a level, or one uniform."""
        return Gumbel(self.levels) if self._gumbel else Uniform()

    def _cell(self, parents: Tensor) -> Int[Tensor, " n"]:
        """Which column of the flat table: row-major in the parents' levels."""
        cell = torch.zeros(parents.shape[-1], dtype=torch.long, device=parents.device)
        if len(parents) != len(self.parent_levels):
            raise CounterfactoryError(
                "a table has the wrong number of axes",
                given=len(self.parent_levels) + 1,
                expected=f"{len(parents) + 1}",
                hint="one a parent, one for x",
            )
        for row, levels in zip(parents, self.parent_levels, strict=True):
            cell = cell * levels + _codes(row, levels)
        return cell

    def forward(self, parents: Tensor, noise: Tensor) -> Tensor:
        """The level, as a float."""
        cell = self._cell(parents)
        if self._gumbel:
            return (self._log.to(noise)[:, cell] + noise).argmax(0).to(noise)
        return (noise >= self._cumulative.to(noise)[:, cell]).sum(0).to(noise)

    def log_prob(self, parents: Tensor, value: Tensor, prior: Noise) -> Tensor:
        """log p(value | parents)."""
        return self._log.to(value)[_codes(value, self.levels), self._cell(parents)]

    def posterior(self, parents: Tensor, value: Tensor, prior: Noise, stream: torch.Generator) -> tuple[Tensor, Tensor]:
        """Noise drawn given the parents and the level, and the level's log probability."""
        cell, code = self._cell(parents), _codes(value, self.levels)[None]
        log_p = self._log.to(value)[:, cell]
        if self._gumbel:
            own = Gumbel(self.levels).sample(value.shape[-1], stream).to(value)
            top = own.gather(
                0, code
            )  # the maximum of Gumbel(log p_k) over k is Gumbel(0), independent of where it is taken
            below = (
                -torch.logaddexp(-top, -(log_p + own)) - log_p
            )  # Gumbel(log p_k) cut off at the maximum, less log p_k
            below = torch.where(log_p == -torch.inf, own, below)  # an impossible level tells nothing of its noise
            noise = below.scatter(0, code, top - log_p.gather(0, code))
        else:
            edges = torch.cat(
                [torch.zeros_like(log_p[:1]), self._cumulative.to(value)[:, cell], torch.ones_like(log_p[:1])]
            )
            low, high = edges.gather(0, code)[0], edges.gather(0, code + 1)[0]
            noise = low + (high - low) * Uniform().sample(value.shape[-1], stream).to(value)
        return noise, log_p.gather(0, code)[0]


class DiscreteSCM(SCM):
    """A model of discrete variables with one table each.

    Args:
        graph: who listens to whom.
        tables: variable -> p(x | parents), one axis a parent in node order and the last for x.
        counterfactual: `"gumbel"` or `"monotone"`.

    Raises:
        CounterfactoryError: a variable without a table, or a table whose shape does not fit those of the parents.

    Example:
        >>> graph = CausalGraph(["rain", "wet"], [("rain", "wet")])
        >>> scm = DiscreteSCM(graph, {"rain": torch.tensor([0.7, 0.3]), "wet": torch.tensor([[0.9, 0.1], [0.2, 0.8]])})
        >>> float(scm.sample(1000, seed=0)["wet"].mean()) > 0
        True
    """

    def __init__(self, graph: CausalGraph, tables: Mapping[str, Tensor], counterfactual: Assumption = "gumbel") -> None:
        for name in graph.nodes:
            if name not in tables:
                raise CounterfactoryError(
                    f"'{name}' has no table",
                    given=sorted(tables),
                    expected="a table for every variable",
                    hint="or use fit(data)",
                )
            expected = tuple(tables[p].shape[-1] for p in graph.parents(name) if p in tables)
            if tuple(tables[name].shape[:-1]) != expected:
                raise CounterfactoryError(
                    f"the table of '{name}' has the wrong shape",
                    given=tuple(tables[name].shape),
                    expected=f"{(*expected, 'levels')}: the parents' levels, then its own",
                    hint="parents come in node order",
                )
        self.counterfactual_assumption: Assumption = counterfactual
        super().__init__(graph, {name: Table(table, counterfactual) for name, table in tables.items()}, {})

    @property
    def levels(self) -> dict[str, int]:
        """How many levels each variable has."""
        return {name: self._table(name).levels for name in self.graph.nodes}

    def _table(self, name: str) -> Table:
        table = self.mechanisms[name]
        assert isinstance(table, Table)
        return table

    @classmethod
    def uniform(
        cls, graph: CausalGraph, levels: Mapping[str, int], counterfactual: Assumption = "gumbel"
    ) -> "DiscreteSCM":
        """The model in which every level has the same probability whatever the parents are: where `fit` starts from."""
        shape = {name: [*(levels[p] for p in graph.parents(name)), levels[name]] for name in graph.nodes}
        return cls(graph, {name: torch.full(s, 1 / s[-1]) for name, s in shape.items()}, counterfactual)

    def fit(self, data: Float[Tensor, "n d"], smoothing: Number = 1.0) -> "DiscreteSCM":
        """A new model with the same graph and levels: p = (count + smoothing) / (total + smoothing * levels).

        Raises:
            CounterfactoryError: data of the wrong shape, values that are no level, or no counts for a cell without
                smoothing.
        """
        rows = complete_rows(self.graph, data)
        if not (math.isfinite(smoothing) and smoothing >= 0):
            raise CounterfactoryError(
                "bad smoothing", given=smoothing, expected="0 or more", hint="1 is Laplace's rule"
            )
        tables = {}
        for i, name in enumerate(self.graph.nodes):
            table = self._table(name)
            index = table._cell(rows[self._parents[i]]) * table.levels + _codes(rows[i], table.levels)
            counts = (
                torch.bincount(index, minlength=table.probabilities.numel()).double().view_as(table.probabilities)
                + smoothing
            )
            if not bool((counts.sum(-1) > 0).all()):
                raise CounterfactoryError(
                    f"'{name}' has parent values never seen",
                    given=f"smoothing {smoothing}",
                    expected="counts in every cell",
                    hint="smoothing > 0",
                )
            tables[name] = counts / counts.sum(-1, keepdim=True)
        return DiscreteSCM(self.graph, tables, self.counterfactual_assumption)


def _codes(values: Tensor, levels: int) -> Int[Tensor, " n"]:
    codes = values.long()
    if not bool(((codes == values) & (codes >= 0) & (codes < levels)).all()):
        raise CounterfactoryError(
            "a value is no level",
            given=values.unique()[:8].tolist(),
            expected=f"whole numbers from 0 to {levels - 1}",
            hint="code the levels as 0, 1, ...",
        )
    return codes
