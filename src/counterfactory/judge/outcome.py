"""What a run gives back: the report, and the answers behind it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from counterfactory.errors import unknown
from counterfactory.judge.measures import Answers, measure, names
from counterfactory.judge.records import (
    REPORT_NAME,
    SAMPLES_NAME,
    TABLE_NAME,
    Record,
    manifest_of,
    read_samples,
    to_parquet,
)
from counterfactory.judge.stats import benjamini_hochberg, share_interval, sign_flip
from counterfactory.results.cells import Estimate, text
from counterfactory.results.report import Report, Reproduce

MOST_PARTS = 12
"""A tag with more values than this is broken down by only when it is asked for by name."""


@dataclass(frozen=True)
class Run:
    """A finished run.

    Args:
        manifest: what was asked of whom.
        records: one an answer, by repeat and then in the order of the items.
        report: measures with intervals, breakdowns, and the controls.
    """

    manifest: Mapping[str, Any]
    records: Sequence[Record]
    report: Report

    @property
    def name(self) -> str:
        """Benchmark, model and style in one line."""
        m = self.manifest
        return f"{m['suite']}, {m['backend_info'].get('name', m['backend'])}, {m['style']['name']}"

    @cached_property
    def answers(self) -> Answers:
        """The records as arrays."""
        return Answers(self.records)

    def print(self, file: Any = None) -> None:
        """Show the report."""
        self.report.print(file)

    def value(self, metric: str = "acc") -> float:
        """One measure of all items."""
        for row in self.report.rows:
            if row["subset"] == "all" and row["metric"] == metric:
                return float(row["value"].value if isinstance(row["value"], Estimate) else row["value"])
        raise unknown("measure of this run", metric, [r["metric"] for r in self.report.rows if r["subset"] == "all"])

    def values(self, metric: str = "acc", on: str | None = None) -> dict[str, float]:
        """Item -> mark, averaged over repeats.

        Args:
            metric: a mark of the scorer, or `parsed`.
            on: name the items by this entry of their `meta` instead of by id.
        """
        if metric != "parsed" and metric not in self.answers.marks:
            raise unknown("mark of an answer", metric, [*self.answers.marks, "parsed"])
        found: dict[str, list[float]] = {}
        for record in self.records:
            name = record["item_id"] if on is None else str(record["doc"]["meta"][on])
            found.setdefault(name, []).append(float(record[metric]))
        return {name: sum(marks) / len(marks) for name, marks in found.items()}

    def table(self) -> Any:
        """The rows of the report and its controls as a pandas table; an interval fills three columns."""
        import pandas as pd

        rows = []
        for control, part in ((False, self.report.rows), (True, self.report.controls)):
            for row in part:
                cell = row["value"]
                ends = (cell.value, cell.low, cell.high) if isinstance(cell, Estimate) else (cell, math.nan, math.nan)
                rows.append({**row, **dict(zip(("value", "low", "high"), ends, strict=True)), "control": control})
        return pd.DataFrame(rows)

    def samples(self) -> Any:
        """The records as a pandas table."""
        import pandas as pd

        return pd.DataFrame(list(self.records))

    def to_json(self, path: str | Path) -> None:
        """Write the report as JSON."""
        self.report.save(path)

    def to_parquet(self, path: str | Path) -> None:
        """Write the records, nested fields as JSON texts."""
        to_parquet(self.records, path)

    @classmethod
    def load(cls, folder: str | Path) -> "Run":
        """Read a finished run.

        Raises:
            CounterfactoryError: no run there, a damaged one, or one that has not ended.
        """
        folder = Path(folder)
        report, manifest = Report.load(folder / REPORT_NAME), manifest_of(folder)
        return cls(manifest, tuple(read_samples(folder / SAMPLES_NAME)), report)


def in_order(records: Sequence[Record], keys: Sequence[str]) -> tuple[Record, ...]:
    """The last record of every key, in the order of the keys."""
    found = {record["key"]: record for record in records}
    return tuple(found[key] for key in keys)


def summarise(
    manifest: Mapping[str, Any], records: Sequence[Record], by: Sequence[str] | None, resamples: int, seed: int
) -> Report:
    """The report of a run; it depends on nothing but its arguments and the version of the code."""
    answers = Answers(records)
    size = {"items": len({r["item_id"] for r in records}), "groups": len(set(answers.groups))}
    rows: list[dict[str, Any]] = []
    for name in names(answers):
        value = Estimate(*measure(name, answers, resamples=resamples, seed=seed))
        rows.append({"subset": "all", "metric": name, "value": value, **size})
    parsed = [record for record in records if record["parsed"]]
    if 0 < len(parsed) < len(records):
        part = Answers(parsed)
        value = Estimate(*share_interval(part.column("acc"), part.groups, resamples=resamples, seed=seed))
        rows.append({"subset": "parsed", "metric": "acc", "value": value, **_size(parsed)})
    if manifest["repeats"] > 1:
        runs = answers.column("repeat")
        means = [float(answers.column("acc")[runs == r].mean()) for r in range(manifest["repeats"])]
        spread = float(np.std(means, ddof=1))
        rows.append({"subset": "all", "metric": "acc, sd between repeats", "value": spread, **size})
    parts = _parts(records, by, resamples, seed)
    guesses = {"uniform guess": manifest["chance"], "majority answer": manifest["majority"]}
    controls = [{"subset": name, "metric": "acc", "value": value, **size} for name, value in guesses.items()]
    info, style = manifest["backend_info"], manifest["style"]["name"]
    title = f"{manifest['suite']}: {info.get('name', info.get('backend'))}, {manifest['mode']}, {style}"
    reproduce = Reproduce(command=manifest["command"], seeds=(manifest["seed"],))
    return Report(title, [*rows, *parts], controls, _notes(manifest, answers, size, bool(parts)), reproduce=reproduce)


def markdown(report: Report) -> str:
    """The report as a table in Markdown."""
    lines = [f"# {report.title}", "", "| " + " | ".join(report.columns) + " |", "|" + " --- |" * len(report.columns)]
    for row in (*report.rows, *report.controls):
        cells = (text(row.get(name)).replace("|", "\\|") for name in report.columns)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", *(f"{note}  " for note in report.notes)]) + "\n"


def save(folder: Path, report: Report) -> None:
    """Write the report as JSON and as Markdown."""
    from counterfactory.results.files import write

    write(folder / TABLE_NAME, markdown(report))
    report.save(folder / REPORT_NAME)


def _parts(records: Sequence[Record], by: Sequence[str] | None, resamples: int, seed: int) -> list[dict[str, Any]]:
    """Accuracy by tag, tested against chance; one family."""
    values: dict[str, dict[str, list[Record]]] = {}
    for record in records:
        for tag, value in record["tags"].items():
            values.setdefault(tag, {}).setdefault(str(value), []).append(record)
    # by name, as records that were read back have their tags in another order than new ones
    asked = [t for t in sorted(values) if 1 < len(values[t]) <= MOST_PARTS] if by is None else list(by)
    rows, p = [], []
    for tag in asked:
        if tag not in values:
            raise unknown("tag of these items", tag, values)
        for value, members in sorted(values[tag].items()):
            part = Answers(members)
            share = share_interval(part.column("acc"), part.groups, resamples=resamples, seed=seed)
            excess = part.column("acc") - part.column("chance")
            p.append(sign_flip(excess, part.groups, seed=seed))
            rows.append({"subset": f"{tag}={value}", "metric": "acc", "value": Estimate(*share), **_size(members)})
    for row, q in zip(rows, benjamini_hochberg(p), strict=True):
        row["q against chance"] = q
    return rows


def _size(records: Sequence[Record]) -> dict[str, int]:
    return {"items": len({r["item_id"] for r in records}), "groups": len({r["group"] for r in records})}


def _notes(m: Mapping[str, Any], answers: Answers, size: Mapping[str, int], broken_down: bool) -> list[str]:
    notes = [
        f"{m['suite']} {m['suite_version']}, digest {m['items'][:16]}.",
        "Intervals: Wilson where every item is a group of its own, otherwise bootstrap over groups.",
    ]
    if len(answers.classes) == 2:
        notes.append(f"f1, precision and recall are those of '{answers.classes[1]}'.")
    if m["backend_info"].get("backend") == "openai":
        notes.append("The server does not tell how much it reads; whether all prompts fitted is not known.")
    if broken_down:
        notes.append("q: groups' signs flipped against chance, adjusted over the rows shown (Benjamini-Hochberg).")
    for name, told in (("parsed", "gave no answer that could be read"), ("truncated", "did not fit and were cut")):
        count = int((answers.column(name).astype(bool) != (name == "parsed")).sum())
        if count:
            notes.append(f"{count} of {len(answers)} {told}.")
    return notes
