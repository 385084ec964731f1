"""Interchange between two prompts of equal length: what of the answer comes with a state.

    denoise   the base run, with states of the source run one at a time       1: as the source, 0: as the base
    noise     the source run, with states of the base run one at a time       1: as the base, 0: as the source

Effects are (m - m_ground) / (m_other - m_ground) of a metric m, by default the difference of the logits of the two
answers. A subspace with orthonormal columns U exchanges z + U Uᵀ (z_other - z) only; beside it stands a random subspace
whose change has the same norm.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from counterfactory.causal.noise import generator
from counterfactory.errors import CounterfactoryError, unknown
from counterfactory.find.lm_trace.batch import Op
from counterfactory.find.lm_trace.cells import Ground, Places, choose, exchange, log_odds, wide
from counterfactory.find.lm_trace.maps import LayerMap, layer_map
from counterfactory.find.lm_trace.prompts import Prompt, Reader
from counterfactory.find.lm_trace.settings import LMTraceSettings
from counterfactory.find.lm_trace.wiring import Wiring
from counterfactory.hooks.site import check_orthonormal
from counterfactory.results import Reproduce

METRICS = ("logit_diff", "log_odds", "prob", "kl")
Answers = tuple[Any, Any]
"""Of the source and of the base, each a text or token for all pairs, or a list with one for each."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Patch(LayerMap):
    """Effects of exchanged states; `each` are the pairs of prompts.

    Attributes:
        metric, mode: what was asked.
        base, source: the metric in the two runs, by pair.
        answers: tokens of the source's and of the base's answer, by pair.
        control: effects of random subspaces, in the shape of `effect`, if a subspace was exchanged.
    """

    metric: str
    mode: str
    base: Float[np.ndarray, " n"]
    source: Float[np.ndarray, " n"]
    answers: Int[np.ndarray, "n 2"]
    control: Float[np.ndarray, "t l *u"] | None = None


@dataclass(frozen=True, eq=False)
class Pairs:
    """Prompts of equal length, and a metric that tells the two runs apart.

    Attributes:
        base, source: tokens.
        words: by position, of the base; both, where the first pair differs.
        first: the first position at which any pair differs.
        answers: of the source and of the base.
        logits: of the base and of the source.
        metric: its name.
    """

    base: Int[Tensor, "n t"]
    source: Int[Tensor, "n t"]
    words: tuple[str, ...]
    first: int
    answers: Int[Tensor, "n 2"]
    logits: tuple[Float[Tensor, "n v"], Float[Tensor, "n v"]]
    metric: str

    def score(self, logits: Float[Tensor, "*c n v"]) -> Float[Tensor, "*c n"]:
        """The metric."""
        answer, foil = self.answers.to(logits.device).T
        if self.metric == "log_odds":
            return log_odds(logits, answer)
        rows, z = torch.arange(len(self.base), device=logits.device), wide(logits)
        if self.metric == "kl":
            clean = self.logits[1].to(z).log_softmax(-1)
            return (clean.exp() * (clean - z.log_softmax(-1))).sum(-1)
        if self.metric == "prob":
            return z.softmax(-1)[..., rows, answer]
        return z[..., rows, answer] - z[..., rows, foil]

    @property
    def scores(self) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
        """The metric of the base and of the source.

        Raises:
            CounterfactoryError: it does not tell them apart.
        """
        base, source = (self.score(logits) for logits in self.logits)
        if bool(((source - base).abs() < 1e-6).any()):
            raise CounterfactoryError(
                "the metric does not tell base and source apart",
                given=f"{self.metric}: {base.tolist()} and {source.tolist()}",
                expected="a difference in every pair",
                hint="give answers=(source's, base's), or prompts with different answers",
            )
        return base, source


def pairs(wiring: Wiring, reader: Reader, base: Any, source: Any, metric: str, answers: Answers | None = None) -> Pairs:
    """Read prompts, one of each or lists of them.

    Raises:
        CounterfactoryError: lengths that differ, equal prompts, an unknown metric, or answers that are the same.
    """
    if metric not in METRICS:
        raise unknown("metric", metric, METRICS)
    lists = [_prompts(prompts) for prompts in (base, source)]
    tokens = [[reader.tokens(prompt) for prompt in prompts] for prompts in lists]
    lengths = [[t.ids.shape[1] for t in side] for side in tokens]
    if lengths[0] != lengths[1] or len(set(lengths[0])) != 1:
        raise CounterfactoryError(
            "prompts of different lengths",
            given=f"base {lengths[0]} and source {lengths[1]} tokens",
            expected="as many tokens in all of them",
            hint="choose names with as many tokens; print tracer.reader.tokens(prompt).words",
        )
    ids = [torch.cat([t.ids for t in side]) for side in tokens]
    differs = (ids[0] != ids[1]).any(0).nonzero()
    if not len(differs):
        raise CounterfactoryError(
            "base and source are the same prompt", given=base, expected="two prompts", hint="change a name in one"
        )
    logits = wiring.see(torch.cat(ids), ()).logits.chunk(2)
    said = torch.stack([logits[1].argmax(-1), logits[0].argmax(-1)], 1).cpu()
    if answers is not None:
        sides = [a if isinstance(a, (list, Tensor)) else [a] * len(said) for a in answers]
        told = [[reader.answer(p, a) for p, a in zip(lists[0], side, strict=True)] for side in sides]
        said = torch.tensor(told).T
    if metric == "logit_diff" and bool((said[:, 0] == said[:, 1]).any()):
        raise CounterfactoryError(
            "base and source have the same answer",
            given=said.tolist(),
            expected="two answers",
            hint="give answers=(source's, base's), or metric='prob'",
        )
    a, b = tokens[0][0].words, tokens[1][0].words
    words = tuple(x if x == y else f"{x}/{y}" for x, y in zip(a, b, strict=True))
    return Pairs(ids[0], ids[1], words, int(differs[0]), said, (logits[0], logits[1]), metric)


def patch(
    wiring: Wiring,
    settings: LMTraceSettings,
    given: Pairs,
    mode: str,
    tokens: Places | None,
    layers: Iterable[int] | None,
    units: Iterable[int] | None,
    basis: Float[Tensor, "w k"] | None,
) -> Patch:
    """`LMTracer.patch` says what is what."""
    if mode not in ("denoise", "noise"):
        raise unknown("mode", mode, ["denoise", "noise"])
    count, length = given.base.shape
    order = (given.base, given.source) if mode == "denoise" else (given.source, given.base)
    ground = Ground(torch.cat(order), count, {}, given.first)
    cells = choose(wiring, settings.kind, settings.window, tokens, layers, units, given.first, length)
    base, source = given.scores
    here, there = (base, source) if mode == "denoise" else (source, base)

    def effects(move: Op | None) -> np.ndarray:
        read, _ = exchange(wiring, ground, cells, lambda z, _: given.score(z), settings.chunk_rows, move=move)
        return ((read - here) / (there - here)).movedim(-1, 0).double().cpu().numpy()

    notes = [f"{given.metric}: base {_several(base)}, source {_several(source)}; {count} pairs, mode {mode}."]
    control, own = None, None
    if basis is not None:
        own, other = subspace(basis, settings.seed)
        random = effects(other).mean(0)
        notes.append(f"In {basis.shape[1]} directions; random ones have at most {np.abs(random).max():.3g}.")
        control = random if len(cells.units) > 1 else random[..., 0]
    found: Patch = layer_map(
        wiring,
        cells,
        effects(own),
        [" ".join(given.words[t] for t in place) for place in cells.tokens],
        Patch,
        title=f"States exchanged, {settings.kind}",
        notes=notes,
        reproduce=Reproduce(seeds=(settings.seed,)),
        metric=given.metric,
        mode=mode,
        base=base.double().cpu().numpy(),
        source=source.double().cpu().numpy(),
        answers=given.answers.numpy(),
        control=control,
    )
    return found


def subspace(basis: Float[Tensor, "w k"], seed: int) -> tuple[Op, Op]:
    """The part of a change in a subspace; and a change in a random subspace of the same norm.

    Raises:
        CounterfactoryError: the columns are not orthonormal.
    """
    check_orthonormal(basis)
    drawn = torch.randn(basis.shape, generator=generator(seed, "subspace"), dtype=torch.float64)
    random = torch.linalg.qr(drawn).Q

    def own(change: Tensor) -> Tensor:
        U = basis.to(change)
        return change @ U @ U.T

    def other(change: Tensor) -> Tensor:
        R, size = random.to(change), own(change).norm(dim=-1, keepdim=True)
        part = change @ R @ R.T
        return part * (size / part.norm(dim=-1, keepdim=True).clamp_min(1e-30))

    return own, other


def _prompts(given: Any) -> Sequence[Prompt]:
    """One prompt, or a list of them."""
    if isinstance(given, str) or (isinstance(given, Tensor) and given.ndim == 1):
        return [given]
    rows = list(given)
    return [rows] if rows and isinstance(rows[0], int) else rows


def _several(values: Tensor) -> str:
    return f"{float(values.mean()):.3g}" + (" on average" if len(values) > 1 else "")
