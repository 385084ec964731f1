"""What selective amnesia claims, on the zoo's tiny language model and the private data of its text world.

Twenty people have to go and twenty have to stay, each with four attributes in five wordings; forty more were never in
any text, and 300 facts about other people, cities and jobs stand for what else the model knows. Causal tracing of 40
records chooses two of the six layers, those with the largest effects at any token. The rival is trained on the same
rows, with the same steps, learning rate and choice of the checkpoint: gradient ascent on all weights of all layers.

There is one model; a seed decides the order of rows, the checkpoint's rows and the tracing's noise. The quick form has
the first seed alone.
"""

import random
import warnings
from collections.abc import Sequence
from typing import Any

import joblib
import numpy as np
import torch

from counterfactory.claims._runner import Claim, Outcome, Progress
from counterfactory.edit.selective_amnesia import Forgetting, SelectiveAmnesia
from counterfactory.find.lm_trace import Fact, LMTracer
from counterfactory.judge.unlearning import Unlearned
from counterfactory.results.bits import fingerprint, weights_of
from counterfactory.worlds.text import TextWorld, prompt, templates
from counterfactory.zoo import mini_lm

TOP, TRACED, GENERAL = 2, 40, 300
ALL = tuple(range(6))

CLAIMS = [
    Claim(
        "records_are_forgotten",
        "Of the records to forget hardly any is still answered (at most 0.15): exact match.",
        "the model before",
        0.15,
    ),
    Claim(
        "the_rest_is_kept",
        "Records to retain are still answered: exact match, at least 0.85 of what it was.",
        "the model before",
        "0.85 of it",
        "higher",
    ),
    Claim(
        "other_knowledge_is_kept",
        "So are facts about other things: exact match.",
        "the model before",
        "0.85 of it",
        "higher",
    ),
    Claim(
        "beats_ascent",
        "The final score is above that of gradient ascent on all weights.",
        "gradient ascent",
        "0.15",
        "higher",
    ),
    Claim(
        "nothing_else_moves",
        "Every weight outside the chosen MLPs keeps its bits, and all come back on revert: share of weights that moved "
        "against that.",
        "any",
        0.0,
    ),
]


def run(seeds: Sequence[int], quick: bool, progress: Progress) -> list[Outcome]:
    """Unlearn by every method and seed, and measure."""
    seeds = seeds[:1] if quick else seeds
    variants = ["before", "selective", "ascent"]
    cells = [(variant, seed) for seed in seeds for variant in variants]
    progress(f"{len(cells)} models to measure")
    ask = joblib.Parallel(n_jobs=joblib.cpu_count())
    answers = ask(joblib.delayed(_measured)(variant, seed) for variant, seed in cells)
    found = dict(zip(cells, answers, strict=True))
    progress("layers by tracing: " + "; ".join(str(found["selective", seed]["layers"]) for seed in seeds))

    def each(variant: str, name: str) -> np.ndarray:
        return np.array([found[variant, seed][name] for seed in seeds])

    method, final = lambda name: each("selective", name), "final"
    pairs = {
        "records_are_forgotten": (method("forget: exact match"), each("before", "forget: exact match")),
        "the_rest_is_kept": (method("retain: exact match"), each("before", "retain: exact match")),
        "other_knowledge_is_kept": (method("utility"), each("before", "utility")),
        "beats_ascent": (method(final), each("ascent", final)),
        "nothing_else_moves": (method("strays"), np.ones(len(seeds))),
    }
    return [_outcome(claim, *pairs[claim.name], tuple(seeds)) for claim in CLAIMS]


def _outcome(claim: Claim, ours: np.ndarray, rival: np.ndarray, seeds: tuple[int, ...]) -> Outcome:
    """Means over the seeds: below a bound, above a share of the rival, or above it by a difference."""
    a, b, margin = ours.mean(), rival.mean(), claim.margin
    if isinstance(margin, float):
        holds = a <= margin
    elif margin.endswith(" of it"):
        holds = a >= float(margin.removesuffix(" of it")) * b
    else:
        holds = a >= b + float(margin)
    detail = "by seed " + ", ".join(f"{x:.3f} and {y:.3f}" for x, y in zip(ours, rival, strict=True))
    return Outcome(claim.name, a, b, margin, bool(holds), seeds, detail)


def records(world: TextWorld, group: str) -> list[tuple[str, str, str, str]]:
    """Private data of a group as examples."""
    return [(r.prompt, f"{r.answer} .", r.person, r.task) for r in world.registry.records(group)]


def general(world: TextWorld) -> list[tuple[str, str, str]]:
    """Facts that are no one's private data, in wordings of the training text."""
    draw = random.Random(0)
    facts = draw.sample(list(world.facts), GENERAL)
    return [(*prompt(fact, draw.choice(templates(fact[0]))), fact[1]) for fact in facts]


def traced(lm: Any, tokenizer: Any, world: TextWorld, seed: int, top: int = TOP) -> tuple[int, ...]:
    """The layers whose MLPs bring most of a damaged answer back, at whatever token."""
    asked = random.Random(seed).sample(records(world, "forget"), TRACED)
    facts = [Fact(before, person) for before, _, person, _ in asked]
    return tuple(sorted(LMTracer(lm, tokenizer, kind="mlp", seed=seed).sweep(facts).best_layers(top, "anywhere")))


def _measured(variant: str, seed: int) -> dict[str, Any]:
    """All scores of one model."""
    torch.set_num_threads(1)
    (lm, tokenizer), world = mini_lm.load(), TextWorld(0)
    groups: dict[str, Any] = {group: records(world, group) for group in ("forget", "retain", "unseen")}
    before = {name: fingerprint(weight) for name, weight in weights_of(lm).items()}
    layers, settings = ALL, dict[str, Any]()
    if variant == "selective":
        layers = traced(lm, tokenizer, world, seed)
    elif variant != "before":
        settings = {"objective": variant, "modules": "all"}
    edit = None
    if variant != "before":
        request = Forgetting(groups["forget"], groups["retain"], tokenizer)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # ascent has no checkpoint that keeps enough
            edit = SelectiveAmnesia(layers=layers, **settings).edit(lm, request, seed=seed)
    cells = Unlearned(tokenizer, **groups, general=general(world))(lm)
    found: dict[str, Any] = {name: getattr(cell, "value", cell) for name, cell in cells.items()}
    if edit is not None:
        allowed = tuple(f"model.layers.{i}.mlp." for i in layers)
        strays = [name for name in edit.changes if not name.startswith(allowed)]
        edit.revert(lm)
        strays += [name for name, weight in weights_of(lm).items() if fingerprint(weight) != before[name]]
        found["strays"] = len(strays) / len(before)
    return {**found, "layers": layers}
