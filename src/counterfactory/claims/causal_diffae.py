"""What the causal diffusion autoencoder claims, measured against the truth of two worlds.

In full, every variant is trained from nothing on every seed, by the recipe that ships; models are kept in
`runs/claims/causal_diffae`, so that a run that was killed goes on. In the quick form, the shipped models are asked
about units that the seeds draw. Errors are mean absolute errors of a cause read off the counterfactual picture, in
half-ranges of the cause.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import torch

from counterfactory import runs
from counterfactory.claims._runner import Claim, Outcome, Progress
from counterfactory.judge.asking import default_interventions
from counterfactory.metrics import psnr
from counterfactory.worlds import Sample, World, load

FOLDER = Path("runs/claims/causal_diffae")
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "masked": ("causal_diffae", {}),
    "empty_graph": ("causal_diffae", {"edges": ()}),
    "sum_u": ("causal_diffae", {"parent_mode": "sum_u"}),
    "labels": ("label_diffusion", {}),
}
WORLDS = {"pendulum": tuple(VARIANTS), "morpho_digits": ("masked", "empty_graph", "labels")}
ROOTS, SHADOW = ("angle", "light"), ("shadow_length", "shadow_position")
DIGIT = ("thickness", "intensity", "slant", "width")

CLAIMS = [
    Claim("follows_do", "do(angle) and do(light) bring the cause to its value.", "the unchanged picture", 0.35),
    Claim("effects_follow", "The shadow follows do(angle) and do(light).", "the unchanged picture", 0.6),
    Claim("graph_helps", "Mechanisms along the graph bring the shadow nearer to the truth.", "an empty graph", 0.75),
    Claim("masks_help", "Seeing each parent is better than seeing their sum.", "parent_mode='sum_u'", 0.75),
    Claim("propagates", "Knowing causes is better than knowing labels.", "label-conditional diffusion", 0.75),
    Claim("causes_stay", "do(shadow_length) leaves angle and light where they were.", "its own effect", 0.25),
    Claim("others_stay", "do(angle) leaves the light, do(light) leaves the angle.", "its own effect", 0.15),
    Claim("abduction_keeps", "Inverting the chain gives the picture back.", "fresh noise [dB]", "3 dB", "higher"),
    Claim("digits_follow_do", "do(cause) brings each cause of a digit to its value.", "the unchanged picture", 0.5),
    Claim("digits_effects_follow", "Intensity follows do(thickness).", "the unchanged picture", 0.35),
    Claim("digits_graph_helps", "The graph brings intensity nearer to the truth.", "an empty graph", 0.5),
    Claim("digits_propagates", "Intensity follows where labels do not say so.", "label-conditional diffusion", 0.5),
]


@dataclass(frozen=True)
class Errors:
    """Errors of one model on one seed's units: by (intervened, measured) cause, of the answer and of doing nothing.

    `given_back`: PSNR of the null intervention, by inversion and by fresh noise, where it was measured.
    """

    model: dict[tuple[str, str], float]
    nothing: dict[tuple[str, str], float]
    given_back: tuple[float, float] = (0.0, 0.0)

    def mean(self, pairs: Iterable[tuple[str, str]]) -> float:
        """Mean error of the model over some pairs."""
        return float(np.mean([self.model[pair] for pair in pairs]))

    def unchanged(self, pairs: Iterable[tuple[str, str]]) -> float:
        """Mean error of the unchanged picture over some pairs."""
        return float(np.mean([self.nothing[pair] for pair in pairs]))


def run(seeds: Sequence[int], quick: bool, progress: Progress) -> list[Outcome]:
    """Train or load, ask, and compare."""
    n, steps = (24, 15) if quick else (128, 25)
    if not quick:
        _train(seeds, progress)
    cells = [(world, variant, seed) for world, variants in WORLDS.items() for variant in variants for seed in seeds]
    progress(f"{len(cells)} models, {n} units each")
    places = [_name(world, variant) if quick else str(_place(world, variant, seed)) for world, variant, seed in cells]
    # one thread a process: small batches gain nothing from more, and lose much on a busy machine
    ask = joblib.Parallel(n_jobs=joblib.cpu_count())
    answers = ask(joblib.delayed(_ask)(*cell, place, n, steps) for cell, place in zip(cells, places, strict=True))
    found: dict[tuple[str, str], list[Errors]] = {}
    for (world, variant, _), answer in zip(cells, answers, strict=True):
        found.setdefault((world, variant), []).append(answer)
    return _outcomes(found, tuple(seeds))


def _ask(world: str, variant: str, seed: int, place: str, n: int, steps: int) -> Errors:
    """What one model makes of the units that a seed draws."""
    torch.set_num_threads(1)
    unseen, model = load(world).held_out(), runs.load_model(place)
    units = unseen.sample(n, seed=10_000 + seed)
    given_back = _given_back(model, units, steps) if (world, variant) == ("pendulum", "masked") else (0.0, 0.0)
    return replace(_errors(model, unseen, units, seed, steps), given_back=given_back)


def _train(seeds: Sequence[int], progress: Progress) -> None:
    jobs = []
    for seed in seeds:
        for world, variants in WORLDS.items():
            for variant in variants:
                system, changes = VARIANTS[variant]
                plan = runs.plan(system, load(world), system_settings=changes, train={"seed": seed})
                jobs.append((plan, _place(world, variant, seed)))
    progress(f"{len(jobs)} models to train, or to go on with, in {FOLDER}")
    runs.run_all(jobs)


def _place(world: str, variant: str, seed: int) -> Path:
    return FOLDER / world / variant / str(seed)


def _name(world: str, variant: str) -> str:
    """The shipped model of a variant."""
    system = VARIANTS[variant][0]
    return f"{system}/{world}" if variant in ("masked", "labels") else f"{system}/{world}_{variant}"


def _errors(model: Any, world: World, units: Sample, seed: int, steps: int) -> Errors:
    """Ask for every cause in turn; each unit gets the value that another unit has."""
    half = torch.tensor([(high - low) / 2 for low, high in (world.ranges[name] for name in units.names)])
    known = {"code": model.abduct(units.observation, steps=steps)}
    own: dict[tuple[str, str], float] = {}
    nothing: dict[tuple[str, str], float] = {}
    for action in default_interventions(world, units, np.random.default_rng(seed)):
        truth = world.counterfactual(units, action)
        drawn = model.counterfactual(units.observation, action, steps=steps, **known)
        (asked,) = action
        for table, pictures in ((own, drawn), (nothing, units.observation)):
            error = ((world.read(pictures, truth) - truth.factors).abs() / half).mean(0)
            table |= {(asked, name): float(error[i]) for i, name in enumerate(units.names)}
    return Errors(own, nothing)


def _given_back(model: Any, units: Sample, steps: int) -> tuple[float, float]:
    """PSNR of the null intervention, after inverting the chain and after drawing fresh noise."""
    x = units.observation
    found = [model.reconstruct(x, abduction=how, steps=steps, seed=1) for how in ("ddim", "noise")]
    return tuple(float(psnr(y.double().numpy(), x.double().numpy()).mean()) for y in found)  # type: ignore[return-value]


def _outcomes(found: dict[tuple[str, str], list[Errors]], seeds: tuple[int, ...]) -> list[Outcome]:
    pendulum, digits = found["pendulum", "masked"], found["morpho_digits", "masked"]
    shadow = [(root, part) for root in ROOTS for part in SHADOW]
    lengths = [(root, "shadow_length") for root in ROOTS]
    follows = [("thickness", "intensity")]

    def nothing(errors: list[Errors], pairs: list[tuple[str, str]]) -> tuple[list[float], list[float]]:
        return [e.mean(pairs) for e in errors], [e.unchanged(pairs) for e in errors]

    def against(world: str, variant: str, pairs: list[tuple[str, str]]) -> tuple[list[float], list[float]]:
        return [e.mean(pairs) for e in found[world, "masked"]], [e.mean(pairs) for e in found[world, variant]]

    own = [[e.unchanged([(c, c)]) for e in pendulum] for c in ("shadow_length", *ROOTS)]
    measured = {
        "follows_do": nothing(pendulum, [(root, root) for root in ROOTS]),
        "effects_follow": nothing(pendulum, shadow),
        "graph_helps": against("pendulum", "empty_graph", shadow),
        "masks_help": against("pendulum", "sum_u", lengths),
        "propagates": against("pendulum", "labels", shadow),
        "causes_stay": ([e.mean([("shadow_length", root) for root in ROOTS]) for e in pendulum], own[0]),
        "others_stay": (
            [e.mean([("angle", "light"), ("light", "angle")]) for e in pendulum],
            [float(np.mean(pair)) for pair in zip(own[1], own[2], strict=True)],
        ),
        "abduction_keeps": ([e.given_back[0] for e in pendulum], [e.given_back[1] for e in pendulum]),
        "digits_follow_do": nothing(digits, [(c, c) for c in DIGIT]),
        "digits_effects_follow": nothing(digits, follows),
        "digits_graph_helps": against("morpho_digits", "empty_graph", follows),
        "digits_propagates": against("morpho_digits", "labels", follows),
    }
    return [_outcome(claim, *measured[claim.name], seeds) for claim in CLAIMS]


def _outcome(claim: Claim, own: list[float], rival: list[float], seeds: tuple[int, ...]) -> Outcome:
    """Means over the seeds: lower by a factor, or higher by decibels."""
    ours, theirs = np.asarray(own), np.asarray(rival)
    if isinstance(claim.margin, float):
        holds = ours.mean() <= claim.margin * theirs.mean()
        detail = f"ratio {ours.mean() / theirs.mean():.2f}; by seed " + ", ".join(f"{r:.2f}" for r in ours / theirs)
    else:
        holds = ours.mean() - theirs.mean() >= float(claim.margin.split()[0])
        detail = "by seed " + ", ".join(f"{a:.1f} and {b:.1f}" for a, b in zip(ours, theirs, strict=True))
    return Outcome(claim.name, ours.mean(), theirs.mean(), claim.margin, bool(holds), seeds, detail)
