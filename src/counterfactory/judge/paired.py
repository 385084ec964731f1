"""Runs beside each other: the same items, answered by several models, or by one model in several forms."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from counterfactory.errors import CounterfactoryError
from counterfactory.judge.outcome import Run
from counterfactory.judge.stats import (
    RESAMPLES,
    benjamini_hochberg,
    equivalent,
    mcnemar,
    paired_interval,
    share_interval,
    sign_flip,
)
from counterfactory.metrics.intervals import Interval
from counterfactory.results.cells import Estimate
from counterfactory.results.report import Report, Reproduce


def compare(
    runs: Mapping[str, Run] | Sequence[Run],
    *,
    metric: str = "acc",
    on: str | None = None,
    margin: float | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Report:
    """Differences between runs over the same items.

    Args:
        runs: at least two, with names or without.
        metric: a mark of the scorer; `acc` by default.
        on: "id" pairs items of different sets by their id, any other name by that entry of their `meta` (paraphrases
            of one question); by default the sets have to be the same.
        margin: also say whether the whole interval of the difference lies within plus or minus this margin.
        resamples, seed: of the bootstrap.

    Returns:
        One row a pair, and one more over the items that both answered readably where some were not: both means, their
        difference with its interval over groups, items that only one got right, the exact p-value of McNemar (which
        takes items for independent), the one of sign flips over groups, and that one adjusted over all rows.

    Raises:
        CounterfactoryError: fewer than two runs, runs over different items, or nothing to pair.
    """
    named = dict(runs) if isinstance(runs, Mapping) else {f"{i + 1}: {run.name}": run for i, run in enumerate(runs)}
    if len(named) < 2:
        raise CounterfactoryError(
            "nothing to compare", given=f"{len(named)} runs", expected="at least two", hint="give more runs"
        )
    rows, p = [], []
    for (a, ours), (b, theirs) in itertools.combinations(named.items(), 2):
        if on is None and ours.manifest["items"] != theirs.manifest["items"]:
            raise CounterfactoryError(
                "the runs are over different items",
                given=f"'{a}': {_named(ours)}; '{b}': {_named(theirs)}",
                expected="the same items",
                hint="on='id' pairs what both have; on='base_id' and the like pairs forms of one question",
            )
        parsed = min(run.answers.column("parsed").mean() for run in (ours, theirs)) == 1
        for subset in ("all",) if parsed else ("all", "both parsed"):
            left, right, groups = _pairs(ours, theirs, metric, on, subset != "all")
            row: dict[str, Any] = {"run": a, "against": b, "subset": subset, "items": len(left)}
            gap = paired_interval(left, right, groups, resamples=resamples, seed=seed)
            row |= {"value": float(left.mean()), "value against": float(right.mean()), "difference": Estimate(*gap)}
            if np.isin(left, (0, 1)).all() and np.isin(right, (0, 1)).all():
                only, other, exact = mcnemar(left, right)
                row |= {"only run": only, "only against": other, "p (McNemar)": exact}
            p.append(sign_flip(left - right, groups, seed=seed))
            row["p (groups)"] = p[-1]
            if margin is not None:
                row[f"within {margin:g}"] = equivalent(gap, margin)
            rows.append(row)
    for row, q in zip(rows, benjamini_hochberg(p), strict=True):
        row["q (groups)"] = q
    notes = [
        "Differences over the same items; intervals over groups. A large p-value does not show that runs are alike."
    ]
    return Report(f"{metric}: runs over the same items", rows, notes=notes, reproduce=Reproduce(seeds=(seed,)))


def position_bias(forward: Run, backward: Run, *, resamples: int = RESAMPLES, seed: int = 0) -> dict[str, Interval]:
    """How much a model's choice depends on where it stands.

    Args:
        forward: a run.
        backward: the same with `controls.reversed_choices(items)`.
        resamples, seed: of the bootstrap.

    Returns:
        `flips`: share of items whose chosen text changes with the order; `first`: how much more often the first
        option is taken than the last, over both orders, from -1 to 1 (0 for a model that does not look at places).

    Raises:
        CounterfactoryError: items without a partner.
    """
    both = {r["item_id"]: r for r in backward.records}
    flips, first, groups = [], [], []
    for record in forward.records:
        other = both.get(record["item_id"])
        choices = record["doc"]["choices"]
        if other is None or choices is None or other["doc"]["choices"] != choices[::-1]:
            raise CounterfactoryError(
                f"item '{record['item_id']}' has no partner with its choices in reverse",
                given=backward.name,
                expected="a run over controls.reversed_choices(items)",
                hint="run both over the same items",
            )
        said = [r["extracted"] for r in (record, other)]
        texts = [None if i is None else r["doc"]["choices"][i] for i, r in zip(said, (record, other), strict=True)]
        flips.append(float(texts[0] != texts[1]))
        last = len(choices) - 1
        first.append(float(np.mean([(i == 0) - (i == last) for i in said])))
        groups.append(record["group"])
    unit, options = np.array(groups), {"resamples": resamples, "seed": seed}
    bias = paired_interval(np.array(first), np.zeros(len(first)), unit, **options)
    return {"flips": share_interval(np.array(flips), unit, **options), "first": bias}


def _pairs(
    ours: Run, theirs: Run, metric: str, on: str | None, parsed: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Marks of both, and groups, over the items that both have."""
    name = None if on in (None, "id") else on
    left, right = ours.values(metric, name), theirs.values(metric, name)
    shared = [item for item in left if item in right]
    if parsed:
        read = [run.values("parsed", name) for run in (ours, theirs)]
        shared = [item for item in shared if read[0][item] == read[1][item] == 1]
    if not shared:
        raise CounterfactoryError(
            "the runs share no item" + (" that both answered readably" if parsed else ""),
            given=f"{_named(ours)}; {_named(theirs)}",
            expected="items in common",
            hint="check `on`",
        )
    groups = {r["item_id"] if name is None else str(r["doc"]["meta"][name]): r["group"] for r in ours.records}
    arrays = [np.array([side[item] for item in shared]) for side in (left, right)]
    return arrays[0], arrays[1], np.array([groups[item] for item in shared])


def _named(run: Run) -> str:
    return f"{run.manifest['suite']} {run.manifest['suite_version']}, digest {run.manifest['items'][:12]}"
