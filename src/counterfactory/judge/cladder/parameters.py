"""Where the numbers of a model come from: shifts with a sign, uniform tables, or logic.

Shifted tables. Each parent p has a signed shift d_p, and the table is drawn so that switching p on moves the
probability by at least |d_p| in that direction, whatever the other parents are. The 2^k cells are laid on a line at
the sum of the shifts that are on. Between neighbours on the line stays at least their distance, and the mass that is
left, 1 - sum |d_p|, is spread at random over the gaps and the two ends; an end weighs as much as all gaps together.
Cells at the same place are put in a random order.

Logical tables. A variable is the AND or the OR of its parents, each of them negated or not; with one parent it is the
parent or its opposite. All choices are enumerated.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from counterfactory.errors import CounterfactoryError
from counterfactory.judge.cladder.graphs import Structure
from counterfactory.judge.cladder.models import Models

LEVELS = ((0.01, 0.2), (0.4, 0.6), (0.8, 0.99))
"""Rare, about even, common: where the probability of a root is drawn."""
UNIT = 0.2
"""The shift that one step of a specification means."""

Interval = tuple[float, float]


def uniform(structure: Structure, n: int, rng: np.random.Generator) -> Models:
    """`n` models, every entry of every table uniform on (0, 1)."""
    shapes = {name: (n, *(2 for _ in structure.graph.parents(name))) for name in structure.graph.nodes}
    return Models(structure, {name: rng.random(shape) for name, shape in shapes.items()})


def shifted(
    structure: Structure,
    roots: Mapping[str, int | Interval],
    steps: Mapping[str, Mapping[str, float]],
    n: int,
    rng: np.random.Generator,
) -> Models:
    """`n` models whose mechanisms have given signs.

    Args:
        structure: the graph.
        roots: variable without parents -> level 0, 1 or 2 of `LEVELS`, or an interval.
        steps: variable with parents -> parent -> shift in steps of `UNIT`.
        n: how many models.
        rng: the generator of all draws.

    Raises:
        CounterfactoryError: shifts of one variable that add up to more than 1.
    """
    tables = {}
    for name in structure.graph.nodes:
        parents = structure.graph.parents(name)
        if parents:
            tables[name] = _spread(name, np.array([steps[name][p] for p in parents]) * UNIT, n, rng)
        else:
            level = roots[name]
            low, high = LEVELS[level] if isinstance(level, int) else level
            tables[name] = rng.uniform(low, high, n)
    return Models(structure, tables)


def _spread(name: str, shifts: Float[np.ndarray, " k"], n: int, rng: np.random.Generator) -> Float[np.ndarray, "n *k"]:
    free = 1 - np.abs(shifts).sum()
    if free < -1e-9:
        raise CounterfactoryError(
            f"the shifts of '{name}' leave no room",
            given=shifts.tolist(),
            expected="absolute values that add up to at most 1",
            hint="make some smaller",
        )
    cells = np.array(list(itertools.product((0, 1), repeat=len(shifts))))
    places = np.round(cells @ shifts, 9)
    places -= places.min()
    gaps = np.diff(np.sort(places))
    weights = rng.exponential(size=(n, len(cells) + 1))
    weights[:, [0, -1]] *= len(gaps)  # an end weighs as much as all gaps together
    weights *= max(free, 0) / weights.sum(1, keepdims=True)
    levels = np.cumsum(weights[:, :-1] + np.concatenate([[0.0], gaps]), axis=1)
    shuffled = rng.random((n, len(cells))).argsort(1)  # decides between cells at the same place
    order = np.take_along_axis(shuffled, places[shuffled].argsort(1, kind="stable"), 1)
    table = np.empty_like(levels)
    np.put_along_axis(table, order, levels.clip(0, 1), 1)
    return table.reshape(n, *(2 for _ in shifts))


@dataclass(frozen=True)
class Gate:
    """The logic of one variable: `all` or any of its parents, each as it is (True) or negated (False)."""

    all: bool
    signs: tuple[bool, ...]

    def table(self) -> Float[np.ndarray, "*k"]:
        """The value for every combination of the parents, [2, ..., 2]."""
        cells = np.array(list(itertools.product((False, True), repeat=len(self.signs)))) == np.array(self.signs)
        return (cells.all(1) if self.all else cells.any(1)).astype(float).reshape([2 for _ in self.signs])


def gates(structure: Structure) -> list[dict[str, Gate]]:
    """Every choice of gates for the variables that have parents, in a fixed order."""
    choices = []
    driven = [name for name in structure.graph.nodes if structure.graph.parents(name)]
    for name in driven:
        k = len(structure.graph.parents(name))
        kinds = (True,) if k == 1 else (True, False)
        choices.append([Gate(kind, signs) for kind in kinds for signs in itertools.product((True, False), repeat=k)])
    return [dict(zip(driven, chosen, strict=True)) for chosen in itertools.product(*choices)]


def logical(structure: Structure, chosen: list[dict[str, Gate]]) -> Models:
    """Models with these gates; roots are on with probability 1/2."""
    tables = {}
    for name in structure.graph.nodes:
        driven = bool(structure.graph.parents(name))
        tables[name] = np.stack([g[name].table() if driven else np.array(0.5) for g in chosen])
    return Models(structure, tables)
