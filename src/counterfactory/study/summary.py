"""The report of a study: means over seeds with intervals, rank correlations between metrics, and pictures."""

import csv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from counterfactory.errors import CounterfactoryError
from counterfactory.metrics import mean_interval
from counterfactory.results import Figure, Report
from counterfactory.results.charts import heat_chart
from counterfactory.results.files import replacing
from counterfactory.study.plan import Study

GIVEN = "given"


def summarise(study: Study, out: str | Path) -> Report:
    """All that is done of a study, as one report; `results.parquet` beside it has every score of every seed.

    Raises:
        CounterfactoryError: no run is done yet.
    """
    from datasets import Dataset, concatenate_datasets

    out = Path(out)
    done = [cell for cell in study.cells() if cell.scores(out).exists()]
    if not done:
        raise CounterfactoryError(
            "nothing to summarise",
            given=f"no finished run in '{out}'",
            expected="at least one scores.parquet",
            hint="counterfactory study STUDY.toml",
        )
    table = concatenate_datasets([Dataset.from_parquet(str(cell.scores(out))) for cell in done])
    with replacing(out / "results.parquet") as part:
        table.to_parquet(str(part))
    rows = table.to_list()
    names = list(dict.fromkeys(_label(row) for row in rows if row["codes"] == GIVEN))
    notes = [
        f"{len(done)} of {len(study.cells())} runs are done: {len(study.grid.systems)} systems, "
        f"{len(study.grid.worlds)} worlds, {len(study.grid.seeds)} seeds; {study.grid.points} held-out units each.",
        "Values are means over seeds; their intervals are bootstrapped over seeds, and with few seeds they are wide.",
        "Controls: the same scores after the rows of the codes were shuffled, and guesses without any codes.",
    ]
    kept, beside = ([_mean(group) for group in _groups(rows, given)] for given in (True, False))
    figures = [*_correlations(rows, names), *_pictures(study, out)]
    return Report(f"Study: {study.grid.name}", kept, beside, notes, figures)


def _label(row: dict[str, Any]) -> str:
    alone = row["score"].lower().replace(" ", "_") == row["metric"]
    return row["score"] if alone else f"{row['metric']}: {row['score']}"


def _groups(rows: list[dict[str, Any]], given: bool) -> list[list[dict[str, Any]]]:
    found: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in rows:
        if (row["codes"] == GIVEN) == given:
            key = (row["world"], row["metric"], row["score"], row["codes"], row["system"])
            found.setdefault(key, []).append(row)
    return list(found.values())


def _mean(group: list[dict[str, Any]]) -> dict[str, Any]:
    first = group[0]
    values = np.array([row["value"] for row in group], float)
    values = values[np.isfinite(values)]
    return {
        "world": first["world"],
        "metric": _label(first),
        "codes": first["codes"],
        "system": first["system"],
        "value": mean_interval(values) if len(values) else None,
        "estimator": " | ".join(dict.fromkeys(row["estimator"] for row in group)),
    }


def _correlations(rows: list[dict[str, Any]], names: Sequence[str]) -> list[Figure]:
    """Spearman's correlation between the scores over all runs: do metrics rank models alike?"""
    from scipy.stats import rankdata

    runs = list(dict.fromkeys((row["world"], row["system"], row["seed"]) for row in rows))
    values = np.full((len(runs), len(names)), np.nan)
    for row in rows:
        if row["codes"] == GIVEN:
            place = runs.index((row["world"], row["system"], row["seed"]))
            values[place, names.index(_label(row))] = row["value"]
    varied = np.isfinite(values).all(0) & (values.std(0) > 0)
    if len(runs) < 4 or varied.sum() < 2:
        return []
    chosen = [name for name, keep in zip(names, varied, strict=True) if keep]
    matrix = np.corrcoef(rankdata(values[:, varied], axis=0), rowvar=False)
    return [heat_chart(f"Rank correlation between metrics over {len(runs)} runs", matrix, chosen, chosen, signed=True)]


def _pictures(study: Study, out: Path) -> list[Figure]:
    """Traversals and code-factor maps of the first seed of each system on each world."""
    found = []
    first_seed = [cell for cell in study.cells() if cell.seed == study.grid.seeds[0]]
    for cell in first_seed:
        folder, title = cell.folder(out), f"{cell.system} on {cell.world}, seed {cell.seed}"
        if (folder / "information.csv").exists():
            with (folder / "information.csv").open(encoding="utf-8") as lines:
                head, *body = csv.reader(lines)
            matrix = np.array([line[1:] for line in body], float)
            chart = heat_chart(f"What each code tells of each factor: {title}", matrix, [r[0] for r in body], head[1:])
            found.append(replace(chart, alt=f"I(code; factor) / H(factor). {chart.alt}"))
        if (folder / "traversals.png").exists():
            words = f"One row a factor: the code that tells most of it is moved through its range. {title}."
            found.append(Figure(f"Traversals: {title}", words, (folder / "traversals.png").read_bytes()))
    return found
