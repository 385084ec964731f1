"""Attributes of pictures: which label columns a learner uses, and how their values become numbers for a network.

An attribute is categorical (a list of raw values; the code is the index of the nearest), binned (the same for a
continuous label, whose values are the centres of bins) or continuous (no values; the code is (raw - centre) / scale).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from counterfactory.causal import Add, Scale, Set
from counterfactory.errors import CounterfactoryError, unknown

CATEGORIES = 32
"""Labels with at most so many distinct values are taken to be categories."""


@dataclass(frozen=True)
class Attribute:
    """One attribute.

    Args:
        name: of its label column.
        values: raw value of each category, rising; none for a continuous attribute.
        binned: whether the values are centres of equally wide bins of a continuous label.
        centre, scale: of a continuous attribute, its mean and standard deviation.
    """

    name: str
    values: tuple[float, ...] = ()
    binned: bool = False
    centre: float = 0.0
    scale: float = 1.0

    @property
    def width(self) -> int:
        """Numbers that a network sees: one a category (one hot), one for two categories or a continuous value."""
        return len(self.values) if len(self.values) > 2 else 1

    def code(self, raw: Tensor) -> Tensor:
        """Index of the category, or the scaled value.

        Raises:
            CounterfactoryError: a value that is not finite, no category, or outside all bins.
        """
        if not self.values:
            bad, found = ~torch.isfinite(raw), (raw - self.centre) / self.scale
        else:
            values = torch.tensor(self.values, dtype=raw.dtype, device=raw.device)
            distance, found = (raw[..., None] - values).abs().min(-1)
            step = (self.values[-1] - self.values[0]) / max(len(self.values) - 1, 1) or 1.0
            bad = ~(distance <= (0.501 if self.binned else 1e-3) * step)  # also where it is nan
        if bool(bad.any()):
            raise CounterfactoryError(
                f"'{self.name}' cannot have this value",
                given=float(raw[bad].flatten()[0]),
                expected=self._expected(),
                hint=f"choose a value of '{self.name}' that the model was built for",
            )
        return found.to(raw)

    def nearest(self, raw: Tensor) -> Tensor:
        """The nearest value that the attribute can have; continuous values are left as they are."""
        if not self.values:
            return raw
        values = torch.tensor(self.values, dtype=raw.dtype, device=raw.device)
        return values[(raw[..., None] - values).abs().argmin(-1)]

    def raw(self, code: Tensor) -> Tensor:
        """The value that a code stands for."""
        if not self.values:
            return code * self.scale + self.centre
        return torch.tensor(self.values, dtype=code.dtype, device=code.device)[code.long()]

    def _expected(self) -> str:
        if not self.values:
            return "finite numbers"
        return (
            f"from {self.values[0]:g} to {self.values[-1]:g}, or half a bin beyond"
            if self.binned
            else "one of " + ", ".join(f"{v:g}" for v in self.values)
        )


def spec(
    binary: Sequence[str] = (),
    categorical: Mapping[str, int] | None = None,
    continuous: Mapping[str, tuple[float, float]] | None = None,
    vectors: Mapping[str, int] | None = None,
) -> tuple[Attribute, ...]:
    """Attributes by kind.

    Args:
        binary: names of labels that are 0 or 1.
        categorical: name -> number of categories, labelled 0, 1, 2, ...
        continuous: name -> mean and standard deviation.
        vectors: name -> width of vectors with entries of about unit size, such as sentence embeddings; entry i is
            the label column `name.i`, and requests give whole vectors by `name`.

    Example:
        >>> [a.name for a in spec(binary=["glasses"], categorical={"shape": 3}, vectors={"text": 2})]
        ['glasses', 'shape', 'text.0', 'text.1']
    """
    found = [Attribute(name, (0.0, 1.0)) for name in binary]
    found += [Attribute(name, tuple(map(float, range(k)))) for name, k in (categorical or {}).items()]
    found += [Attribute(name, centre=c, scale=s) for name, (c, s) in (continuous or {}).items()]
    found += [Attribute(f"{name}.{i}") for name, width in (vectors or {}).items() for i in range(width)]
    return tuple(found)


def infer(labels: Float[Tensor, "n f"], columns: Sequence[str], names: Sequence[str], bins: int) -> list[Attribute]:
    """Attributes as the data have them: few distinct values are categories, many are cut into `bins` (0: continuous).

    Raises:
        CounterfactoryError: a name that is no column.
    """
    found = []
    for name in names:
        if name not in columns:
            raise unknown("label", name, columns)
        column = labels[:, list(columns).index(name)]
        distinct = column.unique()
        if len(distinct) <= CATEGORIES:
            found.append(Attribute(name, tuple(distinct.tolist())))
        elif bins:
            edges = torch.linspace(float(distinct[0]), float(distinct[-1]), bins + 1)
            found.append(Attribute(name, tuple(((edges[1:] + edges[:-1]) / 2).tolist()), binned=True))
        else:
            found.append(Attribute(name, centre=float(column.mean()), scale=max(float(column.std()), 1e-6)))
    return found


class AttributeTable:
    """The attributes of a learner and their label columns.

    Args:
        columns: names of the label columns of a batch.
        attributes: those that are used.

    Raises:
        CounterfactoryError: no attribute, one twice, or one that is no column.
    """

    def __init__(self, columns: Sequence[str], attributes: Sequence[Attribute]) -> None:
        self.columns, self.attributes = tuple(columns), tuple(attributes)
        self.names = tuple(a.name for a in attributes)
        if not self.names or len(set(self.names)) < len(self.names):
            raise CounterfactoryError(
                "the attributes cannot be used",
                given=self.names,
                expected="at least one, none twice",
                hint="for_world and of fill in all that describes them",
            )
        for name in self.names:
            if name not in self.columns:
                raise unknown("label", name, self.columns)
        self.places = [self.columns.index(name) for name in self.names]
        self.width = sum(a.width for a in attributes)

    def read(self, labels: Tensor) -> Float[Tensor, "b m"]:
        """Codes of the attributes from the labels [b, f] of a batch, in raw units.

        Raises:
            CounterfactoryError: labels of another width, or a value that an attribute cannot have.
        """
        if labels.ndim != 2 or labels.shape[1] != len(self.columns):
            raise CounterfactoryError(
                "the labels have the wrong width",
                given=f"shape {tuple(labels.shape)}",
                expected=f"[batch, {len(self.columns)}]: one column each for {', '.join(self.columns)}",
                hint="give all label columns, also those that are not used",
            )
        raw = labels[:, self.places].float()
        return torch.stack([a.code(raw[:, i]) for i, a in enumerate(self.attributes)], 1)

    def raw(self, codes: Float[Tensor, "b m"]) -> Float[Tensor, "b m"]:
        """The values that codes stand for."""
        return torch.stack([a.raw(codes[:, i]) for i, a in enumerate(self.attributes)], 1)

    def vector(self, codes: Float[Tensor, "b m"]) -> Float[Tensor, "b w"]:
        """What a network sees: categories one hot, two categories as 0 or 1, continuous values scaled."""
        parts = [
            F.one_hot(codes[:, i].long(), a.width).to(codes) if a.width > 1 else codes[:, i : i + 1]
            for i, a in enumerate(self.attributes)
        ]
        return torch.cat(parts, 1)

    def given(self, values: Mapping[str, Any], n: int) -> Float[Tensor, "n m"]:
        """Codes of `n` rows in which the attributes that `values` does not name are nan."""
        return self.change(torch.full((n, len(self.names)), math.nan), values)

    def change(self, codes: Float[Tensor, "n m"], do: Mapping[str, Any]) -> Float[Tensor, "n m"]:
        """Codes after `do`: name -> number or one a row, `Set`, `Add` or `Scale`, in raw units.

        Raises:
            CounterfactoryError: an unknown attribute, or a value that it cannot have.
        """
        self.named(do)
        changed = codes.clone()
        for name, what in self._entries(do).items():
            i = self.names.index(name)
            natural = torch.where(codes[:, i].isnan(), math.nan, self.attributes[i].raw(codes[:, i].nan_to_num()))
            if not isinstance(what, (Set, Add, Scale)):
                what = Set(torch.as_tensor(what, dtype=codes.dtype, device=codes.device))
            changed[:, i] = self.attributes[i].code(what(natural))
        return changed

    def named(self, do: Mapping[str, Any]) -> Bool[Tensor, " m"]:
        """Which attributes `do` names.

        Raises:
            CounterfactoryError: it names one that is not there.
        """
        entries = self._entries(do)
        for name in entries:
            if name not in self.names:
                raise unknown("attribute", name, self.names)
        return torch.tensor([name in entries for name in self.names])

    def _entries(self, do: Mapping[str, Any]) -> dict[str, Any]:
        """Vectors [w] or [n, w] as one value, or one value a row, for each of their entries."""
        found: dict[str, Any] = {}
        for name, what in do.items():
            if name not in self.names and f"{name}.0" in self.names:
                entries = torch.as_tensor(what).movedim(-1, 0)
                found |= {f"{name}.{i}": entry for i, entry in enumerate(entries)}
            else:
                found[name] = what
        return found
