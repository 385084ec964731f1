"""The slice of a tensor that a site names: read it, and write it back out of place."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from counterfactory.errors import CounterfactoryError
from counterfactory.hooks.clock import Call
from counterfactory.hooks.site import Site
from counterfactory.hooks.tokens import local_positions


@dataclass(frozen=True, eq=False)
class Slice:
    """A slice of tensors of one shape.

    Attributes:
        index: what to index with; None for the whole tensor.
        axis: the unit axis of the slice, counted from the end.
        basis: directions [d, k] in place of units.
    """

    index: tuple[Any, ...] | None
    axis: int
    basis: Tensor | None = None

    def read(self, z: Tensor) -> Tensor:
        """The slice of z, or its coordinates z U."""
        part = z if self.index is None else z[self.index]
        return part if self.basis is None else along(part, self.axis, self.basis.to(z))

    def write(self, z: Tensor, natural: Tensor, new: Tensor) -> Tensor:
        """z with the slice exchanged, as a new tensor: gradients flow through the new values and through the rest.

        Raises:
            CounterfactoryError: the new values have another shape.
        """
        if self.index is None and self.basis is None:
            return new
        if new.shape != natural.shape:
            raise CounterfactoryError(
                "an op changed the shape of a slice",
                given=tuple(new.shape),
                expected=f"{tuple(natural.shape)}",
                hint="only an op on a whole tensor may change its shape",
            )
        if self.basis is not None:  # z + (new - z U) Uᵀ
            part = z if self.index is None else z[self.index]
            new = part + along(new - natural, self.axis, self.basis.to(z).T)
        if self.index is None:
            return new
        out = z.clone()
        out[self.index] = new.to(z)
        return out


def along(z: Tensor, axis: int, matrix: Tensor) -> Tensor:
    """z @ matrix along one axis."""
    return (z.movedim(axis, -1) @ matrix).movedim(-1, axis)


def slice_of(site: Site, z: Tensor, call: Call, spans: Mapping[str, Any]) -> Slice | None:
    """The slice that a site names in z; None if this call does not reach it.

    Raises:
        CounterfactoryError: an index is out of range, or the tensor has no positions.
    """
    axis = site.axis if site.axis is not None else (1 if z.ndim >= 4 else -1)
    axis = axis - z.ndim if axis >= 0 else axis
    basis = site.basis
    if not 0 <= z.ndim + axis < z.ndim or (basis is not None and len(basis) != z.shape[axis]):
        raise _outside(site, "axis" if basis is None else "units", z, "an axis, as wide as the basis has rows")
    index: dict[int, slice | Tensor] = {}
    if site.rows is not None:
        index[0] = _checked(site, "rows", z, 0)
    if site.units is not None and basis is None:
        index[z.ndim + axis] = _checked(site, "units", z, axis)
    if not site.needs_positions:
        return Slice(_mesh(z, index) if index else None, axis, basis)
    along_t, usual = (2, -3) if site.in_attention else (1, -1)  # axes of positions and of units
    if z.ndim != along_t + 2 or axis != usual:
        shape = "[b, heads, t, d]" if site.in_attention else "[b, t, d]"
        raise _outside(site, "tokens" if site.tokens is not None else "when", z, f"a tensor {shape}")
    rows = torch.arange(len(z))[index.get(0, slice(None))]
    cols = local_positions(site, call, (z.shape[0], z.shape[along_t]), rows, spans)
    if cols is None:
        return None
    if isinstance(cols, slice) or cols.ndim == 1:
        return Slice(_mesh(z, {**index, along_t: cols}), axis, basis)
    units, here = torch.arange(z.shape[axis])[index.get(z.ndim + axis, slice(None))], cols >= 0
    rows = rows[:, None].expand_as(cols)
    if not bool(here.all()):  # rows differ in their number of positions: flat
        rows, cols = rows[here], cols[here]
    if site.in_attention:
        return Slice((rows[..., None], units, cols[..., None]), -2, basis)
    return Slice((rows[..., None], cols[..., None], units), axis, basis)


def _mesh(z: Tensor, index: dict[int, slice | Tensor]) -> tuple[slice | Tensor, ...]:
    """One index an axis; two or more lists are spread into an open mesh, so that all axes stay where they are."""
    parts = [index.get(a, slice(None)) for a in range(z.ndim)]
    if sum(isinstance(p, Tensor) for p in parts) < 2:
        return tuple(parts)
    spread = [torch.arange(z.shape[a])[p] for a, p in enumerate(parts)]
    return tuple(s.view(-1, *[1] * (z.ndim - 1 - a)) for a, s in enumerate(spread))


def _checked(site: Site, field: str, z: Tensor, axis: int) -> slice | Tensor:
    """Units or rows as a slice, or as a list of numbers, all of them inside the axis."""
    value, n = getattr(site, field), z.shape[axis]
    if isinstance(value, slice):
        ends = [e for e in (value.start, value.stop) if e is not None]
        if any(not -n <= e <= n for e in ends) or not range(*value.indices(n)):
            raise _outside(site, field, z, f"a part of 0 to {n}")
        if value.step in (None, 1):
            return value
        value = list(range(*value.indices(n)))
    chosen = torch.as_tensor(value).cpu()
    if chosen.dtype == torch.bool and chosen.shape == (n,):
        chosen = chosen.nonzero().flatten()
    chosen = chosen.reshape(-1)
    if not len(chosen) or chosen.dtype == torch.bool or not bool(((-n <= chosen) & (chosen < n)).all()):
        raise _outside(site, field, z, f"numbers from 0 to {n - 1}")
    return chosen % n


def _outside(site: Site, field: str, z: Tensor, expected: str) -> CounterfactoryError:
    return CounterfactoryError(
        f"{field} does not fit the tensor at '{site.path}'",
        given=f"{site} on a tensor of shape {tuple(z.shape)}",
        expected=expected,
        hint="counterfactory doctor lists the sites of a model with their widths",
    )
