"""Ops: what happens to the slice of a site. Each is a pure function, natural -> new.

`Set`, `Add` and `Scale` are the interventions of structural causal models, and any other function of a tensor is an op,
too. The ops of this file are also told their place: which site, which call, and on which axis the units lie.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from counterfactory.causal import Add, Scale, Set
from counterfactory.causal.noise import generator
from counterfactory.errors import CounterfactoryError, unknown
from counterfactory.hooks.select import Slice, along
from counterfactory.hooks.site import Site

Op = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Place:
    """Where an op stands.

    Attributes:
        site: the site, under its module's own name.
        call: how often the site was reached before, in this run.
        shape: of the whole tensor.
        slice: the slice of it that the op sees.
    """

    site: Site
    call: int
    shape: torch.Size
    slice: Slice


@runtime_checkable
class Recorded(Protocol):
    """A run that has recorded tensors."""

    def at(self, place: Place) -> Tensor:
        """What was recorded at that place."""


Source = Tensor | Recorded


class PlacedOp(ABC):
    """Base of the ops that are told their place."""

    @property
    def mixes_rows(self) -> bool:
        """Whether single rows of the batch are meant, which is refused under beam search."""
        return False

    @abstractmethod
    def __call__(self, natural: Tensor, place: Place) -> Tensor:
        """The new value of the slice."""


@dataclass(frozen=True, eq=False)
class Replay(PlacedOp):
    """Set to what another run recorded here: an interchange intervention, if that run had another input.

    What was recorded in one call serves every call; what was recorded in several serves call by call. If the run
    recorded the whole tensor, the slice is taken from it.
    """

    run: Recorded

    def __call__(self, natural: Tensor, place: Place) -> Tensor:
        """The recorded value."""
        return Set(self.run.at(place))(natural).clone()


@dataclass(frozen=True, eq=False)
class Swap(PlacedOp):
    """Exchange two rows of the slice, so that each input continues with the state of the other."""

    first: int
    second: int

    @property
    def mixes_rows(self) -> bool:
        """Yes."""
        return True

    def __call__(self, natural: Tensor, place: Place) -> Tensor:
        """The slice with the two rows exchanged."""
        n = len(natural)
        if not (-n <= self.first < n and -n <= self.second < n):
            raise CounterfactoryError(
                f"no such row at '{place.site.path}'", given=self, expected=f"0 to {n - 1}", hint="give a larger batch"
            )
        order = torch.arange(n)
        order[[self.first, self.second]] = order[[self.second, self.first]]
        return natural[order.to(natural.device)]


@dataclass(frozen=True, eq=False)
class Noise(PlacedOp):
    """natural + std · ε, ε ~ N(0, 1), drawn from a stream named by the seed and the module.

    Args:
        std: standard deviation, a number or a tensor that broadcasts to the slice.
        seed: the same seed gives the same noise, at every call and in every run.
        fresh: draw anew at each call; the k-th call of every run then draws the same.
    """

    std: float | int | Tensor
    seed: int = 0
    fresh: bool = False

    def __call__(self, natural: Tensor, place: Place) -> Tensor:
        """The slice with noise."""
        stream = generator(self.seed, place.site.path, str(place.call if self.fresh else 0))
        noise = torch.randn(natural.shape, generator=stream)  # drawn on the CPU: equal on every device
        return Add(Scale(self.std)(noise.to(natural)))(natural)


@dataclass(frozen=True, eq=False)
class Project(PlacedOp):
    """Act on a subspace: P = Q Qᵀ projects onto the span of the columns of `directions`.

    Args:
        directions: [d, k] of rank k, not necessarily orthonormal.
        mode: "remove" gives z - P z, "keep" gives P z, "replace" gives z + P (source - z).
        source: for "replace": a tensor that broadcasts to the slice, or a run that recorded this site.
    """

    directions: Float[Tensor, "d k"]
    mode: str = "remove"
    source: Source | None = None

    def __post_init__(self) -> None:
        if self.mode not in ("remove", "keep", "replace"):
            raise unknown("mode of Project", self.mode, ["remove", "keep", "replace"])
        if (self.mode == "replace") != (self.source is not None):
            raise CounterfactoryError(
                "mode and source of Project do not fit",
                given=f"mode={self.mode!r}, source={type(self.source).__name__}",
                expected="a source with mode='replace', and only then",
                hint="Project(directions, 'replace', source=run)",
            )
        wide = self.directions.cpu().double()
        if int(torch.linalg.matrix_rank(wide.detach())) < wide.shape[1]:
            raise CounterfactoryError(
                "the directions are not independent",
                given=tuple(wide.shape),
                expected="[d, k] of rank k",
                hint="drop the directions that depend on others",
            )
        object.__setattr__(self, "directions", torch.linalg.qr(wide).Q)

    def __call__(self, natural: Tensor, place: Place) -> Tensor:
        """The slice, projected along its unit axis."""
        axis, Q = place.slice.axis, self.directions.to(natural)
        if natural.shape[axis] != len(Q):
            raise CounterfactoryError(
                f"the directions do not fit '{place.site.path}'",
                given=tuple(Q.shape),
                expected=f"[{natural.shape[axis]}, k]: one row for each unit of the slice",
                hint="counterfactory doctor lists the sites of a model with their widths",
            )
        if self.mode == "replace":
            return natural + _project(Set(taken(self.source, place))(natural) - natural, Q, axis)
        kept = _project(natural, Q, axis)
        return kept if self.mode == "keep" else natural - kept


@dataclass(frozen=True, eq=False)
class Ablate(PlacedOp):
    """Take out the information in a slice.

    Args:
        mode: "zero"; "mean": the mean of each unit over all other axes; "resample": for each row the state of another
            row drawn at random, the same one at every site, so that what belongs together stays together.
        source: where means and rows come from: a tensor [n, ...], or a run that recorded this site on reference data.
            None means the batch itself.
        seed: of the rows drawn by "resample".
    """

    mode: str = "zero"
    source: Source | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.mode not in ("zero", "mean", "resample"):
            raise unknown("mode of Ablate", self.mode, ["zero", "mean", "resample"])

    @property
    def mixes_rows(self) -> bool:
        """If rows are drawn; a mean does not depend on their order."""
        return self.mode == "resample"

    def __call__(self, natural: Tensor, place: Place) -> Tensor:
        """The ablated slice."""
        if self.mode == "zero":
            return torch.zeros_like(natural)
        source = natural if self.source is None else taken(self.source, place).to(natural)
        if self.mode == "resample":
            return Set(source[self._donors(len(natural), len(source)).to(source.device)])(natural)
        axis = place.slice.axis
        mean = source.movedim(axis, -1).reshape(-1, source.shape[axis]).mean(0)
        return Set(mean.view(-1, *[1] * (-1 - axis)))(natural).clone()

    def _donors(self, rows: int, sources: int) -> Tensor:
        stream = generator(self.seed, "resample")
        if self.source is not None:
            return torch.randint(sources, (rows,), generator=stream)
        if rows < 2:
            raise CounterfactoryError(
                "no other row to draw from", given=f"{rows} row", expected="2 or more", hint="give a source"
            )
        return (torch.arange(rows) + torch.randint(1, rows, (), generator=stream)) % rows  # no row draws itself


def taken(source: Any, place: Place) -> Tensor:
    """The tensor of a source at a place."""
    return source if isinstance(source, Tensor) else source.at(place)


def as_op(what: Any, path: str) -> Op | PlacedOp:
    """A bare number or tensor means `Set`.

    Raises:
        CounterfactoryError: not an op.
    """
    if isinstance(what, (int, float, Tensor)) and not isinstance(what, bool):
        return Set(what)
    if isinstance(what, type) or not callable(what):
        raise CounterfactoryError(
            f"no op on '{path}'",
            given=what,
            expected="a number, a tensor, an op such as Scale(0.5), or a function of a tensor",
            hint=f"do(model, {{'{path}': Scale(0.5)}}) halves what passes there",
        )
    return what


def _project(z: Tensor, Q: Tensor, axis: int) -> Tensor:
    return along(along(z, axis, Q), axis, Q.T)
