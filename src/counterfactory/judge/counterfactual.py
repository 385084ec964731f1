"""How good are a model's counterfactuals? The axioms and the truth error, measured in a world whose truth is known.

Monteiro et al. 2023 (arXiv 2303.01274), computed by `counterfactory.metrics.counterfactual`. The asked picture's
causes are completed by the world's own mechanisms before they are compared, so that effects and non-effects both
count, for every (intervened, measured) pair. Each measure stands beside its controls:

    nothing changed        x* = x: perfect in composition and reversibility, has a relative truth error of 1
    random intervention    the model's counterfactual for another value than the asked one: does the value matter?
    another unit           the picture of some other unit: how far apart two pictures are
    true counterfactual    the world's own answer: what is left of its error is that of the oracle
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from counterfactory.causal import CausalGraph
from counterfactory.errors import CounterfactoryError, unknown
from counterfactory.judge.asking import (
    Asker,
    Oracle,
    Reader,
    another_value,
    default_interventions,
    derangement,
    first,
    take,
)
from counterfactory.metrics import counterfactual as axioms
from counterfactory.metrics.intervals import Interval, mean_interval, ratio_interval
from counterfactory.metrics.pictures import picture_distance, psnr, ssim
from counterfactory.results import Estimate, Report, Reproduce
from counterfactory.worlds import Sample, World

MODEL, NOTHING, RANDOM = "model", "nothing changed", "random intervention"
OTHER, TRUTH = "another unit", "true counterfactual"


def counterfactual_scores(
    model: Any,
    world: World,
    *,
    n: int = 256,
    seed: int = 0,
    interventions: Sequence[Mapping[str, Any]] | None = None,
    oracle: Oracle | None = None,
    options: Mapping[str, Any] | None = None,
    cycles: Sequence[int] = (1, 10),
    cycle_units: int = 64,
    others: int = 0,
    batch: int = 64,
    resamples: int = 1000,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Score a model's counterfactuals beside the world's exact ones.

    Args:
        model: has `counterfactual(x, do=...) -> images`, or is such a function; values in `do` are raw numbers or [n].
        world: draws the units and knows the truth.
        n: units.
        seed: of the units, the asked values, the controls and the intervals.
        interventions: what to ask, one `do` each; by default every cause in turn, set to the value that some other unit
            has (cut to the world's range), so that no asked value is out of the ordinary.
        oracle: reads the causes off pictures; by default the world's own reader. One trained on data with dependent
            causes rewards models that take the same shortcuts.
        options: passed on to the model's counterfactual, such as its number of diffusion steps.
        cycles: null interventions and round trips that composition and reversibility are measured after; () for none.
        cycle_units: units that the cycles are run on, since ten round trips are twenty counterfactuals a unit.
        others: real pictures with given causes that minimality compares with, a unit; 0 leaves minimality out.
        batch: pictures handed to the model at once.
        resamples: bootstrap draws of each interval, over units.
        progress: told after every intervention how many are done, of how many.

    Returns:
        A report with the columns `answer` ("model", or the control), `metric`, `intervened`, `measured`, `value` (an
        estimate with its 95% interval) and `unit`. Effectiveness is the mean absolute error in half-ranges of the
        cause, with the same in `raw` units; categories (whole numbers in every unit) get `accuracy` instead.

    Raises:
        CounterfactoryError: an unknown cause, a value out of range, a model without counterfactuals, answers of another
            shape than the pictures, or answers that are not finite.
    """
    ask = Asker(model, options or {}, batch)
    rng = np.random.default_rng(seed)
    units = world.sample(n, seed=seed)
    reader = Reader(world, oracle, units)
    reader.causes(first(units, 1).observation, first(units, 1))  # a world without reader says so before the model runs
    asked = default_interventions(world, units, rng) if interventions is None else interventions
    ask.know(units.observation)
    rows: list[dict[str, Any]] = []
    for k, do in enumerate(asked):
        rows += _one(ask, world, units, do, reader, rng, cycles, min(n, cycle_units), others)
        if progress is not None:
            progress(k + 1, len(asked))
    scored = [_with_interval(row, resamples, seed) for row in rows]
    notes = [
        "Effectiveness, truth error, composition, reversibility and identity: lower is better; 0 is ideal.",
        "Effectiveness is in half-ranges of the cause; truth error relative to 1 for a model that changes nothing.",
        f"{n} units of the world '{world.name}', cycles on {min(n, cycle_units)} of them; read by {reader.name}.",
    ]
    name = getattr(model, "__name__", type(model).__name__)
    return Report(
        f"Counterfactuals of {name} in the world '{world.name}'",
        [row for row in scored if row["answer"] == MODEL],
        [row for row in scored if row["answer"] != MODEL],
        notes,
        reproduce=Reproduce(seeds=(seed,)),
    )


def score_of(report: Report, **where: str) -> Estimate:
    """The one value of a report whose row has the given columns; `answer` is the model unless it is named.

    Example: `score_of(report, metric="effectiveness", intervened="angle", measured="light")`.

    Raises:
        CounterfactoryError: no row fits, or several do.
    """
    wanted = {"answer": MODEL, **where}
    found = [r for r in (*report.rows, *report.controls) if all(r.get(key) == value for key, value in wanted.items())]
    if len(found) != 1:
        have = sorted({", ".join(str(r[key]) for key in wanted if key in r) for r in (*report.rows, *report.controls)})
        if not found:
            raise unknown("row of the report", ", ".join(wanted.values()), have)
        raise CounterfactoryError(
            "several rows fit",
            given=where,
            expected="columns that name one row",
            hint="name metric, intervened and measured",
        )
    value = found[0]["value"]
    assert isinstance(value, Estimate)
    return value


def error_table(report: Report, graph: CausalGraph) -> Report:
    """The short form of a report of `counterfactual_scores`: one row an intervention and cause, one column an answer.

    Cells are mean absolute errors of the cause, in half-ranges; `picture` is the truth error of the picture, relative
    to 1 for nothing changed. Causes are marked as the one that was asked for, as its effects, or as kept.
    """
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for row in (*report.rows, *report.controls):
        asked, cause = row["intervened"], row["measured"]
        if row["metric"] == "effectiveness":
            role = "asked" if cause in asked.split(" & ") else "kept"
            role = "effect" if role == "kept" and cause in graph.descendants(asked.split(" & ")[0]) else role
        elif row["metric"] == "truth error relative":
            role = "relative"
        else:
            continue
        words = {"do": asked, "error of": f"{cause} ({role})"}
        rows.setdefault((asked, cause), words)[row["answer"]] = row["value"]
    return replace(
        report,
        rows=list(rows.values()),
        controls=[],
        notes=[
            "Errors of causes are mean absolute errors after do(), in half-ranges of the cause; 0 is ideal.",
            "picture: its error against the truth, relative to 1 for a picture in which nothing was changed.",
            "true counterfactual: the truth itself, read by the same reader; no answer can be told apart below that.",
        ],
    )


def _one(
    ask: Asker,
    world: World,
    units: Sample,
    do: Mapping[str, Any],
    reader: Reader,
    rng: np.random.Generator,
    cycles: Sequence[int],
    cycle_units: int,
    others: int,
) -> list[dict[str, Any]]:
    """All rows of one intervention; values still one a unit."""
    x, intervened = units.observation, " & ".join(do)
    truth = world.counterfactual(units, do)
    wrong = {name: another_value(units[name], truth[name], world.ranges[name], rng) for name in do}
    answers = {
        MODEL: ask(x, do),
        NOTHING: x,
        RANDOM: ask(x, wrong),
        TRUTH: truth.observation,
    }
    rows: list[dict[str, Any]] = []
    for answer, pictures in answers.items():
        found = [*_effects(reader, pictures, truth), *_truth(pictures, truth, units)]
        found += _identity(reader, pictures, truth, units, set(do))
        if others:
            found.append(_minimal(world, units, truth, pictures, others, rng))
        rows += [{"answer": answer, "intervened": intervened, **row} for row in found]
    if cycles:
        some = first(units, cycle_units)
        there = {name: take(what, slice(0, cycle_units), len(x)) for name, what in do.items()}
        rows += [{"intervened": intervened, **row} for row in _cycles(ask, some, there, cycles, rng)]
    return rows


def _effects(reader: Reader, pictures: Tensor, truth: Sample) -> Iterator[dict[str, Any]]:
    read = reader.causes(pictures, truth).double().numpy()
    found = axioms.effectiveness(read, truth.factors.double().numpy(), reader.categorical)
    for j, name in enumerate(truth.names):
        if reader.categorical[j]:
            yield {"metric": "accuracy", "measured": name, "value": found[:, j], "unit": "share"}
        else:
            unit = reader.world.units[name]
            yield {
                "metric": "effectiveness",
                "measured": name,
                "value": found[:, j] / reader.half[j],
                "unit": "half-range",
                "raw": (found[:, j], unit),
            }


def _truth(pictures: Tensor, truth: Sample, units: Sample) -> Iterator[dict[str, Any]]:
    answer, true, source = (x.double().numpy() for x in (pictures, truth.observation, units.observation))
    error = axioms.truth_error(answer, true, source)
    named = {"truth error": error.total, "truth error inside": error.inside, "truth error outside": error.outside}
    for metric, values in named.items():
        yield {"metric": metric, "measured": "picture", "value": values, "unit": "mean absolute"}
    parts = {"relative": (error.total, error.unchanged), "relative inside": (error.inside, error.unchanged_inside)}
    for part, ratio in parts.items():
        yield {"metric": f"truth error {part}", "measured": "picture", "value": ratio, "unit": "of nothing changed"}
    yield {"metric": "PSNR to truth", "measured": "picture", "value": psnr(answer, true), "unit": "dB"}
    if min(true.shape[2:]) >= 11:
        yield {"metric": "SSIM to truth", "measured": "picture", "value": ssim(answer, true), "unit": ""}


def _identity(
    reader: Reader, pictures: Tensor, truth: Sample, units: Sample, intervened: set[str]
) -> Iterator[dict[str, Any]]:
    if not reader.invertible:
        return
    read = reader.noise(reader.causes(pictures, truth)).double().numpy()
    own = torch.stack([units.noise[name] for name in units.names], 1).double().numpy()
    found = axioms.identity(read, own, reader.spread)
    for j, name in enumerate(units.names):
        # an intervened cause's noise leaves no trace in the counterfactual, and a category's cannot be read off
        if name not in intervened and reader.spread[j] > 0 and not reader.categorical[j]:
            yield {"metric": "identity", "measured": name, "value": found[:, j], "unit": "sd of its noise"}


def _minimal(
    world: World, units: Sample, truth: Sample, pictures: Tensor, others: int, rng: np.random.Generator
) -> dict[str, Any]:
    x = units.observation.double().numpy()
    far = {}
    for key, sample in (("to", truth), ("own", units)):
        columns = []
        for _ in range(others):  # real pictures with these causes: other units' noise, drawn with these factors
            lent = torch.from_numpy(derangement(len(units), rng))
            drawn = world.render(sample.factors, {name: value[lent] for name, value in units.noise.items()})
            columns.append(picture_distance(x, drawn.double().numpy()))
        far[key] = np.stack(columns, 1)
    moved = picture_distance(x, pictures.double().numpy())
    return {
        "metric": "minimality",
        "measured": "picture",
        "value": axioms.minimality(moved, far["to"], far["own"]),
        "unit": "",
    }


def _cycles(
    ask: Asker, units: Sample, do: Mapping[str, Any], cycles: Sequence[int], rng: np.random.Generator
) -> Iterator[dict[str, Any]]:
    x = units.observation
    source = x.numpy()
    as_it_is = {name: units[name] for name in do}

    def step(what: Mapping[str, Any]) -> axioms.Step:
        return lambda pictures: ask(torch.from_numpy(pictures), what).numpy()

    other = picture_distance(source, source[derangement(len(x), rng)])
    found = {
        "composition": axioms.composition(source, step(as_it_is), cycles),
        "reversibility": axioms.reversibility(source, step(do), step(as_it_is), cycles),
    }
    for metric, by_cycle in found.items():
        for m, values in by_cycle.items():
            row = {"metric": metric, "measured": f"picture, {m} x", "unit": "mean absolute"}
            yield {**row, "answer": MODEL, "value": values}
            yield {**row, "answer": NOTHING, "value": np.zeros(len(x))}
            yield {**row, "answer": OTHER, "value": other}


def _with_interval(row: dict[str, Any], resamples: int, seed: int) -> dict[str, Any]:
    """The row with estimates in place of values, and its columns in order."""
    value, raw = row["value"], row.get("raw")
    if isinstance(value, tuple):
        top, bottom = value
        defined = ~(np.isnan(top) | np.isnan(bottom))
        top, bottom = top[defined], bottom[defined]
        found = ratio_interval(top, bottom, resamples=resamples, seed=seed) if bottom.sum() > 0 else None
    else:
        found = _mean(value, resamples, seed)
    told = {key: row[key] for key in ("answer", "metric", "intervened", "measured")}
    told |= {"value": None if found is None else Estimate(*found), "unit": row["unit"]}
    if raw is not None:
        told |= {"raw": Estimate(*mean_interval(raw[0], resamples=resamples, seed=seed)), "raw unit": raw[1]}
    return told


def _mean(values: np.ndarray, resamples: int, seed: int) -> Interval | None:
    kept = values[~np.isnan(values)]
    return mean_interval(kept, resamples=resamples, seed=seed) if len(kept) else None
