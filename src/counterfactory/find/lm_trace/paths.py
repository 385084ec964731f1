"""The effects of paths between modules, asked for by names (`patcher.py` has the algorithm)."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from counterfactory.errors import CounterfactoryError
from counterfactory.find.lm_trace.maps import Map, heat_map, interval
from counterfactory.find.lm_trace.patch import Pairs
from counterfactory.find.lm_trace.patcher import PathPatcher
from counterfactory.find.lm_trace.wiring import Wiring
from counterfactory.results import Figure, Finding


@dataclass(frozen=True, eq=False, kw_only=True)
class Paths(Map):
    """Effects of paths: rows are the paths, largest numbers those of the arrays.

    Attributes:
        effect: mean over pairs of prompts, [senders, receivers]; nan where no path leads.
        each: by pair, in front.
        senders, receivers: their names.
    """

    effect: Float[np.ndarray, "s r"]
    each: Float[np.ndarray, "n s r"]
    senders: tuple[str, ...]
    receivers: tuple[str, ...]

    def figure(self) -> Figure:
        """The heat map: senders down, receivers across."""
        best = self.top(1)[0]
        alt = f"Heat map of {len(self)} paths; the largest effect is {best.effect.value:.3g} along {best.place}."
        return heat_map(self.title, alt, self.effect, self.senders, self.receivers)


def paths(
    wiring: Wiring,
    chunk_rows: int,
    given: Pairs,
    senders: Iterable[str] | None,
    receivers: Iterable[str | Iterable[str]],
    freeze: Iterable[str],
) -> Paths:
    """`LMTracer.paths` says what is what."""
    frozen = tuple(freeze)
    if not set(frozen) <= {"attn", "mlp"} or "attn" not in frozen:
        raise CounterfactoryError(
            "what is frozen between sender and receiver?",
            given=list(frozen),
            expected="('attn', 'mlp') or ('attn',)",
            hint="with attentions free there is no path: use patch()",
        )
    patcher = PathPatcher(wiring, given, chunk_rows, free_mlps="mlp" not in frozen)
    if senders is None:
        whole = patcher.norms_behind()
        parts = [["attn[{}]"] if whole else [f"head[{{}},{h}]" for h in range(wiring.count("head"))], ["mlp[{}]"]]
        senders = [name.format(layer) for layer in range(len(wiring.blocks)) for part in parts for name in part]
    nodes = [patcher.node(name, sender=True) for name in senders]
    groups = [
        tuple(patcher.node(name, sender=False) for name in ([group] if isinstance(group, str) else group))
        for group in receivers
    ]
    base, source = given.scores
    effects = (patcher.effects(nodes, groups) - base.cpu()) / (source - base).cpu()
    each = effects.movedim(-1, 0).double().numpy()
    told = [" & ".join(map(str, group)) for group in groups]
    rows = [
        Finding(f"{node} -> {told[j]}", interval(each[:, i, j]))
        for i, node in enumerate(nodes)
        for j in range(len(groups))
        if np.isfinite(each[:, i, j]).all()
    ]
    held = " and MLPs" if "mlp" in frozen else ""
    notes = [f"Shares of the change of {given.metric}; attentions{held} between sender and receiver are frozen."]
    if wiring.count("key") < wiring.count("query"):
        notes.append("Keys and values are shared by groups of heads, and are exchanged for the whole group.")
    names = tuple(map(str, nodes))
    return Paths(rows, title="Paths", notes=notes, effect=each.mean(0), each=each, senders=names, receivers=tuple(told))
