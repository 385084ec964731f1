"""Site: where in a model something is read or changed."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from counterfactory.errors import CounterfactoryError, unknown

Index = int | slice | Sequence[int] | Tensor
"""One number, a slice, several numbers, or a tensor of them; a boolean tensor is a mask."""

ATTENTION_SIDES = ("query", "key", "value", "scores", "weights", "heads")
SIDES = ("output", "input", *ATTENTION_SIDES)
PHASES = ("all", "prefill", "decode")


@dataclass(frozen=True, eq=False, repr=False)
class Site:
    """A place in a model: a module, one side of it, and a slice of the tensor that passes there.

    Args:
        path: name of the module as `named_modules()` gives it. `*` stands for one part of a name, `**` for any number
            of parts, `{3-6}` and `{1,4}` for numbers, e.g. `model.layers.{3-6}.mlp`. In a pipeline the first part is
            the component: `unet.mid_block`. Aliases of common families: `block[6]`, `attn[6]`, `mlp[6]`, `head[6,3]`
            (that head's part of the input of the attention's output projection), `neuron[6,3]` (input of the MLP's
            down projection). A number may also be `3-6`, `-1` or `*`. A path may stand before an alias
            (`text_encoder.block[2]`), and behind the first three (`block[2].ln_1`).
        at: "output" or "input" of the module; or, of an attention of transformers, its "query", "key" or "value"
            [b, heads, t, head_dim], the "scores" that go into its softmax and the "weights" that come out
            [b, heads, t, t], or its "heads", what each of them reads. Units are heads there, and tokens the positions
            that attend (of keys and values, those that are attended).
        part: which tensor, if several pass: its position in the tuple (or among the positional arguments), or the name
            of its field (or keyword). None means the first tensor that is not a scalar. Attention weights that a module
            returns are for the reader only: to change them here changes nothing behind, but at="weights" does.
        tokens: positions on axis 1 of a [b, t, d] tensor, axis 2 of one inside attention. Numbers, slices and lists
            count the tokens of each row's prompt, without what a 2-D attention mask calls padding: 0 is the first, -1
            or "last" the last; slices end where the prompt ends. "generated" are the positions after the prompt. A
            boolean mask [b, t] or [t] lies over the prompt with its padding. Any other word is looked up in the `spans`
            of `do()` or `record()`.
        units: index on the unit axis, or a basis U [d, k] with orthonormal columns: then the coordinates z U are read
            and changed, z + (new - z U) Uᵀ.
        rows: index on the batch axis.
        when: "prefill" limits a site without `tokens` to the positions of the prompt, "decode" to those after it.
        axis: the unit axis; None means 1 for tensors of four or more axes (convolutions), else the last.

    The slice keeps all axes; but it is flat, [n, units], where rows differ in their number of positions.

    Raises:
        CounterfactoryError: a field is out of its range, or two contradict each other.
    """

    path: str
    at: str = "output"
    part: int | str | None = None
    tokens: Index | str | None = None
    units: Index | None = None
    rows: Index | None = None
    when: str = "all"
    axis: int | None = None

    def __post_init__(self) -> None:
        if self.at not in SIDES:
            raise unknown("side of a module", self.at, SIDES)
        if self.when not in PHASES:
            raise unknown("phase", self.when, PHASES)
        for name in ("tokens", "units", "rows"):
            value = getattr(self, name)
            if isinstance(value, Sequence) and not isinstance(value, str):
                object.__setattr__(self, name, tuple(value))
        if self.tokens is not None and self.when != "all":
            raise CounterfactoryError(
                "a site has both tokens and a phase",
                given=self,
                expected="tokens (of the prompt, or 'generated') or when, not both",
                hint="leave out when: the tokens say it already",
            )
        if self.basis is not None:
            check_orthonormal(self.basis)

    @property
    def basis(self) -> Tensor | None:
        """`units`, if they are directions and not indices."""
        return self.units if isinstance(self.units, Tensor) and self.units.is_floating_point() else None

    @property
    def in_attention(self) -> bool:
        """Whether the site lies inside an attention."""
        return self.at in ATTENTION_SIDES

    @property
    def needs_positions(self) -> bool:
        """Whether the site depends on where in the sequence a call stands."""
        return self.tokens is not None or self.when != "all"

    def replace(self, **changes: Any) -> "Site":
        """A copy with some fields changed."""
        return replace(self, **changes)

    def whole(self) -> "Site":
        """The same tensor without the slice."""
        return self.replace(tokens=None, units=None, rows=None, when="all")

    @cached_property
    def _key(self) -> tuple[Any, ...]:
        return tuple(_hashable(getattr(self, f.name)) for f in fields(self))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Site) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __repr__(self) -> str:
        values = {f.name: getattr(self, f.name) for f in fields(self)[1:] if getattr(self, f.name) is not f.default}
        return f"Site({', '.join([repr(self.path), *(f'{k}={_shown(v)}' for k, v in values.items())])})"


def as_site(where: Site | str) -> Site:
    """A bare path is the site of the module's whole output."""
    return where if isinstance(where, Site) else Site(where)


def _hashable(value: Any) -> Any:
    if isinstance(value, Tensor):
        return "tensor", id(value)  # the site holds the tensor, so the id stays its own
    return ("slice", value.start, value.stop, value.step) if isinstance(value, slice) else value


def _shown(value: Any) -> str:
    return f"<tensor {tuple(value.shape)}>" if isinstance(value, Tensor) else repr(value)


def check_orthonormal(basis: Tensor) -> None:
    """Raise if a basis is not [d, k] with orthonormal columns."""
    U = basis.detach().cpu().double()
    if U.ndim != 2 or not torch.allclose(U.T @ U, torch.eye(U.shape[1], dtype=U.dtype), atol=1e-4):
        raise CounterfactoryError(
            "the basis is not orthonormal",
            given=tuple(basis.shape),
            expected="[d, k] with orthonormal columns",
            hint="use torch.linalg.qr(basis).Q",
        )
