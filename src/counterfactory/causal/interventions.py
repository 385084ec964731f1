"""Interventions: what `do={name: what}` may say of a variable.

`Set`, `Add` and `Scale` are pure functions of the natural value, so the same objects act on a variable of a structural
causal model and on an activation inside a network. The others change a mechanism and make sense only in a structural
causal model.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from counterfactory.causal.mechanisms import Mechanism
from counterfactory.causal.noise import Noise, Number
from counterfactory.errors import CounterfactoryError

Value = Number | Tensor
"""A number, or a tensor that broadcasts to the natural value."""


class Intervention:
    """Base of all interventions."""


@dataclass(frozen=True, eq=False)
class Set(Intervention):
    """Hard do(): the variable takes this value whatever its causes say.

    Args:
        value: a number, a tensor (one value a unit), or a distribution that a structural causal model draws from, one
            value a unit, in a stream of its own.
    """

    value: Value | Noise

    def __call__(self, natural: Tensor) -> Tensor:
        """The value, in the shape of `natural`."""
        return _like(self.value, natural).broadcast_to(natural.shape)


@dataclass(frozen=True, eq=False)
class Add(Intervention):
    """Shift: the natural value plus this."""

    value: Value

    def __call__(self, natural: Tensor) -> Tensor:
        """natural + value."""
        return natural + _like(self.value, natural)


@dataclass(frozen=True, eq=False)
class Scale(Intervention):
    """Scale: the natural value times this."""

    value: Value

    def __call__(self, natural: Tensor) -> Tensor:
        """natural * value."""
        return natural * _like(self.value, natural)


@dataclass(frozen=True, eq=False)
class Replace(Intervention):
    """A new mechanism, new noise, or both; what is None stays. New noise is drawn in the variable's own stream.

    In a counterfactual the noise is abducted under the old mechanism first, and then the new mechanism is applied.
    """

    mechanism: Mechanism | None = None
    noise: Noise | None = None


@dataclass(frozen=True, eq=False)
class Policy(Intervention):
    """The variable becomes a function of other variables.

    Args:
        fn: takes the values of `on`, shape [k, n], and returns [n].
        on: names of variables that the variable does not influence.
    """

    fn: Callable[[Tensor], Tensor]
    on: tuple[str, ...] | list[str]


@dataclass(frozen=True, eq=False)
class CutEdge(Intervention):
    """Edges cut: this variable alone reads the given values in place of the named parents' (for path-specific effects).

    Args:
        values: parent -> the value that the variable reads instead, a number or a tensor [n].

    Example: `do={"z": CutEdge({"x": 0.0})}`.
    """

    values: Mapping[str, Value]


def combine(*dos: Mapping[str, Any]) -> dict[str, Any]:
    """Join several `do` dictionaries into one.

    Raises:
        CounterfactoryError: a variable is named in two of them: which one should win would be a guess.
    """
    joined: dict[str, Any] = {}
    for do in dos:
        for name, what in do.items():
            if name in joined:
                raise CounterfactoryError(
                    f"two interventions on '{name}'",
                    given=[joined[name], what],
                    expected="one intervention a variable",
                    hint="drop one of the two",
                )
            joined[name] = what
    return joined


def as_intervention(name: str, what: Any) -> Intervention:
    """What a `do` says of a variable, as an intervention: bare numbers, tensors and distributions mean `Set`.

    Raises:
        CounterfactoryError: not an intervention, or a value that is not finite.
    """
    if isinstance(what, (np.number, np.ndarray)):
        what = torch.as_tensor(what)
    if isinstance(what, bool) or not isinstance(what, (int, float, Tensor, Noise, Intervention)):
        raise CounterfactoryError(
            f"no intervention on '{name}'",
            given=what,
            expected="a number, a tensor [n], a distribution, or an intervention such as Add(1.0)",
            hint=f"do={{'{name}': 0.0}} sets '{name}' to 0",
        )
    chosen = what if isinstance(what, Intervention) else Set(what)
    for value in values_of(chosen):
        if not isinstance(value, Noise) and not bool(torch.isfinite(torch.as_tensor(value)).all()):
            raise CounterfactoryError(
                f"the intervention on '{name}' is not finite",
                given=what,
                expected="finite values",
                hint="remove nan and inf",
            )
    return chosen


def values_of(what: Intervention) -> Iterable[Any]:
    """The numbers, tensors and distributions that an intervention carries."""
    if isinstance(what, (Set, Add, Scale)):
        return [what.value]
    return what.values.values() if isinstance(what, CutEdge) else []


def _like(value: Any, natural: Tensor) -> Tensor:
    if isinstance(value, Noise):
        raise CounterfactoryError(
            "a distribution needs a structural causal model to draw it",
            given=value,
            expected="a number or a tensor",
            hint="draw the values first",
        )
    given = torch.as_tensor(value, dtype=natural.dtype, device=natural.device)
    if given.ndim == 0 or given.shape == natural.shape:
        return given
    try:
        fits = torch.broadcast_shapes(given.shape, natural.shape) == natural.shape
    except RuntimeError:
        fits = False
    if not fits:
        raise CounterfactoryError(
            "the value does not fit",
            given=tuple(given.shape),
            expected=f"a number, or a shape that broadcasts to {tuple(natural.shape)}",
            hint="one value a unit",
        )
    return given
