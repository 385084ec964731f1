"""Path patching: what of the answer goes from one module to another, by that path alone.

Wang et al., Interpretability in the Wild (arXiv 2211.00593), section 3.1. With o_s what a sender adds to the residual
stream, and r what a receiver reads off it, before its norm:

    1. run base and source, and keep every o and r
    2. r* = r_base + (o_s,source - o_s,base)                      all between sender and receiver frozen
       or, with MLPs free: run the base with o_s of the source, and attentions held at what they gave in the base
    3. run the base with the receiver reading r*, and everything else of its block reading r_base

Receivers are queries, keys or values of a head, MLPs, and the end of the stream ("final"). With grouped queries a key
or a value belongs to a whole group of heads. All pairs go through the model in growing batches (`batch.py`).
"""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from counterfactory.errors import CounterfactoryError
from counterfactory.find.lm_trace.batch import Growth
from counterfactory.find.lm_trace.patch import Pairs
from counterfactory.find.lm_trace.wiring import Seen, Wiring
from counterfactory.hooks import Site

_NODE = re.compile(r"(?P<kind>head|mlp|attn|query|key|value)\[(?P<layer>\d+)(?:,(?P<unit>\d+))?\]|final|embed")
_READS = ("query", "key", "value")


class Node(NamedTuple):
    """A sender or a receiver; "final" is the end of the residual stream, and "embed" its beginning."""

    kind: str
    layer: int
    unit: int = 0

    def __str__(self) -> str:
        if self.kind in ("final", "embed"):
            return self.kind
        return f"{self.kind}[{self.layer}" + (f",{self.unit}]" if self.kind in ("head", *_READS) else "]")

    @property
    def depth(self) -> tuple[int, int]:
        """Where in the stream it reads or writes: by layer, attention before MLP."""
        return self.layer, 1 if self.kind == "mlp" else 0


class PathPatcher:
    """One base and one source, and all paths between.

    Args:
        wiring: of the model.
        given: pairs of prompts and the metric.
        chunk_rows: bound on the rows of one pass.
        free_mlps: let MLPs between sender and receiver answer.

    Raises:
        CounterfactoryError: a family whose norms are not known, or whose parts are not simply added.
    """

    def __init__(self, wiring: Wiring, given: Pairs, chunk_rows: int, free_mlps: bool) -> None:
        self.wiring, self.given, self.chunk_rows, self.free_mlps = wiring, given, chunk_rows, free_mlps
        self.depth = len(wiring.blocks)
        reads = [self.reads(Node(part, layer)) for layer in range(self.depth) for part in ("attn", "mlp")]
        writes = [self._writes(part, layer) for layer in range(self.depth) for part in ("attn", "mlp")]
        heads = [wiring.site("head", layer) for layer in range(self.depth)]
        stream = [Site(wiring.blocks[0], at="input"), Site(wiring.blocks[-1])]
        self.seen: Seen = wiring.see(torch.cat([given.base, given.source]), [*reads, *writes, *heads, *stream])
        self._check_sums()

    def node(self, name: str, sender: bool) -> Node:
        """A sender or a receiver by its name.

        Raises:
            CounterfactoryError: not one.
        """
        found = _NODE.fullmatch(name.replace(" ", ""))
        kinds = ("head", "mlp", "attn", "embed") if sender else (*_READS, "mlp", "attn", "final")
        kind = (found["kind"] or found[0]) if found else ""
        units = self.wiring.count(kind) if kind in ("head", *_READS) else 0
        layer = int(found["layer"]) if found and found["layer"] else -1 if kind == "embed" else self.depth
        unit = int(found["unit"]) if found and found["unit"] else 0
        named = bool(found and (found["unit"] is not None) == bool(units))
        if (
            kind not in kinds
            or not named
            or unit >= max(units, 1)
            or (found and found["layer"] and layer >= self.depth)
        ):
            raise CounterfactoryError(
                f"no such {'sender' if sender else 'receiver'}",
                given=name,
                expected=f"one of {', '.join(kinds)}, such as head[3,1] or mlp[2], of {self.depth} layers",
                hint="queries, keys and values are those of a head: query[3,1]",
            )
        return Node(kind, layer, unit)

    def reads(self, node: Node) -> Site:
        """Where a receiver reads the stream, before its norm."""
        if node.kind == "final":
            return Site(self.wiring.blocks[-1])
        return Site(self.wiring.norm("mlp" if node.kind == "mlp" else "attn", node.layer), at="input")

    def change(self, node: Node) -> Float[Tensor, "n t d"]:
        """o_s,source - o_s,base of a sender.

        Raises:
            CounterfactoryError: a head whose output passes a norm before it is added.
        """
        if node.kind == "embed":
            return self._change(Site(self.wiring.blocks[0], at="input"))
        if node.kind != "head":
            return self._change(self._writes(node.kind, node.layer))
        if self.norms_behind():
            raise CounterfactoryError(
                "heads of this family do not add up",
                given=f"a norm behind the attention of {type(self.wiring.model).__name__}",
                expected="whole attentions as senders",
                hint=f"attn[{node.layer}]",
            )
        change = self._change(self.wiring.site("head", node.layer))
        width = self.wiring.unit_width("head") or 1
        alone, part = torch.zeros_like(change), slice(node.unit * width, (node.unit + 1) * width)
        alone[..., part] = change[..., part]
        out = self.wiring.names[self.wiring.out[node.layer]]
        with torch.no_grad():
            return out(alone) - out(torch.zeros_like(alone[:1, :1]))  # without the bias

    def effects(self, senders: Sequence[Node], receivers: Sequence[tuple[Node, ...]]) -> Float[Tensor, "s r n"]:
        """The metric when each group of receivers reads what comes from each sender alone; nan where no path leads."""
        count = len(self.given.base)
        out = torch.full((len(senders), len(receivers), count), torch.nan, dtype=self.given.scores[0].dtype)
        at_once = max(1, self.chunk_rows // count - 1)
        order = sorted(range(len(senders)), key=lambda i: senders[i].depth)
        for some in (order[i : i + at_once] for i in range(0, len(order), at_once)):
            read = self._arriving([senders[i] for i in some], receivers)
            pairs = [
                (k, j)
                for j, group in enumerate(receivers)
                for k, i in enumerate(some)
                if all(senders[i].depth < node.depth for node in group)
            ]
            pairs.sort(key=lambda pair: min(_birth(node, self.depth) for node in receivers[pair[1]]))
            for held in (pairs[i : i + at_once] for i in range(0, len(pairs), at_once)):
                found = self._receive([(k, receivers[j]) for k, j in held], read)
                for (k, j), values in zip(held, found, strict=True):
                    out[some[k], j] = values
        return out

    def norms_behind(self) -> bool:
        """Whether what attentions give passes a norm before it is added, so that heads do not add up."""
        return self._writes("attn", 0) != self.wiring.site("attn", 0)

    def missing(self, names: Iterable[str]) -> float:
        """The part of the change at the end of the stream that does not come directly from these senders."""
        base, source = self.seen.values[self.reads(self.node("final", sender=False))].chunk(2)
        sent = torch.stack([self.change(self.node(name, sender=True)) for name in names]).sum(0)
        return float((sent - (source - base)).norm() / (source - base).norm())

    # -- inside --------------------------------------------------------------------------------------------------------

    def _check_sums(self) -> None:
        """What MLPs read has to be what attentions read and what attentions add."""
        read, then = (self._base(self.reads(Node(part, 0))) for part in ("attn", "mlp"))
        if not torch.allclose(then - read, self._base(self._writes("attn", 0)), atol=1e-4, rtol=1e-3):
            raise CounterfactoryError(
                "the parts of a block do not add up in this family",
                given=type(self.wiring.model).__name__,
                expected="blocks whose MLP reads the stream to which the attention was added as it is",
                hint="patch() and attribute() work",
            )

    def _writes(self, part: str, layer: int) -> Site:
        return self.wiring.written(part, layer)

    def _base(self, site: Site) -> Tensor:
        return self.seen.values[site].chunk(2)[0]

    def _change(self, site: Site) -> Tensor:
        base, source = self.seen.values[site].chunk(2)
        return source - base

    def _arriving(
        self, senders: Sequence[Node], receivers: Sequence[tuple[Node, ...]]
    ) -> dict[Site, Float[Tensor, "s n t d"]]:
        """r* at every place where a receiver reads, for some senders in the order of their depth."""
        sites = list(dict.fromkeys(self.reads(node) for group in receivers for node in group))
        if not self.free_mlps:
            changes = torch.stack([self.change(node) for node in senders])
            return {site: self._base(site) + changes for site in sites}
        count, length = self.given.base.shape
        growth, first = Growth(self.wiring, count, count, length), self.given.first
        for layer in range(self.depth):
            new = [i for i, node in enumerate(senders) if max(node.layer, 0) == layer]
            if new:
                growth.spawn(layer, "input", [range(first, length)] * len(new))
            for kind in {senders[i].kind for i in new}:
                same = [i for i in new if senders[i].kind == kind]
                cells, tokens, units = _spread(
                    [(i, senders[i].unit if kind == "head" else 0) for i in same], first, length
                )
                block = Site(self.wiring.blocks[0], at="input")
                site = block if kind == "embed" else self.wiring.site(kind, layer)
                growth.write(site, "block" if kind == "embed" else kind, cells, tokens, units)
            held = [i for i, node in enumerate(senders) if node.layer < layer]
            if held:
                growth.pin(self.wiring.site("attn", layer), "attn", torch.tensor(held))
        _, kept = growth.run(torch.cat([self.given.base, self.given.source]), lambda z, _: z[..., 0], keep=sites)
        return {site: z[1:] for site, z in kept.items()}

    def _receive(self, pairs: Sequence[tuple[int, tuple[Node, ...]]], read: dict[Site, Tensor]) -> Float[Tensor, "p n"]:
        """The metric for pairs of a sender and a group of receivers, in the order of the receivers' births."""
        count, length = self.given.base.shape
        growth, first = Growth(self.wiring, count, 0, length), self.given.first
        births = [min(_birth(node, self.depth) for node in group) for _, group in pairs]
        for birth in dict.fromkeys(births):
            at_end = birth == (self.depth, 0)
            layer, start = (self.depth - 1, length - 1) if at_end else (birth[0], first)
            growth.spawn(layer, "output" if at_end else "input", [range(start, length)] * births.count(birth))
        for site in dict.fromkeys(self.reads(node) for _, group in pairs for node in group):
            start = length - 1 if site == Site(self.wiring.blocks[-1]) else first
            reading = [i for i, (_, group) in enumerate(pairs) if any(self.reads(node) == site for node in group)]
            cells, tokens, units = _spread([(i, 0) for i in reading], start, length)
            values = torch.cat([read[site][pairs[i][0]][:, start:].transpose(0, 1) for i in reading])
            growth.write(site, "block", cells, tokens, units, values)
        for layer in range(self.depth):
            for side in _READS:
                if held := self._held(side, layer, [group for _, group in pairs]):
                    cells, units = torch.tensor(held).T
                    growth.pin(self.wiring.site(side, layer), side, cells, units=units)
        found, _ = growth.run(self.given.base, lambda z, _: self.given.score(z))
        return found[1:].cpu()

    def _held(self, side: str, layer: int, groups: Sequence[tuple[Node, ...]]) -> list[tuple[int, int]]:
        """Copies and units of a layer's queries, keys or values that go on reading the base."""
        held = []
        for i, group in enumerate(groups):
            here = [node for node in group if node.layer == layer and node.kind in _READS]
            if here and not any(node.kind == "attn" and node.layer == layer for node in group):
                chosen = {node.unit for node in here if node.kind == side}
                held += [(i, unit) for unit in range(self.wiring.count(side)) if unit not in chosen]
        return held


def _birth(node: Node, depth: int) -> tuple[int, int]:
    """Where a receiver's copies begin: at the input of its block, or behind the last one."""
    return (depth, 0) if node.kind == "final" else (node.layer, 0)


def _spread(cells: Sequence[tuple[int, int]], first: int, length: int) -> tuple[Tensor, Tensor, Tensor]:
    """Copies with a unit each, at all positions from the first: copies, positions, units."""
    flat = [(cell, token, unit) for cell, unit in cells for token in range(first, length)]
    copies, tokens, units = torch.tensor(flat).T
    return copies, tokens, units
