"""Asking a model for counterfactuals: what to ask, in which batches, and how the answers are read."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from counterfactory.causal import Add, Scale, Set
from counterfactory.errors import CounterfactoryError
from counterfactory.worlds import Sample, World

Oracle = Callable[[Tensor], Tensor]
"""Pictures [n, c, h, w] -> the causes read off them [n, f], in raw units and node order."""


def default_interventions(world: World, units: Sample, rng: np.random.Generator) -> list[dict[str, Tensor]]:
    """Every cause in turn, each unit's set to a value that another unit has and it has not."""
    return [{name: another_value(units[name], units[name], world.ranges[name], rng)} for name in world.graph.nodes]


def another_value(
    pool: Float[Tensor, " n"], avoid: Float[Tensor, " n"], limits: tuple[float, float], rng: np.random.Generator
) -> Float[Tensor, " n"]:
    """For each unit a value of the pool that is not the one to avoid (where there is one), cut to the limits."""
    order = torch.from_numpy(rng.permutation(len(pool)))
    values = pool[order].clamp(*limits)
    for shift in range(1, len(pool)):
        same = values == avoid
        if not bool(same.any()):
            break
        values = torch.where(same, pool[order.roll(shift)].clamp(*limits), values)
    return values


class Asker:
    """The model, asked in batches and without gradients.

    A model that also has `abduct(x)` is asked for it once, and given the result as `code` whenever the same pictures
    come back with another intervention: nothing is abducted twice.

    Args:
        model: an object with `counterfactual(x, do=...)`, or such a function.
        options: passed on at every call.
        batch: pictures a call.

    Raises:
        CounterfactoryError: the model has no such method.
    """

    def __init__(self, model: Any, options: Mapping[str, Any], batch: int) -> None:
        self.ask = getattr(model, "counterfactual", model)
        if not callable(self.ask):
            raise CounterfactoryError(
                "the model answers no counterfactuals",
                given=type(model).__name__,
                expected="an object with counterfactual(x, do=...), or such a function",
                hint="pass the fitted model itself",
            )
        self.abduct = getattr(model, "abduct", None)
        self.options, self.batch = dict(options), batch
        self._known: tuple[Tensor, list[Any]] | None = None

    @torch.no_grad()
    def know(self, x: Tensor) -> None:
        """Abduct pictures that many interventions will be asked of, if the model can."""
        if self.abduct is None:
            return
        takes = inspect.signature(self.abduct).parameters
        options = {name: value for name, value in self.options.items() if name in takes}
        self._known = x, [self.abduct(x[part], **options) for part in _slices(len(x), self.batch)]

    @torch.no_grad()
    def __call__(self, x: Tensor, do: Mapping[str, Any]) -> Tensor:
        """The counterfactual pictures, checked."""
        parts = []
        for k, part in enumerate(_slices(len(x), self.batch)):
            known = {"code": self._known[1][k]} if self._known is not None and self._known[0] is x else {}
            there = {name: take(what, part, len(x)) for name, what in do.items()}
            found = self.ask(x[part], do=there, **known, **self.options)
            if found.shape != x[part].shape or not bool(torch.isfinite(found).all()):
                raise CounterfactoryError(
                    "the model's counterfactuals cannot be scored",
                    given=f"shape {tuple(found.shape)}, {int((~torch.isfinite(found)).sum())} values not finite",
                    expected=f"finite pictures of shape {tuple(x[part].shape)}",
                    hint="return one picture in [0, 1] for each one that is given",
                )
            parts.append(found.to(x))
        return torch.cat(parts)


class Reader:
    """The oracle, and what its readings are compared in.

    Attributes:
        half: half the range of every cause.
        categorical: which causes are whole numbers in all units.
        spread: standard deviation of every cause's noise over the units.
    """

    def __init__(self, world: World, oracle: Oracle | None, units: Sample) -> None:
        self.world, self.oracle = world, oracle
        self.name = "the world's own reader" if oracle is None else "the given oracle"
        limits = torch.tensor([world.ranges[name] for name in units.names])
        self.low, self.high = limits.T
        self.half = ((self.high - self.low) / 2).numpy()
        self.categorical = (units.factors.round() == units.factors).all(0).numpy()
        noise = torch.stack([units.noise[name] for name in units.names], 1)
        self.spread = noise.double().std(0, correction=0).numpy()
        self.invertible = all(m.invertible for m in world.scm.mechanisms.values())

    def causes(self, pictures: Tensor, like: Sample) -> Tensor:
        """The causes read off pictures, [n, f]."""
        read = self.world.read(pictures, like) if self.oracle is None else self.oracle(pictures)
        if read.shape != like.factors.shape:
            raise CounterfactoryError(
                "the oracle reads something else",
                given=f"shape {tuple(read.shape)}",
                expected=f"{tuple(like.factors.shape)}: one column each for {', '.join(like.names)}",
                hint="return the causes in the order of world.graph.nodes",
            )
        return read.to(like.factors)

    def noise(self, read: Tensor) -> Tensor:
        """The exogenous causes that explain what was read; readings are cut to the world's ranges first."""
        return self.world.scm.abduct(read.clamp(self.low, self.high))


def derangement(n: int, rng: np.random.Generator) -> Int[np.ndarray, " n"]:
    """A permutation that leaves nobody in place (for n above 1)."""
    order, partner = rng.permutation(n), np.empty(n, int)
    partner[order] = np.roll(order, 1)
    return partner


def _slices(n: int, batch: int) -> list[slice]:
    return [slice(start, min(start + batch, n)) for start in range(0, n, batch)]


def take(what: Any, part: slice, n: int) -> Any:
    """The part of an intervention that belongs to some of the n units."""
    if isinstance(what, (Set, Add, Scale)):
        return replace(what, value=take(what.value, part, n))
    per_unit = isinstance(what, (Tensor, np.ndarray)) and what.ndim > 0 and len(what) == n
    return what[part] if per_unit else what


def first(units: Sample, n: int) -> Sample:
    """The first n units."""
    noise = {name: value[:n] for name, value in units.noise.items()}
    captions = None if units.captions is None else units.captions[:n]
    return Sample(units.names, units.factors[:n], noise, units.observation[:n], captions)
