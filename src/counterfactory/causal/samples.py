"""What a structural causal model returns: samples, counterfactuals, estimates."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from counterfactory.causal.noise import Number
from counterfactory.errors import unknown


@dataclass(frozen=True, eq=False)
class Samples:
    """Units drawn from a model. Stored node-major, so that `samples["x"]` is a contiguous view.

    Attributes:
        values: one column a variable, [n, d]; [r, n, d] when `r` worlds were asked for.
        noise: the exogenous variables, [n, w]; w = d unless a discrete variable carries one number a level.
        names: the variables, in the order of the columns of `values`.
    """

    values: Float[Tensor, "*r n d"]
    noise: Float[Tensor, "*p n w"]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return self.values.shape[-2]

    def __getitem__(self, name: str) -> Float[Tensor, "*r n"]:
        if name not in self.names:
            raise unknown("variable", name, self.names)
        return self.values[..., self.names.index(name)]


@dataclass(frozen=True, eq=False)
class Counterfactual(Samples):
    """What would have happened to the observed units. `values` is the posterior mean.

    Attributes:
        draws: the particles, [p, n, d]; one, equal to `values`, when the noise could be read off the observation.
        weights: posterior weight of each particle of a unit, [p, n]; sums to one over the particles.
        assumption: what the answer assumes beyond the model's observable distribution; empty when nothing.
    """

    draws: Float[Tensor, "p n d"]
    weights: Float[Tensor, "p n"]
    assumption: str = ""

    @property
    def effective_sample_size(self) -> Float[Tensor, " n"]:
        """1 / sum of squared weights: how many equal particles the weighted ones are worth. Small is a warning."""
        return 1 / self.weights.square().sum(0)

    def probability(self, name: str, value: Number) -> Float[Tensor, " n"]:
        """Posterior probability that a discrete variable would have had that value."""
        if name not in self.names:
            raise unknown("variable", name, self.names)
        return ((self.draws[..., self.names.index(name)] == value) * self.weights).sum(0)


class Estimate(NamedTuple):
    """A mean over units and its standard error (zero when the value is exact)."""

    value: Tensor
    error: Tensor

    def __float__(self) -> float:
        return float(self.value)


def mean_of(values: Float[Tensor, " n"]) -> Estimate:
    """The mean of one number a unit, with its standard error."""
    spread = values.std() if len(values) > 1 else torch.full_like(values.mean(), torch.nan)
    return Estimate(values.mean(), spread.detach() / len(values) ** 0.5)
