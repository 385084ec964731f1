"""Mechanisms: how one variable is made from its parents and its own noise, x = f(parents, u).

Everything is node-major: `parents` is [k, n] with one row a parent, in node order; `noise` and values are [n].
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from counterfactory.causal.noise import Noise, Number
from counterfactory.errors import CounterfactoryError

ParentsFn = Callable[[Tensor], Tensor]
"""Takes parents [k, n], returns [n] (or what broadcasts to it)."""


class Mechanism(ABC):
    """One structural equation x = f(parents, u).

    A subclass gives `forward`, and either `invert` and `log_slope` (when u can be read off x and the parents), or
    `posterior`.

    Attributes:
        assumption: what a counterfactual through this mechanism assumes beyond the data; empty when nothing.
        weighted: whether draws from `posterior` count only together with their weights, even when all parents are
            known.
    """

    assumption: str = ""
    weighted: bool = False

    @abstractmethod
    def forward(self, parents: Float[Tensor, "k n"], noise: Float[Tensor, "*w n"]) -> Float[Tensor, " n"]:
        """The value."""

    def invert(self, parents: Float[Tensor, "k n"], value: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        """The noise that makes that value."""
        raise CounterfactoryError(
            "the mechanism cannot be inverted",
            given=type(self).__name__,
            expected="an invertible mechanism",
            hint="use counterfactual(..., particles=1000)",
        )

    @property
    def invertible(self) -> bool:
        """Whether `invert` exists."""
        return type(self).invert is not Mechanism.invert

    @property
    def own_noise(self) -> Noise | None:
        """The noise that the mechanism needs, when there is only one choice."""
        return None

    def log_slope(self, parents: Float[Tensor, "k n"], noise: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        """log |dx/du|, by automatic differentiation unless a subclass knows better."""
        with torch.enable_grad():
            u = noise.detach().requires_grad_()
            (slope,) = torch.autograd.grad(self.forward(parents, u).sum(), u)
        return slope.abs().log()

    def log_prob(self, parents: Float[Tensor, "k n"], value: Float[Tensor, " n"], prior: Noise) -> Float[Tensor, " n"]:
        """log p(value | parents): the noise's log density less log |dx/du|."""
        u = self.invert(parents, value)
        return prior.log_prob(u) - self.log_slope(parents, u)

    def posterior(
        self, parents: Float[Tensor, "k n"], value: Float[Tensor, " n"], prior: Noise, stream: torch.Generator
    ) -> tuple[Float[Tensor, "*w n"], Float[Tensor, " n"]]:
        """Noise drawn given the parents and the value, and log p(value | parents)."""
        u = self.invert(parents, value)
        return u, prior.log_prob(u) - self.log_slope(parents, u)


class AdditiveNoise(Mechanism):
    """x = fn(parents) + u."""

    def __init__(self, fn: ParentsFn) -> None:
        self.fn = fn

    def forward(self, parents: Tensor, noise: Tensor) -> Tensor:
        """fn(parents) + u."""
        return call(self.fn, parents) + noise

    def invert(self, parents: Tensor, value: Tensor) -> Tensor:
        """x - fn(parents)."""
        return value - call(self.fn, parents)

    def log_slope(self, parents: Tensor, noise: Tensor) -> Tensor:
        """0: the slope is one."""
        return torch.zeros_like(noise)


class Linear(AdditiveNoise):
    """x = weights . parents + intercept + u; with no weights it is the mechanism of a root, x = u."""

    def __init__(self, weights: Sequence[Number] | Tensor = (), intercept: Number = 0.0) -> None:
        self.weights = torch.as_tensor(weights, dtype=torch.float64)
        self.intercept = intercept
        super().__init__(self._mean)

    def _mean(self, parents: Tensor) -> Tensor:
        return self.weights.to(parents) @ parents + self.intercept


class LocationScale(Mechanism):
    """x = location(parents) + exp(log_scale(parents)) u."""

    def __init__(self, location: ParentsFn, log_scale: ParentsFn) -> None:
        self.location, self.log_scale = location, log_scale

    def forward(self, parents: Tensor, noise: Tensor) -> Tensor:
        """location + exp(log_scale) u."""
        return call(self.location, parents) + call(self.log_scale, parents).exp() * noise

    def invert(self, parents: Tensor, value: Tensor) -> Tensor:
        """(x - location) exp(-log_scale)."""
        return (value - call(self.location, parents)) * torch.exp(-call(self.log_scale, parents))

    def log_slope(self, parents: Tensor, noise: Tensor) -> Tensor:
        """log_scale."""
        return call(self.log_scale, parents).expand_as(noise)


class Invertible(Mechanism):
    """x = forward(parents, u) and its inverse(parents, x) = u, both given; both must be differentiable elementwise."""

    def __init__(
        self, forward: Callable[[Tensor, Tensor], Tensor], inverse: Callable[[Tensor, Tensor], Tensor]
    ) -> None:
        self._forward, self._inverse = forward, inverse

    def forward(self, parents: Tensor, noise: Tensor) -> Tensor:
        """forward(parents, u)."""
        return self._forward(parents, noise)

    def invert(self, parents: Tensor, value: Tensor) -> Tensor:
        """inverse(parents, x)."""
        return self._inverse(parents, value)


class Function(Mechanism):
    """x = fn(parents, u) that cannot be inverted.

    Given x, noise is drawn from its prior and weighted by how near it comes:
    log weight = -((fn(parents, u) - x) / bandwidth)^2 / 2, so the counterfactual is that of x observed with a little
    error.
    """

    assumption = "values observed with a small error (kernel of the given bandwidth)"
    weighted = True

    def __init__(self, fn: Callable[[Tensor, Tensor], Tensor], bandwidth: Number = 0.1) -> None:
        self.fn, self.bandwidth = fn, bandwidth

    def forward(self, parents: Tensor, noise: Tensor) -> Tensor:
        """fn(parents, u)."""
        return self.fn(parents, noise)

    def posterior(self, parents: Tensor, value: Tensor, prior: Noise, stream: torch.Generator) -> tuple[Tensor, Tensor]:
        """A draw from the prior and its log weight."""
        u = prior.sample(value.shape[-1], stream).to(value)
        return u, -0.5 * ((self.fn(parents, u) - value) / self.bandwidth) ** 2


def call(fn: ParentsFn, parents: Tensor) -> Tensor:
    """fn(parents); a torch module is called in the precision of its own weights."""
    weight: Any = next(fn.parameters(), None) if isinstance(fn, nn.Module) else None
    return fn(parents) if weight is None else fn(parents.to(weight.dtype)).to(parents.dtype)
