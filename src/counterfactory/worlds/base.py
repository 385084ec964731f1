"""The contract of a world: named causes, a structural causal model over them, a renderer; counterfactuals are exact.

A unit is its noise. `World.sample` draws the noise, lets the mechanisms turn it into factors and renders the factors;
`World.counterfactual` keeps the noise, replaces the mechanisms named in `do`, and renders again. So both pictures share
everything that the intervention does not change, and the second is the truth for the first.
"""

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from datasets import Dataset
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from counterfactory.causal import SCM, CausalGraph, Set
from counterfactory.errors import CounterfactoryError, unknown

Do = Mapping[str, Any]
"""What `do=` takes: cause -> number, tensor [n], distribution, or an intervention of `counterfactory.causal`."""


@dataclass(frozen=True)
class Sample:
    """Units of a world.

    Attributes:
        names: the causes, in the order of the columns of `factors`.
        factors: values of the causes in raw units, [n, f].
        noise: what makes the unit the unit it is: one [n] tensor per cause, and whatever else the world draws.
        observation: pictures in [0, 1], [n, c, h, w].
        captions: one text per unit, in worlds that speak.
    """

    names: tuple[str, ...]
    factors: Float[Tensor, "n f"]
    noise: dict[str, Tensor]
    observation: Float[Tensor, "n c h w"]
    captions: list[str] | None = None

    def __len__(self) -> int:
        return len(self.factors)

    def __getitem__(self, name: str) -> Float[Tensor, " n"]:
        if name not in self.names:
            raise unknown("cause", name, self.names)
        return self.factors[:, self.names.index(name)]


class World(IterableDataset):
    """Base of every world; a subclass gives the class attributes, `scm`, and `render`.

    `ranges` are the values that do() accepts; a rare unit in the tail of its noise may lie outside. Iterating yields an
    endless, seeded stream of single units `{"image", "labels"}` that DataLoader workers share.
    """

    name: ClassVar[str]
    ranges: ClassVar[dict[str, tuple[float, float]]]
    units: ClassVar[dict[str, str]]
    scm: SCM
    seed: int = 0

    @property
    def graph(self) -> CausalGraph:
        """The graph over the causes."""
        return self.scm.graph

    @abstractmethod
    def render(self, factors: Float[Tensor, "n f"], noise: dict[str, Tensor]) -> Float[Tensor, "n c h w"]:
        """The pictures of given factors and exogenous noise, in [0, 1]."""

    def read(self, observation: Float[Tensor, "n c h w"], like: Sample) -> Float[Tensor, "n f"]:
        """Measure the causes in pictures (raw units); `like` gives the units the pictures are of."""
        raise CounterfactoryError(
            f"the world '{self.name}' cannot read causes off pictures",
            given=tuple(observation.shape),
            expected="a world with an exact reader",
            hint="pass an oracle of your own",
        )

    def exogenous(self, n: int, seed: int) -> dict[str, Tensor]:
        """Draw the noise that makes `n` units: one tensor [n] a cause, and what else a world has."""
        noise = self.scm.sample(n, seed=seed).noise
        return {name: noise[:, i] for i, name in enumerate(self.graph.nodes)}

    def sample(self, n: int, seed: int = 0, do: Do | None = None) -> Sample:
        """Draw `n` units; the same seed draws the same units whatever `do` says.

        Raises:
            CounterfactoryError: an unknown cause, a value outside its range, or no units asked for.
        """
        if n < 1:
            raise CounterfactoryError(
                "no units to draw", given=n, expected="n of at least 1", hint="ask for at least one unit"
            )
        return self._finish(self.exogenous(n, seed), do)

    def counterfactual(self, sample: Sample, do: Do) -> Sample:
        """The same units, had the causes in `do` been otherwise: their noise is kept, so the answer is exact."""
        return self._finish(sample.noise, do)

    def _finish(self, noise: dict[str, Tensor], do: Do | None) -> Sample:
        stacked = torch.stack([noise[name] for name in self.graph.nodes], dim=1)
        factors = self.scm.predict(stacked, do=self.check(do)).float()
        return Sample(self.graph.nodes, factors, noise, self.render(factors, noise), self.captions(factors, noise))

    def held_out(self) -> "World":
        """The same world with units that training never sees: itself where every seed draws new ones."""
        return self

    def captions(self, factors: Tensor, noise: dict[str, Tensor]) -> list[str] | None:
        """One text per unit; None in worlds without words."""
        return None

    def check(self, do: Do | None) -> dict[str, Any] | None:
        """`do` with its names known and its set values finite and inside their ranges.

        What has no value before it meets a unit passes here: a distribution, a shift, a new mechanism.
        """
        if not do:
            return None
        for name, what in do.items():
            if name not in self.graph.nodes:
                raise unknown(f"cause of the world '{self.name}'", name, self.graph.nodes)
            given = what.value if isinstance(what, Set) else what
            if not isinstance(given, (int, float, np.number, np.ndarray, Tensor)):
                continue  # the SCM applies it or refuses it
            value = torch.as_tensor(given)
            low, high = self.ranges[name]
            if not bool(((value >= low) & (value <= high)).all()):
                raise CounterfactoryError(
                    f"the value for '{name}' is outside its range",
                    given=value.tolist()
                    if value.numel() < 9
                    else f"{value.numel()} values from {value.min():g} to {value.max():g}",
                    expected=f"from {low:g} to {high:g} {self.units[name]}".rstrip(),
                    hint=f"choose {name} inside the range; {self.name}.ranges lists them all",
                )
        return dict(do)

    def tensors(self, n: int, seed: int = 0) -> dict[str, Tensor]:
        """A training set in memory: `image` [n, c, h, w] and `labels` [n, f] in raw units."""
        drawn = self.sample(n, seed)
        return {"image": drawn.observation, "labels": drawn.factors}

    def dataset(self, n: int, seed: int = 0) -> Dataset:
        """The same as a Hugging Face data set: one column a cause, and `image` as an 8-bit picture [h, w, c]."""
        drawn = self.sample(n, seed)
        pictures = (drawn.observation * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
        columns: dict[str, Any] = {"image": list(pictures)}
        columns |= {name: drawn[name].numpy() for name in self.graph.nodes}
        if drawn.captions is not None:
            columns["caption"] = drawn.captions
        return Dataset.from_dict(columns)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        worker = get_worker_info()
        block, stride = (0, 1) if worker is None else (worker.id, worker.num_workers)
        while True:
            drawn = self.tensors(256, seed=(self.seed + 1 << 32) + block)
            for i in range(256):
                yield {key: value[i] for key, value in drawn.items()}
            block += stride
