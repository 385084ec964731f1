"""What the CLadder benchmark claims, measured with answerers that need no model.

Nothing is trained. In full, every seed builds the whole benchmark and draws 4,000 models a graph; in the quick form a
part of it. The rivals are what one gets without the part in question: printed numbers that were not audited, uniform
models as they come, an outcome whose parents are taken as independent, an answerer that only looks.
"""

import time
from collections.abc import Callable, Sequence

import numpy as np

from counterfactory.claims._runner import Claim, Outcome, Progress
from counterfactory.judge import cladder
from counterfactory.judge.cladder.graphs import STRUCTURES
from counterfactory.judge.cladder.models import Models
from counterfactory.judge.cladder.parameters import uniform
from counterfactory.judge.cladder.queries import QUERIES, term_values
from counterfactory.judge.items import Item

CLAIMS = [
    Claim("readable", "The text alone gives every answer.", "the observed difference", "every item", "higher"),
    Claim("audited", "No printed numbers contradict the answer.", "share that do so without the audit", "none"),
    Claim("estimands", "Identified estimands are exact: largest error.", "the Wald ratio, wrong signs", 1e-10),
    Claim("labels", "P(Y=1) is on the right side of one half.", "parents as independent, wrong side", "never wrong"),
    Claim("adversarial", "What is seen often misleads on rungs 2 and 3.", "uniform models as they come", 0.2, "higher"),
    Claim("looking", "Looking is right on ate of unconfounded graphs.", "on confounded ones", "every item", "higher"),
    Claim("balanced", "Always saying yes is right half of the time.", "chance", "exactly"),
    Claim("fast", "Seconds for 10,000 audited items.", "a minute", 60.0),
]
UNCONFOUNDED, CONFOUNDED = ("chain", "fork", "mediation", "diamond"), ("confounding", "diamondcut", "frontdoor")


def run(seeds: Sequence[int], quick: bool, progress: Progress) -> list[Outcome]:
    """Build, answer, and compare; values are means over the seeds, errors and times their largest."""
    per_story, models = (3, 1000) if quick else (20, 4000)
    found: dict[str, list[tuple[float, float]]] = {claim.name: [] for claim in CLAIMS}
    for seed in seeds:
        progress(f"seed {seed}: {per_story} models a story, {models} a graph")
        for name, pair in {**_items(per_story, seed), **_models(models, seed)}.items():
            found[name].append(pair)
    return [_outcome(claim, found[claim.name], tuple(seeds)) for claim in CLAIMS]


def _items(per_story: int, seed: int) -> dict[str, tuple[float, float]]:
    start = time.perf_counter()
    items = cladder.build(per_story=per_story, seed=seed)
    seconds = (time.perf_counter() - start) / len(items) * 10_000
    natural = cladder.build(["nonsense"], 2 * per_story, seed, misleading=None)
    raw = cladder.build(["easy", "hard", "anti", "nonsense"], per_story, seed, audit=False, misleading=None)
    ate = [item for item in items if item.tags["query_type"] == "ate"]
    looking = [
        _right([i for i in ate if i.tags["graph_id"] in graphs], cladder.observed_difference)
        for graphs in (UNCONFOUNDED, CONFOUNDED)
    ]
    return {
        "readable": (_right(items, cladder.exact), _right(items, cladder.observed_difference)),
        "audited": (1 - _right(items, cladder.exact), 1 - _right(raw, cladder.exact)),
        "adversarial": (cladder.adversarial_share(items) or 0.0, cladder.adversarial_share(natural) or 0.0),
        "looking": (looking[0], looking[1]),
        "balanced": (_right(items, cladder.always_yes), 0.5),
        "fast": (seconds, 60.0),
    }


def _right(items: Sequence[Item], solver: Callable[[Item], str]) -> float:
    return float(np.mean([solver(item) == item.meta["answer"] for item in items]))


def _models(n: int, seed: int) -> dict[str, tuple[float, float]]:
    errors, sides, wald = [], [], 0.0
    for i, (graph_id, structure) in enumerate(STRUCTURES.items()):
        models = uniform(structure, n, np.random.default_rng([seed, i]))
        for query in QUERIES[graph_id]:
            exact, estimate = query.exact(models), query.formula.value(term_values(models, query.terms))
            if query.identified:
                errors.append(float(np.abs(exact - estimate).max()))
            elif graph_id == "IV":
                wald = float((exact * estimate < 0).mean())
        sides.append([_wrong_side(models, p) for p in (_by_enumeration(models), _as_independent(models))])
    own, rival = np.mean(sides, axis=0).tolist()
    return {"estimands": (max(errors), wald), "labels": (own, rival)}


def _wrong_side(models: Models, p: np.ndarray) -> float:
    """Share of models whose P(Y=1) is on the wrong side of one half; the truth is summed over all paths to Y."""
    truth = models.joint.reshape(models.n, -1, 2)[:, :, 1].sum(1)  # Y is the last variable of every graph
    return float(((truth - 0.5) * (p - 0.5) < 0).mean())


def _by_enumeration(models: Models) -> np.ndarray:
    """P(Y=1) as the questions print it: from the rows P(X) and P(Y | X)."""
    x, y = models.conditional("X"), models.conditional("Y", ("X",))
    return (1 - x) * y[:, 0] + x * y[:, 1]


def _as_independent(models: Models) -> np.ndarray:
    """P(Y=1) with the parents of Y taken as independent, which is how the published labels were found."""
    p = models.tables["Y"]
    for name in reversed(models.structure.graph.parents("Y")):
        on = models.conditional(name).reshape(-1, *(1 for _ in range(p.ndim - 2)))
        p = p[..., 0] * (1 - on) + p[..., 1] * on
    return p


def _outcome(claim: Claim, pairs: list[tuple[float, float]], seeds: tuple[int, ...]) -> Outcome:
    worst = claim.name in ("estimands", "fast")
    own = max(pair[0] for pair in pairs) if worst else float(np.mean([pair[0] for pair in pairs]))
    rival = float(np.mean([pair[1] for pair in pairs]))
    holds = {
        "readable": own == 1 and rival < 1,
        "audited": own == 0 and rival > 0,
        "estimands": own <= 1e-10 and rival > 0,
        "labels": own == 0 and rival > 0,
        "adversarial": own >= 0.2 and own > rival,
        "looking": own == 1 and rival < 1,
        "balanced": own == 0.5,
        "fast": own < rival,
    }[claim.name]
    detail = "by seed " + ", ".join(f"{a:.3g} against {b:.3g}" for a, b in pairs)
    return Outcome(claim.name, own, rival, claim.margin, holds, seeds, detail)
