"""The growing batch: every counterfactual of a prompt in one pass, each block called once, on what differs alone.

In a causal model a change at token t in block l leaves all blocks before l and all positions before t as they were. So
a copy of the prompt is made where it begins to differ: the pass starts with S base rows and the rows that states are
taken from, and before (or behind) a block it gets S copies of the base rows for each cell that begins there, of the
positions from t on; at the last block, of t and the last position.

From the first copy on all positions of all rows stand side by side in one long row [1, n, d] (`row.py`). Everything in
a block acts position by position but the attention: there the row is unfolded into sequences, with the base rows' keys
and values in front of a copy's own, and folded again. In the last block only last positions go on. As long as a copy
consists of states that other rows have too, modules do not see it: it gets what they give to those.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from counterfactory.errors import CounterfactoryError
from counterfactory.find.lm_trace.row import LongRow
from counterfactory.find.lm_trace.wiring import Wiring
from counterfactory.hooks import Record, Site, do
from counterfactory.hooks.run import active

Op = Callable[[Tensor], Tensor]
Read = Callable[[Tensor, Tensor], Tensor]
"""Logits of base rows and copies [c, s, v], and of the source [e, v] -> one number a row [c, s]."""


class Growth:
    """One pass with a growing batch: `spawn` copies in the order of the layers, `write` or `pin` in them, then `run`.

    Args:
        wiring: of the model.
        rows: S, the base rows.
        sources: rows that states are taken from, one for all base rows, or one for each; they stand behind them.
        length: T, positions of a row.
    """

    def __init__(self, wiring: Wiring, rows: int, sources: int, length: int) -> None:
        self.wiring, self.row = wiring, LongRow(rows, sources, length)
        self._edits: dict[Site, list[Any]] = {}
        self._unseen: dict[str, slice] = {}  # module -> positions that it need not see

    def spawn(
        self,
        layer: int,
        side: str,
        own: Sequence[Sequence[int]],
        taken: Sequence[Sequence[int]] = (),
        unseen: Sequence[str] = (),
    ) -> None:
        """Make copies of the base rows at the input or the output of a block.

        Args:
            layer, side: where.
            own: the positions of each copy that may differ from the base rows, and that count for what follows.
            taken: positions of each copy at which it begins as the source.
            unseen: modules behind whose inputs are still those that copies begin with, position by position.
        """
        before = len(self.row.own)
        self.row.add(layer, side, own, taken)
        held = slice(self.row.size(before), self.row.size(len(self.row.own)))
        self._unseen |= dict.fromkeys(unseen, held)
        self._at(Site(self.wiring.blocks[layer], at=side), lambda z: self._filled(self._long(z), held))

    def write(
        self,
        site: Site,
        kind: str,
        cells: Int[Tensor, " k"],
        tokens: Int[Tensor, " k"],
        units: Int[Tensor, " k"],
        values: Float[Tensor, "k s w"] | None = None,
        move: Op | None = None,
    ) -> None:
        """Set units at tokens of copies, to what the source has there or to other values.

        `move` turns (values - natural) into what is added instead.
        """

        self._at(site, partial(self._written, kind, cells, tokens, units, values, move))

    def pin(
        self,
        site: Site,
        kind: str,
        cells: Int[Tensor, " k"],
        tokens: Int[Tensor, " k"] | None = None,
        units: Int[Tensor, " k"] | None = None,
    ) -> None:
        """Hold copies at what the base rows have, each at one token or everywhere, each in one unit or in all."""

        self._at(site, partial(self._pinned, kind, cells, tokens, units))

    def run(
        self,
        ids: Int[Tensor, "b t"],
        read: Read,
        *,
        begin: Mapping[Site, Op] | None = None,
        keep: Sequence[Site] = (),
    ) -> tuple[Float[Tensor, "c s"], dict[Site, Tensor]]:
        """The pass.

        Args:
            ids: the base rows, and then those of the source.
            read: logits -> one number a row.
            begin: edits of the base and source rows before the first block.
            keep: sites of whole tensors whose values come back, as [c, s, t, d].

        Returns:
            One number for each base row, and then for each copy; and what was kept.

        Raises:
            CounterfactoryError: an edit of the model is open, which would not know the copies.
        """
        if active.get():
            raise CounterfactoryError(
                "an edit of the model is open",
                given="tracing inside do() or record()",
                expected="the plain model: copies of a prompt do not stand where such an edit looks for them",
                hint="close it, or change the weights for good",
            )
        self.row.close(self.wiring.device)
        steps: dict[Site, list[Any]] = {site: [op] for site, op in (begin or {}).items()}
        for site, ops in self._edits.items():
            steps.setdefault(site, []).extend(ops)
        for site in keep:
            steps.setdefault(site, []).append(Record())
        for layer in range(len(self.wiring.blocks)):
            self._unfold(layer, steps)
        for path, held in self._unseen.items():
            _narrow(path, slice(held.start), partial(self._filled, held=held), steps)
        steps.setdefault(Site(self.wiring.blocks[-1]), []).append(self._ends)
        with torch.no_grad(), ExitStack() as stack:
            self._prepare(stack)
            run = stack.enter_context(do(self.wiring.model, steps))
            logits = self.wiring.call(ids, keep=0).flatten(0, 1)[: len(self.row.place)]
        kept = {site: self._sequences(self._long(run.calls(site)[0])) for site in keep}
        return read(self._grouped(logits), logits[self.row.rows : self.row.plain]), kept

    # -- edits of copies -----------------------------------------------------------------------------------------------

    def _at(self, site: Site, op: Op) -> None:
        self._edits.setdefault(site, []).append(op)

    def _written(
        self, kind: str, cells: Tensor, tokens: Tensor, units: Tensor, values: Tensor | None, move: Op | None, z: Tensor
    ) -> Tensor:
        z = z.clone()
        view, part, row = self.wiring.split(kind, z)[0], units[:, None].to(z.device), self.row
        at = row.copies[cells[:, None], torch.arange(row.rows), tokens[:, None]], part
        new = view[row.source[:, tokens].T, part] if values is None else values.to(z)
        view[at] = new.expand(-1, row.rows, -1) if move is None else view[at] + move(new - view[at])
        return z

    def _pinned(self, kind: str, cells: Tensor, tokens: Tensor | None, units: Tensor | None, z: Tensor) -> Tensor:
        z = z.clone()
        view, places = self.wiring.split(kind, z)[0], self.row.copies
        at = places[cells] if tokens is None else places[cells, :, tokens]
        part = () if units is None else (units.to(z.device).view(-1, *[1] * (at.ndim - 1)),)
        view[(at, *part)] = view[(self.row.origin[at], *part)]
        return z

    # -- the long row --------------------------------------------------------------------------------------------------

    def _long(self, z: Tensor) -> Tensor:
        return z.flatten(0, 1)[None] if len(z) > 1 else z

    def _filled(self, z: Float[Tensor, "1 n d"], held: slice) -> Float[Tensor, "1 m d"]:
        """With what copies begin as behind."""
        return torch.cat([z, z.index_select(1, self.row.twin[held])], 1)

    def _grouped(self, z: Float[Tensor, "b *d"]) -> Float[Tensor, "c s *d"]:
        """Base rows and copies, without the source."""
        return torch.cat([z[: self.row.rows], z[self.row.plain :]]).unflatten(0, (-1, self.row.rows))

    def _sequences(self, z: Float[Tensor, "1 n d"]) -> Float[Tensor, "c s t d"]:
        """The rows that a long row holds, each in full."""
        row = self.row
        copies = next(c for c in range(len(row.own) + 1) if row.size(c) == z.shape[1])
        return self._grouped(z[0][row.place[: row.count(copies)]])

    def _ends(self, z: Tensor) -> Tensor:
        """The last position of every row, with zeros up to a multiple of the length, as models that reshape need."""
        ends = self._long(z)[0].index_select(0, self.row.place[:, -1])
        return torch.cat([ends, ends.new_zeros(-len(ends) % self.row.length, ends.shape[-1])])[None]

    # -- blocks that hold a long row -----------------------------------------------------------------------------------

    def _unfold(self, layer: int, steps: dict[Site, list[Any]]) -> None:
        """Let the attention of a block see sequences, and in the last block, behind it, only their ends."""
        wiring, row, live = self.wiring, self.row, self.row.living(layer)
        if not live:
            return
        attn, last, size = wiring.attn[layer], layer == len(wiring.blocks) - 1, row.size(live)
        place = row.place[: row.count(live)]
        queries = place[:, -1:] if last else place
        for side, index in (("query", queries), ("key", place), ("value", place)):
            steps.setdefault(Site(attn, at=side), []).append(lambda z, index=index: _spread(z, index))
        ends, own = queries.flatten(), None if last else row.owned(live)
        steps.setdefault(Site(attn, at="heads"), []).append(partial(_fold, own, ends, size))
        edited = {site.path for site in steps}
        for part in wiring.alone(layer) if last else ():
            self._unseen.pop(part, None)
            if not any(other.startswith(f"{part}.") for other in edited):
                _narrow(part, ends, lambda z: _scatter(z[0], ends, size)[None], steps)

    def _prepare(self, stack: ExitStack) -> None:
        """Give blocks with a long row the rotary tables of its positions, and a mask of one row, in this thread.

        Without padding all rows have the same mask.
        """
        owner, last = threading.get_ident(), len(self.wiring.blocks) - 1
        for layer, path in enumerate(self.wiring.blocks):
            if not (live := self.row.living(layer)):
                continue
            positions = self.row.origin[: self.row.size(live)] % self.row.length
            ends = slice(-1, None) if layer == last else slice(None)
            hook = self.wiring.names[path].register_forward_pre_hook(
                partial(_before, owner, positions, ends), with_kwargs=True
            )
            stack.callback(hook.remove)


def _before(owner: int, positions: Tensor, ends: slice, module: nn.Module, args: Any, kwargs: Any) -> Any:
    if threading.get_ident() != owner:
        return None
    given = {k: z[:1, :, ends] if _is_mask(z) else z for k, z in {**dict(enumerate(args)), **kwargs}.items()}
    tables = given.get("position_embeddings")
    if tables is not None:
        given["position_embeddings"] = tuple(t.index_select(-2, positions) for t in tables)
    return tuple(given[i] for i in range(len(args))), {k: given[k] for k in kwargs}


def _fold(own: Tensor | None, ends: Tensor, size: int, z: Float[Tensor, "b h t d"]) -> Float[Tensor, "1 h n d"]:
    """Sequences as a long row: the positions that stand there, or in the last block the ends, and zeros elsewhere."""
    flat = z.transpose(1, 2).flatten(0, 1)  # positions, heads, numbers
    return (_scatter(flat, ends, size) if own is None else flat.index_select(0, own)).transpose(0, 1)[None]


def _narrow(part: str, seen: slice | Tensor, fill: Op, steps: dict[Site, list[Any]]) -> None:
    """Let a module see some positions of the long row; `fill` gives the others something."""
    steps.setdefault(Site(part, at="input"), []).append(lambda z: z[:, seen])
    steps[Site(part)] = [fill, *steps.get(Site(part), [])]


def _is_mask(z: Any) -> bool:
    return isinstance(z, Tensor) and z.ndim == 4


def _spread(z: Float[Tensor, "1 h n d"], index: Int[Tensor, "b t"]) -> Float[Tensor, "b h t d"]:
    """Positions of a long row as sequences."""
    rows = z[0].transpose(0, 1).index_select(0, index.flatten())
    return rows.unflatten(0, tuple(index.shape)).transpose(1, 2)


def _scatter(z: Float[Tensor, "k *d"], at: Int[Tensor, " k"], size: int) -> Float[Tensor, "n *d"]:
    """Zeros but for some positions."""
    return z.new_zeros(size, *z.shape[1:]).index_copy_(0, at, z)
