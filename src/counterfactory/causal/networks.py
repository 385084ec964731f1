"""Many small networks stacked in four tensors, so that any subset of them is two batched matrix products.

Each variable has a perceptron with one hidden layer, o = B silu(A pa + a) + b, and a mechanism made of its outputs:

    additive         x = o_1 + u
    location_scale   x = o_1 + exp(s) u,                 s = base + 3 tanh(o_2 / 3)
    spline           x = o_1 + exp(s) spline(u; o_3...)  with the same s

s stays within three of its base, so that no intervention outside the data makes the scale explode. Variables with fewer
parents than the widest are padded: the padded places read the first parent with weight zero.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from counterfactory.causal.noise import generator
from counterfactory.causal.spline import parameter_count, spline

Kind = Literal["additive", "location_scale", "spline"]
BINS = 8  # of a spline
_BLOCK = 2**19  # numbers in the hidden layer of one block, 2 MB in float32: larger blocks gain nothing


@dataclass(frozen=True)
class Block:
    """Some networks with l rows, ready to be evaluated together; `block[2:5]` is three of them.

    Attributes:
        kind: of the mechanisms.
        A, a, B, b: weights, [l, h, k], [l, h, 1], [l, o, h], [l, o, 1].
        base: of the log scale, [l, 1].
        sources: places of the parents, [l, k].
    """

    kind: Kind
    A: Float[Tensor, "l h k"]
    a: Float[Tensor, "l h 1"]
    B: Float[Tensor, "l o h"]
    b: Float[Tensor, "l o 1"]
    base: Float[Tensor, "l 1"]
    sources: Int[Tensor, "l k"]

    def __getitem__(self, part: slice) -> "Block":
        tensors = (self.A, self.a, self.B, self.b, self.base, self.sources)
        return Block(self.kind, *(t[part] for t in tensors))

    def value(self, parents: Float[Tensor, "l k n"], u: Float[Tensor, "l n"]) -> Float[Tensor, "l n"]:
        """x."""
        out = self._outputs(parents)
        if self.kind == "additive":
            return out[:, 0] + u
        if self.kind == "spline":
            u = spline(u, out[:, 2:].movedim(1, 0))[0]
        return out[:, 0] + self._log_scale(out).exp() * u

    def noise(
        self, parents: Float[Tensor, "l k n"], x: Float[Tensor, "l n"]
    ) -> tuple[Float[Tensor, "l n"], Float[Tensor, "l n"]]:
        """u, and log |dx/du| there."""
        out = self._outputs(parents)
        u = x - out[:, 0]
        if self.kind == "additive":
            return u, torch.zeros_like(u)
        s = self._log_scale(out)
        u = u * torch.exp(-s)
        if self.kind == "location_scale":
            return u, s
        u, slope = spline(u, out[:, 2:].movedim(1, 0), inverse=True)
        return u, s + slope

    def _outputs(self, parents: Tensor) -> Float[Tensor, "l o n"]:
        hidden = torch.baddbmm(self.a, self.A, parents)
        hidden = nn.functional.silu(hidden, inplace=not hidden.requires_grad)
        return torch.baddbmm(self.b, self.B, hidden)

    def _log_scale(self, out: Tensor) -> Float[Tensor, "l n"]:
        return self.base + 3 * torch.tanh(out[:, 1] / 3)


class Networks(nn.Module):
    """The weights of all networks, with gradients off.

    Args:
        parents: for each network, the places of its inputs among all variables; at least one each.
        hidden: width of the hidden layer.
        kind: of the mechanisms.
        seed: for the starting weights.
    """

    A: Tensor
    a: Tensor
    B: Tensor
    b: Tensor
    base: Tensor
    sources: Tensor
    mask: Tensor

    def __init__(self, parents: Sequence[Sequence[int]], hidden: int, kind: Kind, seed: int) -> None:
        super().__init__()
        self.kind: Kind = kind
        self.degree = [len(p) for p in parents]
        m, k = len(parents), max(self.degree, default=0)
        outputs = {"additive": 1, "location_scale": 2, "spline": 2 + parameter_count(BINS)}[kind]
        degree = torch.tensor(self.degree, dtype=torch.float32).view(m, 1, 1)
        padded = torch.tensor([[*p, *[p[0]] * (k - len(p))] for p in parents], dtype=torch.long).view(m, k)
        self.register_buffer("sources", padded)
        self.register_buffer("mask", (torch.arange(k) < degree).float())
        self.register_buffer("base", torch.zeros(m, 1))
        stream = generator(seed, "networks")
        B = torch.randn(m, outputs, hidden, generator=stream) / hidden**0.5
        B[:, 2:] *= 0.1  # splines start near the identity
        start = {
            "A": torch.randn(m, hidden, k, generator=stream) / degree.sqrt() * self.mask,
            "a": torch.randn(m, hidden, 1, generator=stream),
            "B": B,
            "b": torch.zeros(m, outputs, 1),
        }
        for name, value in start.items():
            self.register_parameter(name, nn.Parameter(value, requires_grad=False))

    def block(self, rows: Sequence[int], like: Tensor) -> Block:
        """The networks of these rows, in the precision of `like`, padded to the largest in-degree among them."""
        k = max(self.degree[row] for row in rows)
        index = torch.tensor(rows, device=like.device)
        A, a, B, b, base = (
            w.index_select(0, index).to(like.dtype) for w in (self.A, self.a, self.B, self.b, self.base)
        )
        return Block(self.kind, A[:, :, :k], a, B, b, base, self.sources.index_select(0, index)[:, :k])

    def all(self) -> Block:
        """All networks, differentiable in the weights where their gradients are on."""
        return Block(self.kind, self.A * self.mask, self.a, self.B, self.b, self.base, self.sources)


def gather(x: Float[Tensor, "d n"], sources: Int[Tensor, "l k"]) -> Float[Tensor, "l k n"]:
    """The rows of the parents."""
    return x.index_select(0, sources.flatten()).view(*sources.shape, -1)


def pieces(rows: int, n: int, hidden: int) -> Iterator[tuple[slice, slice]]:
    """Cut rows and columns into pieces whose hidden layer fits in the cache."""
    columns = min(n, max(1, _BLOCK // hidden))
    step = max(1, _BLOCK // (hidden * columns))
    for row in range(0, rows, step):
        for column in range(0, n, columns):
            yield slice(row, row + step), slice(column, column + columns)
