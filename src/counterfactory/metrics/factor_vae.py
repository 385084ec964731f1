"""FactorVAE score: when one factor is held, which code stands still?

Kim and Mnih, "Disentangling by factorising", ICML 2018, as disentanglement_lib computes it. One vote: a factor j at
random, 64 points that share a value of it, and d = argmin over codes of var(z_d) / v_d with v_d the variance over
all points. The majority class of each d is learned from 10,000 votes, and the score is the accuracy on 5,000 fresh
ones.

Sets are gathered from the table (`draws`), so nothing is encoded twice. Codes whose standard deviation is below a
threshold, and constant ones, get no vote; if none is left the score is 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from counterfactory.metrics.draws import Agreeing
from counterfactory.metrics.information import factor_ids
from counterfactory.metrics.tables import Groups, as_groups, check_table, factor_kinds

_BLOCK = 500  # votes drawn at once
_CACHED = 50  # votes gathered at once; more fall out of the cache


@dataclass(frozen=True)
class FactorVAE:
    """The accuracy, from about 1 / factors (chance) to 1.

    Attributes:
        value: accuracy on the fresh votes.
        train: accuracy on the votes that the majority was taken from.
        votes: the training votes, factors by codes.
        right: which fresh votes are right.
        active: codes (or blocks) that could be voted for.
        dependence: of the factors on each other, see `draws`.
    """

    value: float
    train: float
    votes: Int[np.ndarray, "f l"]
    right: Bool[np.ndarray, " v"]
    active: Bool[np.ndarray, " l"]
    dependence: float


def factor_vae(
    codes: Shaped[np.ndarray, "n l"],
    factors: Shaped[np.ndarray, "n f"],
    *,
    factor_types: str | Sequence[str] | None = None,
    groups: Groups | None = None,
    n_train: int = 10_000,
    n_eval: int = 5_000,
    batch: int = 64,
    threshold: float = 0.0,
    seed: int = 0,
) -> FactorVAE:
    """FactorVAE score of a code table.

    Args:
        codes: [n, l].
        factors: [n, f], ideally all combinations or independent draws.
        factor_types: "categorical" or "continuous" (cut into 20 bins), one for all or one a factor.
        groups: blocks of columns that count as one code, by the mean of their normalised variances.
        n_train: votes that decide each code's factor.
        n_eval: votes that are scored.
        batch: points a vote.
        threshold: smallest standard deviation of a code that gets votes; the reference's study has 0.05.
        seed: of the draws.

    Raises:
        CounterfactoryError: tables that do not fit together.
    """
    z, s = check_table(codes, factors)
    ids = factor_ids(s, factor_kinds(s, factor_types))
    blocks = as_groups(groups, z.shape[1])
    spread = z.std(0, ddof=min(1, len(z) - 1))
    alive = (np.ptp(z, axis=0) > 0) & (spread >= threshold)
    active = np.array([alive[list(block)].any() for block in blocks])
    width, sets = s.shape[1], Agreeing(ids)
    if not active.any():
        empty = np.zeros((width, len(blocks)), np.intp)
        return FactorVAE(0.0, 0.0, empty, np.zeros(n_eval, bool), active, sets.dependence)
    scaled = z / np.where(alive, spread, np.inf)
    pool = np.zeros((z.shape[1], len(blocks)))  # the mean over the live columns of each block
    for g, block in enumerate(blocks):
        live = [i for i in block if alive[i]]
        pool[live, g] = 1 / max(len(live), 1)
    rng = np.random.default_rng(seed)

    def vote(n: int) -> tuple[Int[np.ndarray, " v"], Int[np.ndarray, " v"]]:
        factor, code = rng.integers(width, size=n), np.empty(n, np.intp)
        for j in range(width):
            mine = np.flatnonzero(factor == j)
            for part in np.split(mine, range(_BLOCK, len(mine), _BLOCK)):
                points = sets.with_values_of(rng.integers(len(z), size=len(part)), j, batch, rng)
                moved = local_variance(scaled, points) @ pool
                code[part] = np.where(active, moved, np.inf).argmin(1)
        return factor, code

    factor, code = vote(n_train)
    votes = np.bincount(factor * len(blocks) + code, minlength=width * len(blocks)).reshape(width, -1)
    winner = votes.argmax(0)
    factor, code = vote(n_eval)
    right = winner[code] == factor
    train = votes[winner, np.arange(len(blocks))].sum() / n_train
    return FactorVAE(float(right.mean()), float(train), votes, right, active, sets.dependence)


def local_variance(codes: Float[np.ndarray, "n l"], points: Int[np.ndarray, "v b"]) -> Float[np.ndarray, "v l"]:
    """Variance of every code over each set of points; points lead, so that sums run along whole rows of memory."""
    found = np.empty((len(points), codes.shape[1]))
    for start in range(0, len(points), _CACHED):
        here = slice(start, start + _CACHED)
        found[here] = codes.take(points[here].T, axis=0).var(0, ddof=1)
    return found
