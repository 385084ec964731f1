"""The long row of a growing batch: where each position of each row stands in it, and what it begins as.

Base rows and source rows stand in front, in full. Copies of the base rows follow in the order of their births, each
with the positions that are its own; elsewhere a copy is the base row.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Int
from torch import Tensor


class LongRow:
    """Positions of base rows, source rows and copies, side by side.

    Args:
        rows: S, the base rows; a copy is one of all of them.
        sources: rows behind them that states are taken from, one for all base rows, or one for each.
        length: T, positions of a row.

    Attributes:
        own: the positions of each copy that may differ, and that count.
        place: [b, t], where each position of each row stands.
        origin: [n], the base position that each is a copy of.
        twin: [n], what each begins as: its origin, or the same position of the source.
    """

    place: Int[Tensor, "b t"]
    origin: Int[Tensor, " n"]
    twin: Int[Tensor, " n"]

    def __init__(self, rows: int, sources: int, length: int) -> None:
        self.rows, self.sources, self.length = rows, sources, length
        self.own: list[Sequence[int]] = []
        self._births: list[tuple[int, int]] = []  # layer, and 0 for its input or 1 for its output
        self._taken: list[tuple[int, int]] = []

    def add(self, layer: int, side: str, own: Sequence[Sequence[int]], taken: Sequence[Sequence[int]]) -> None:
        """Copies that are born at the input or output of a block, some of whose positions begin as the source's."""
        self._taken += [(len(self.own) + i, t) for i, tokens in enumerate(taken) for t in tokens]
        self.own += own
        self._births += [(layer, ("input", "output").index(side))] * len(own)

    def close(self, device: torch.device) -> None:
        """Fill in the attributes, when all copies are known."""
        mask = torch.zeros(len(self.own), self.length, dtype=torch.bool)
        for copy, own in zip(mask, self.own, strict=True):
            copy[list(own)] = True
        self._mask = torch.cat(
            [torch.ones(self.plain, self.length, dtype=torch.bool), mask.repeat_interleave(self.rows, 0)]
        )
        base = torch.arange(self.plain * self.length).view(-1, self.length)
        natural = torch.cat([base, base[: self.rows].repeat(len(self.own), 1)])
        place = torch.where(self._mask, self._mask.flatten().cumsum(0).view_as(natural) - 1, natural)
        self.origin, self.place = natural[self._mask].to(device), place.to(device)
        self.twin = self.origin.clone()
        if self._taken:
            copies, tokens = torch.tensor(self._taken, device=device).T
            self.twin[self.copies[copies, :, tokens]] = self.source[:, tokens].T.expand(-1, self.rows)

    @property
    def plain(self) -> int:
        """Rows that are no copies."""
        return self.rows + self.sources

    @property
    def source(self) -> Int[Tensor, "e t"]:
        """Where the source stands."""
        return self.place[self.rows : self.plain]

    @property
    def copies(self) -> Int[Tensor, "c s t"]:
        """Where the copies stand."""
        return self.place[self.plain :].unflatten(0, (-1, self.rows))

    def living(self, layer: int) -> int:
        """Copies inside a block."""
        return sum(birth < (layer, 1) for birth in self._births)

    def count(self, copies: int) -> int:
        """Rows with so many copies."""
        return self.plain + copies * self.rows

    def size(self, copies: int) -> int:
        """Positions with so many copies."""
        return self.plain * self.length + self.rows * sum(map(len, self.own[:copies]))

    def owned(self, copies: int) -> Int[Tensor, " n"]:
        """Where each position is among the rows in full, one after the other."""
        return self._mask[: self.count(copies)].flatten().nonzero().flatten().to(self.place.device)
