"""Which states are exchanged, and the exchange of all of them: cells over tokens, layers and units."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from counterfactory.errors import CounterfactoryError
from counterfactory.find.lm_trace.batch import Growth, Op, Read
from counterfactory.find.lm_trace.wiring import Wiring
from counterfactory.hooks import Site

Places = Sequence[int | Sequence[int]]
"""Each one position, or several that are exchanged together."""


@dataclass(frozen=True, eq=False)
class Ground:
    """The run in which states are exchanged, and the run that they come from.

    Attributes:
        ids: the rows of the one, and then those of the other.
        rows: how many the first has; the other has one row for all of them, or as many.
        begin: edits of these rows before the first block, such as noise on embeddings.
        first: the first position at which the two differ.
    """

    ids: Int[Tensor, "b t"]
    rows: int
    begin: Mapping[Site, Op]
    first: int


@dataclass(frozen=True)
class Cells:
    """What is exchanged: every place in every layer, unit by unit.

    Args:
        kind: one of `KINDS`.
        tokens: places.
        layers: the layers.
        units: heads or neurons; (0,) where a kind has one unit.
        window: layers around each layer that are exchanged together.
    """

    kind: str
    tokens: tuple[tuple[int, ...], ...]
    layers: tuple[int, ...]
    units: tuple[int, ...]
    window: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """Places, layers, units."""
        return len(self.tokens), len(self.layers), len(self.units)

    def span(self, layer: int, depth: int) -> range:
        """The window around a layer, shorter at the borders."""
        return range(max(0, layer - self.window // 2), min(depth, layer - (-self.window // 2)))


def choose(
    wiring: Wiring, kind: str, window: int, tokens: Places | None, layers: Any, units: Any, first: int, length: int
) -> Cells:
    """Cells of a kind; None means all positions from the first that differs, all layers, all units.

    Raises:
        CounterfactoryError: a position, layer or unit out of range; neurons that are not named.
    """
    count, depth = wiring.count(kind), len(wiring.blocks)
    if kind == "neuron" and units is None:
        raise CounterfactoryError(
            "all neurons at once are too many",
            given=f"{count} neurons in each of {depth} layers",
            expected="units=[...]",
            hint="attribute() screens all of them; exchange those on top",
        )
    places = range(first, length) if tokens is None else tokens
    sets = [tuple(_inside((p,) if isinstance(p, int) else p, length, "position")) for p in places]
    chosen = _inside(range(depth) if layers is None else layers, depth, "layer")
    return Cells(kind, tuple(sets), chosen, _inside(range(count) if units is None else units, count, "unit"), window)


def _inside(numbers: Any, count: int, what: str) -> tuple[int, ...]:
    chosen = tuple(int(n) for n in numbers)
    if not chosen or any(not -count <= n < count for n in chosen):
        raise CounterfactoryError(
            f"no such {what}", given=list(chosen), expected=f"{-count} to {count - 1}", hint="negative ones count back"
        )
    return tuple(n % count for n in chosen)


def exchange(
    wiring: Wiring,
    ground: Ground,
    cells: Cells,
    read: Read,
    chunk_rows: int,
    sever: str | None = None,
    move: Op | None = None,
) -> tuple[Float[Tensor, "t l u s"], Float[Tensor, " s"]]:
    """What is read off the last position when each cell has its state from the source; and off the ground as it is.

    Args:
        wiring: of the model.
        ground: the two runs.
        cells: what is exchanged.
        read: logits -> number.
        chunk_rows: bound on the rows of one pass; places are split, and then units, never layers.
        sever: "mlp" or "attn": behind the exchange, their outputs at its positions stay those of the ground.
        move: what to add, as a function of (source - ground), instead of all of it.
    """
    depth, rows, (total, length), shape = len(wiring.blocks), ground.rows, ground.ids.shape, cells.shape
    places, depths, units = map(range, shape)
    alive = [c for c in product(places, depths, units) if _reaches(cells, c, depth, length, ground.first)]
    out: Tensor | None = None
    for chunk in _chunks(alive, max(1, (chunk_rows - total) // rows)):
        growth = Growth(wiring, rows, total - rows, length)
        order = _plan(growth, wiring, cells, chunk, sever, move)
        found, _ = growth.run(ground.ids, read, begin=ground.begin)
        if out is None:
            out, plain = found[0].expand(*shape, rows).clone(), found[0]
        place = torch.tensor(order, dtype=torch.long).view(-1, 3)
        out[tuple(place.T)] = found[1:]
    assert out is not None
    return out, plain


def _reaches(cells: Cells, cell: tuple[int, int, int], depth: int, length: int, first: int) -> bool:
    """Whether a cell can change the last position; all others are known without running them."""
    tokens, span = cells.tokens[cell[0]], cells.span(cells.layers[cell[1]], depth)
    if max(tokens) < first:
        return False
    return span[0] < depth - 1 or length - 1 in tokens or cells.kind in ("key", "value")


def _chunks(alive: list[tuple[int, int, int]], most: int) -> list[list[tuple[int, int, int]]]:
    """Cells in groups of at most `most` where whole places, or whole units of one, fit."""
    chunks: list[list[tuple[int, int, int]]] = [[]]
    places = {t: [c for c in alive if c[0] == t] for t in dict.fromkeys(c[0] for c in alive)}
    for group in places.values():
        parts = [group]
        if len(group) > most:
            parts = [[c for c in group if c[2] == u] for u in dict.fromkeys(c[2] for c in group)]
        for part in parts:
            if chunks[-1] and len(chunks[-1]) + len(part) > most:
                chunks.append([])
            chunks[-1] += part
    return chunks


def _plan(
    growth: Growth,
    wiring: Wiring,
    cells: Cells,
    chunk: list[tuple[int, int, int]],
    sever: str | None,
    move: Op | None,
) -> list[tuple[int, int, int]]:
    """Plan one pass; the cells in the order of their copies."""
    depth, length, kind = len(wiring.blocks), growth.row.length, cells.kind
    spans = {c: cells.span(cells.layers[c[1]], depth) for c in chunk}
    order = sorted(chunk, key=lambda c: spans[c][0])
    whole = kind == "block" and move is None  # then a copy begins with the source's state in its place
    for layer in range(depth):
        if new := [c for c in order if spans[c][0] == layer]:
            tokens = [cells.tokens[c[0]] for c in new]
            side, born = ("output", layer + 1) if kind == "block" else ("input", layer)
            unseen = wiring.before(kind, born) if whole or side == "input" else ()
            own = [
                sorted({*some, length - 1}) if born == depth - 1 and whole else range(min(some), length)
                for some in tokens
            ]
            growth.spawn(layer, side, own, tokens if whole else (), unseen)
        spread = [
            (i, t, cells.units[c[2]])
            for i, c in enumerate(order)
            if layer in spans[c] and not (whole and layer == spans[c][0])
            for t in cells.tokens[c[0]]
        ]
        if spread:
            copies, places, units = torch.tensor(spread).T
            growth.write(wiring.site(kind, layer), kind, copies, places, units, move=move)
        held = [(i, t) for i, c in enumerate(order) if spans[c][0] < layer for t in cells.tokens[c[0]]]
        if sever and held:
            copies, places = torch.tensor(held).T
            growth.pin(wiring.site(sever, layer), sever, copies, places)
    return order


def log_odds(logits: Float[Tensor, "*b v"], answers: Int[Tensor, " n"] | int) -> Float[Tensor, "*b"]:
    """log p - log (1 - p) of a token, or of a token for each entry of the last axis but one."""
    z = wide(logits)
    at = torch.as_tensor(answers, device=z.device).expand(z.shape[:-1])[..., None]
    return (z.gather(-1, at) - z.scatter(-1, at, -torch.inf).logsumexp(-1, keepdim=True))[..., 0]


def wide(z: Tensor) -> Tensor:
    """In float32 at least."""
    return z.float() if z.dtype in (torch.float16, torch.bfloat16) else z
