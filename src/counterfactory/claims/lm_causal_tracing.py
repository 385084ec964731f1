"""What causal tracing of language models claims: on models made by hand, on random ones, and on models of facts.

Random models are tiny GPT-2, Llama and Gemma 3, in float64; every number of the growing batch is compared with one
forward for its cell. Work is counted on a Llama of 4 layers and 128 channels. In the planted models the second token is
read in one layer only, so the map of a trace is known. The models of facts are trained for seconds on 24 invented
people; traces are of one half of the facts, and what they predict is tested on the other half.

The quick form compares one kind of states a model in place of four, and traces 12 facts in place of 24.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from counterfactory.claims._runner import Claim, Outcome, Progress
from counterfactory.find.lm_trace import Fact, LMTracer
from counterfactory.find.lm_trace.models import FactModel, planted, random_model
from counterfactory.find.lm_trace.naive import one_by_one
from counterfactory.find.lm_trace.patch import pairs as read
from counterfactory.find.lm_trace.patcher import PathPatcher
from counterfactory.find.lm_trace.sweep import CLASSES
from counterfactory.hooks import Ablate, Site, do

CLAIMS = [
    Claim(
        "exact", "Every cell is what one forward for it gives: largest difference.", "noise drawn anew by cell", 1e-8
    ),
    Claim(
        "less_work",
        "All cells of a prompt take fewer operations, for the same numbers [GFLOP].",
        "one forward a cell",
        "1/7",
    ),
    Claim(
        "route", "A planted route is found: largest error, as a share of the effect.", "noise drawn anew by cell", 1e-6
    ),
    Claim("stop_words", "Damaged words that mean nothing give no effects: the largest.", "damaged subjects", "0.1"),
    Claim("severed", "The fact is recalled by MLPs: effect left at the last token without them.", "attentions", "0.5"),
    Claim("sites_matter", "Removing the top 3 sites hurts other facts: P lost.", "3 other sites", "5", "higher"),
    Claim("screen", "Attribution orders the sites of MLPs: rank correlation.", "size of the change", "0.7", "higher"),
    Claim("paths_add_up", "Direct paths of all parts make the whole change: relative error.", "heads alone", 1e-4),
]
"""Margins in figures bound the measured value; in quotes they are the share of the rival's value that it may have, how
many times as large it has to be ("higher"), or for "screen" the value that it has to reach."""

Pair = tuple[float, float]
"""Measured, and the rival's."""


def exact(seed: int, quick: bool) -> Pair:
    """Largest difference between the map and one forward a cell; and the same with noise drawn anew."""
    ids, gaps = [5, 9, 14, 3, 27, 8, 31], []
    kinds = (("block", 1), ("mlp", 2), ("attn", 1), ("head", 1))
    for at, name in enumerate(("gpt2", "llama", "gemma3")):
        model = random_model(name, seed)
        for kind, window in kinds[at : at + 1] if quick else kinds:
            tracer = LMTracer(model, kind=kind, window=window, samples=3, chunk_rows=40)
            trace = tracer.trace(ids, (2, 4))
            gaps.append([_gap(trace.each, one_by_one(tracer, ids, trace, fresh=fresh)) for fresh in (False, True)])
    own, rival = np.max(gaps, 0)
    return own, rival


def work() -> Pair:
    """GFLOP of all cells of one prompt, ours and one forward a cell that computes the last token's logits only.

    Infinite, if the numbers differ by more than rounding in float32.
    """
    from torch.utils.flop_counter import FlopCounterMode
    from transformers import LlamaConfig, LlamaForCausalLM

    size = {"hidden_size": 128, "intermediate_size": 512, "num_attention_heads": 4, "num_key_value_heads": 4}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = LlamaConfig(num_hidden_layers=4, vocab_size=1000, attn_implementation="eager", **size)
        model: Any = LlamaForCausalLM(config).eval()  # eager: products inside fused attention are not counted
    ids, tracer = list(range(5, 17)), LMTracer(model)

    def counted(ask: Callable[[], Any]) -> tuple[Any, float]:
        with FlopCounterMode(display=False) as counter:
            found = ask()
        return found, counter.get_total_flops() / 1e9

    trace, own = counted(lambda: tracer.trace(ids, (1, 4)))
    naive, rival = counted(lambda: one_by_one(tracer, ids, trace))
    return own if _gap(trace.each, naive) < 1e-7 else np.inf, rival


def route_error(seed: int) -> Pair:
    """Largest error of the maps of planted routes, as a share of TE; and with fresh noise in one forward a cell."""
    ids, places, errors = [3, 7, 5, 2, 9, 4], [[1], [2, 3, 4, 5]], []
    for route in (1, 2, 3):
        tracer = LMTracer(planted(route, seed=seed), samples=4, seed=seed)
        trace = tracer.trace(ids, (1, 2), tokens=places)
        truth = np.where(np.arange(5) < route, trace.total, 0.0)
        rival = one_by_one(tracer, ids, trace, places=places, fresh=True).mean(0)
        both = np.stack([truth, trace.total - truth])
        errors.append([_gap(found, both) / abs(trace.total) for found in (trace.effect, rival)])
    own, other = np.max(errors, 0)
    return own, other


def of_facts(seed: int, quick: bool) -> dict[str, Pair]:
    """All that is measured on one model of facts: value and rival by claim."""
    world = FactModel(seed)
    model, seen, held = world.model, world.rows[:: 4 if quick else 2], world.rows[1::2]
    facts, tracer = world.facts(seen), LMTracer(model)
    plain, stop = tracer.sweep(facts), tracer.sweep(world.facts(seen, world.FILLER))
    mlps, attentions = (tracer.sweep(facts, sever=part).at("last token", 0) for part in ("mlp", "attn"))
    return {
        "stop_words": (float(np.nanmax(np.abs(stop.effect))), float(np.nanmax(np.abs(plain.effect)))),
        "severed": (float(mlps), float(attentions)),
        "sites_matter": sites_matter(model, facts, held, seed),
        **between(model, seen),
    }


def sites_matter(model: Any, facts: list[Fact], held: Tensor, seed: int) -> Pair:
    """P of other facts lost when MLPs are set to their mean at the 3 top sites; and at 3 others, mean of 20 draws."""
    found = LMTracer(model, kind="mlp").sweep(facts)
    positions = dict(zip([name for name in CLASSES if "middle" not in name], range(3, 8), strict=True))
    cells = [(i, j) for i in range(len(found.words)) for j in found.layers if np.isfinite(found.effect[i, j])]
    cells.sort(key=lambda cell: -found.effect[cell])

    @torch.no_grad()
    def p() -> float:
        return float(model(held[:, :-1]).logits[:, -1].softmax(-1).gather(1, held[:, -1:]).mean())

    def lost(chosen: Sequence[tuple[int, int]]) -> float:
        edits = {Site(f"mlp[{j}]", tokens=positions[found.words[i]]): Ablate("mean") for i, j in chosen}
        with do(model, edits):
            return clean - p()

    clean, rng = p(), np.random.default_rng(seed)
    others = [rng.choice(len(cells) - 3, 3, replace=False) + 3 for _ in range(20)]
    return lost(cells[:3]), float(np.mean([lost([cells[k] for k in drawn]) for drawn in others]))


def between(model: Any, rows: Tensor) -> dict[str, Pair]:
    """Attribution beside exact exchange, and sums of direct paths, for pairs of facts with another subject."""
    from scipy.stats import spearmanr

    begin, nexts = FactModel.SUBJECT[0], rows.roll(-1, 0)
    differ = (rows[:, -1] != nexts[:, -1]).nonzero().flatten()
    base, source = rows[differ, :-1], rows[differ, :-1].clone()
    source[:, slice(*FactModel.SUBJECT)] = nexts[differ, slice(*FactModel.SUBJECT)]
    prompts, tracer = (base.tolist(), source.tolist()), LMTracer(model, kind="mlp")
    answers = (nexts[differ, -1].tolist(), rows[differ, -1].tolist())
    exchanged = tracer.patch(*prompts, answers=answers)
    screened = tracer.attribute(*prompts, answers=answers).each[:, begin:]
    sites = [tracer.wiring.site("mlp", layer) for layer in range(4)]
    seen = tracer.wiring.see(torch.cat([base, source]), sites).values
    changes = [there - here for here, there in (seen[site].chunk(2) for site in sites)]
    size = torch.stack([z[:, begin:].norm(dim=-1) for z in changes], 2).numpy()
    live = np.abs(exchanged.effect).ravel() > 0  # in the last layer only the last token counts

    def order(screen: np.ndarray) -> float:
        both = zip(screen, exchanged.each, strict=True)
        return float(np.mean([spearmanr(a.ravel()[live], b.ravel()[live]).statistic for a, b in both]))

    given = read(tracer.wiring, tracer.reader, *prompts, "logit_diff", answers)
    patcher = PathPatcher(tracer.wiring, given, 512, free_mlps=False)
    heads = [f"head[{layer},{head}]" for layer in range(4) for head in range(4)]
    rest = ["embed", *(f"mlp[{layer}]" for layer in range(4))]
    return {
        "screen": (order(screened), order(size)),
        "paths_add_up": (patcher.missing(heads + rest), patcher.missing(heads)),
    }


# -- the claims --------------------------------------------------------------------------------------------------------


def run(seeds: Sequence[int], quick: bool, progress: Progress) -> list[Outcome]:
    """Everything on every seed; work is counted once."""
    rows: dict[str, list[Pair]] = {claim.name: [] for claim in CLAIMS}
    rows["less_work"].append(work())
    for seed in seeds:
        found = {"exact": exact(seed, quick), "route": route_error(seed), **of_facts(seed, quick)}
        for name, pair in found.items():
            rows[name].append(pair)
        progress(f"seed {seed}: P lost at the top sites {found['sites_matter'][0]:.3g}")
    return [_outcome(claim, rows[claim.name], tuple(seeds)) for claim in CLAIMS]


def _gap(one: np.ndarray, two: np.ndarray) -> float:
    return float(np.abs(one - two).max())


def _outcome(claim: Claim, pairs: list[Pair], seeds: tuple[int, ...]) -> Outcome:
    ours, rival = (np.array([pair[i] for pair in pairs]) for i in (0, 1))
    if claim.name in ("exact", "route", "paths_add_up"):
        measured, beside = ours.max(), rival.min()
        holds = measured <= float(claim.margin) < beside
    elif claim.name == "screen":
        measured, beside = ours.mean(), rival.mean()
        holds = measured >= max(float(claim.margin), beside)
    else:
        measured, beside = ours.mean(), rival.mean()
        share = 1 / 7 if claim.name == "less_work" else float(claim.margin)
        holds = measured >= share * beside if claim.direction == "higher" else measured <= share * beside
    detail = "by seed " + ", ".join(f"{a:.3g} and {b:.3g}" for a, b in pairs)
    if claim.name == "less_work":
        detail = f"{beside / measured:.2f} times less; a count, the same for all seeds"
    return Outcome(claim.name, float(measured), float(beside), claim.margin, bool(holds), seeds, detail)
