"""A real world small enough to be drawn thousands of times: two tanks joined by a pipe, before a patterned wall."""

from typing import ClassVar

import pytest
import torch
from torch import Tensor

from counterfactory.causal import SCM, AdditiveNoise, CausalGraph, Normal, Uniform
from counterfactory.worlds import Sample, World


class Tanks(World):
    """inflow -> level, level = 0.2 + 0.5 inflow + noise; `wall` is the unit's own and no cause."""

    name = "tanks"
    ranges: ClassVar = {"inflow": (0.0, 4.0), "level": (-1.0, 4.0)}
    units: ClassVar = {"inflow": "l/s", "level": "m"}

    def __init__(self) -> None:
        graph = CausalGraph(["inflow", "level"], [("inflow", "level")])
        noise = {"inflow": Uniform(1.0, 3.0), "level": Normal(0.0, 0.2)}
        self.scm = SCM(graph, {"level": AdditiveNoise(lambda parents: 0.2 + 0.5 * parents[0])}, noise)

    def exogenous(self, n: int, seed: int) -> dict[str, Tensor]:
        pattern = torch.rand(n, 1, 4, 12, generator=torch.Generator().manual_seed(seed))
        return super().exogenous(n, seed) | {"wall": pattern}

    def render(self, factors: Tensor, noise: dict[str, Tensor]) -> Tensor:
        """The left tank's grey is the inflow, the right one's the level, the wall fills the lowest four rows."""
        shade = torch.stack([factors[:, 0] / 4, (factors[:, 1] + 1) / 5], 1)
        tanks = shade[:, None, None, :].repeat_interleave(6, 3).expand(-1, 1, 8, 12)
        return torch.cat([tanks, noise["wall"]], 2)

    def read(self, observation: Tensor, like: Sample | None = None) -> Tensor:
        left, right = observation[:, 0, :8, :6].mean((1, 2)), observation[:, 0, :8, 6:].mean((1, 2))
        return torch.stack([4 * left, 5 * right - 1], 1)


class Simulator:
    """The world's own mechanisms as a model: abduction from the picture, action, prediction."""

    def __init__(self, world: Tanks) -> None:
        self.world = world

    def counterfactual(self, x: Tensor, do: dict[str, object]) -> Tensor:
        factors = self.world.scm.counterfactual(self.world.read(x), do).values
        return self.world.render(factors, {"wall": x[:, :, 8:]})


class Resampler(Simulator):
    """Draws another unit and gives it the asked causes: effective, but not the same unit."""

    def counterfactual(self, x: Tensor, do: dict[str, object]) -> Tensor:
        factors = self.world.scm.counterfactual(self.world.read(x), do).values
        return self.world.render(factors, {"wall": self.world.exogenous(len(x), seed=99)["wall"]})


@pytest.fixture(scope="session")
def world() -> Tanks:
    return Tanks()


@pytest.fixture(scope="session")
def simulator(world: Tanks) -> Simulator:
    return Simulator(world)


@pytest.fixture(scope="session")
def resampler(world: Tanks) -> Resampler:
    return Resampler(world)
