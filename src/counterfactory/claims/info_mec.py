"""What InfoMEC claims, on codes whose defects are known because they were made.

Sources are drawn independently; codes are made from them by copying, rotating, merging or adding, and every claim names
one defect that the score sees and another number does not. The quick form has a fifth of the points.
"""

from collections.abc import Sequence

import numpy as np

from counterfactory.claims._runner import Claim, Outcome, Progress
from counterfactory.metrics import infomec, mig

CLAIMS = [
    Claim("merging_is_seen", "A latent that says everything of two sources has no InfoM.", "its MIG", 0.05),
    Claim("rotation_is_seen", "Two sources rotated by 45 degrees lose InfoM.", "before the rotation", 0.35),
    Claim("rotation_is_linear", "They lose no InfoE.", "before the rotation", 0.9, "higher"),
    Claim("copies_are_seen", "A second copy of every latent costs InfoC.", "one copy", 0.5),
    Claim("copies_are_modular", "It costs no InfoM.", "one copy", 0.98, "higher"),
    Claim("idle_latents_do_not_count", "Five idle latents hardly change InfoM.", "without pruning", 0.1),
    Claim("knowing_nothing_scores_nothing", "Shuffled codes have no InfoE.", "the codes", 0.05),
]


def run(seeds: Sequence[int], quick: bool, progress: Progress) -> list[Outcome]:
    """Make codes with one defect each, and score them."""
    measured: dict[str, list[tuple[float, float]]] = {claim.name: [] for claim in CLAIMS}
    for seed in seeds:
        for name, pair in _measured(seed, 2_000 if quick else 10_000).items():
            measured[name].append(pair)
        progress(f"seed {seed}")
    return [_outcome(claim, np.array(measured[claim.name]).T, tuple(seeds)) for claim in CLAIMS]


def _measured(seed: int, n: int) -> dict[str, tuple[float, float]]:
    rng = np.random.default_rng(seed)
    sources = rng.integers(0, 8, size=(n, 2))
    codes = sources + 0.05 * rng.normal(size=(n, 2))
    turn = np.array([[1.0, -1.0], [1.0, 1.0]]) / np.sqrt(2)
    good, rotated = infomec(codes, sources, seed=seed), infomec(codes @ turn, sources, seed=seed)
    copies = infomec(np.hstack([codes, codes]), sources, seed=seed)
    merged = np.stack([8 * sources[:, 0] + sources[:, 1], np.zeros(n)], 1)  # the second one is constant
    mixed = infomec(merged, sources, discrete=True, seed=seed)
    idle = np.hstack([codes, 0.01 * rng.normal(size=(n, 5))])
    pruned, kept = (infomec(idle, sources, prune=rule, seed=seed) for rule in ("range20", "none"))
    shuffled = infomec(rng.permutation(codes), sources, seed=seed)
    return {
        "merging_is_seen": (mixed.infom, mig(merged, sources).value),
        "rotation_is_seen": (rotated.infom, good.infom),
        "rotation_is_linear": (rotated.infoe, good.infoe),
        "copies_are_seen": (copies.infoc, good.infoc),
        "copies_are_modular": (copies.infom, good.infom),
        "idle_latents_do_not_count": (abs(pruned.infom - good.infom), abs(kept.infom - good.infom)),
        "knowing_nothing_scores_nothing": (abs(shuffled.infoe), good.infoe),
    }


def _outcome(claim: Claim, pairs: np.ndarray, seeds: tuple[int, ...]) -> Outcome:
    """Means over the seeds, apart by a factor."""
    ours, rival = pairs
    limit = float(claim.margin) * rival.mean()
    holds = ours.mean() >= limit if claim.direction == "higher" else ours.mean() <= limit
    detail = "by seed " + ", ".join(f"{a:.3g} and {b:.3g}" for a, b in pairs.T)
    return Outcome(claim.name, ours.mean(), rival.mean(), claim.margin, bool(holds), seeds, detail)
