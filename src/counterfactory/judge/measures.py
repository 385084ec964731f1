"""Measures of a run, each with its interval over groups: a registry from name to a function of all answers.

A measure is a mean over items, or a function of sums over items (F1, balanced accuracy, calibration error), so that
both are drawn anew by groups at once. Items without an answer count as wrong in all of them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from counterfactory.errors import unknown
from counterfactory.judge.records import Record
from counterfactory.judge.stats import RESAMPLES, share_interval, sums_interval
from counterfactory.metrics.intervals import Interval, mean_interval

BINS = 10
Sums = tuple[Callable[[Any], Any], Float[np.ndarray, "n m"]]


@dataclass(frozen=True)
class Answers:
    """Records of one run as arrays, n of them."""

    records: Sequence[Record]

    def __len__(self) -> int:
        return len(self.records)

    def column(self, name: str) -> np.ndarray:
        """One field of every record."""
        return np.array([record[name] for record in self.records])

    @cached_property
    def groups(self) -> np.ndarray:
        """Unit of resampling of each."""
        return self.column("group")

    @cached_property
    def marks(self) -> tuple[str, ...]:
        """Names of the marks that every record has."""
        names = dict.fromkeys(name for record in self.records for name in record["metrics"])
        return tuple(name for name in names if all(name in record["metrics"] for record in self.records))

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The choices, where all items have the same; otherwise none."""
        found = {tuple(record["doc"]["choices"] or ()) for record in self.records}
        return found.pop() if len(found) == 1 else ()

    @cached_property
    def true(self) -> Int[np.ndarray, " n"]:
        """Index of the right choice."""
        return self.column("target").astype(int)

    @cached_property
    def said(self) -> Int[np.ndarray, " n"]:
        """Index of the chosen choice; -1 for none."""
        found = [record["extracted"] for record in self.records]
        return np.array([value if isinstance(value, int) else -1 for value in found])

    @cached_property
    def hits(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Right, chosen and both, for each class, [n, classes]."""
        eye = np.arange(len(self.classes))
        true, said = self.true[:, None] == eye, self.said[:, None] == eye
        return true.astype(float), said.astype(float), (true & said).astype(float)

    @cached_property
    def confidence(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Probability of the choice taken, and the Brier score, from log-probabilities normalised over the choices."""
        rows = [record["logprobs"] for record in self.records]
        if any(row is None or None in row for row in rows):
            return None
        top, brier = np.zeros(len(rows)), np.zeros(len(rows))
        for i, row in enumerate(rows):
            p = np.exp(np.array(row) - np.max(row))
            p /= p.sum()
            top[i] = p.max()
            brier[i] = float(((p - (np.arange(len(p)) == self.records[i]["target"])) ** 2).sum())
        return top, brier


def _balanced(answers: Answers) -> Sums:
    true, _, both = answers.hits
    k = true.shape[1]
    return lambda s: np.nanmean(s[:, k:] / s[:, :k], axis=1), np.hstack([true, both])


def _macro(answers: Answers) -> Sums:
    true, said, both = answers.hits
    k = true.shape[1]
    return lambda s: np.nanmean(2 * s[:, 2 * k :] / (s[:, :k] + s[:, k : 2 * k]), axis=1), np.hstack([true, said, both])


def _positive(combine: Callable[[Any], Any]) -> Callable[[Answers], Sums]:
    def sums(answers: Answers) -> Sums:
        return combine, np.stack([part[:, 1] for part in answers.hits], 1)

    return sums


def _calibration(answers: Answers) -> Sums:
    assert answers.confidence is not None
    top = answers.confidence[0]
    inside = np.minimum((top * BINS).astype(int), BINS - 1)[:, None] == np.arange(BINS)
    gap = (top - answers.column("acc"))[:, None] * inside
    return lambda s: np.abs(s[:, :BINS]).sum(1) / s[:, BINS:].sum(1), np.hstack([gap, inside])


SUMS: dict[str, Callable[[Answers], Sums]] = {
    "balanced_acc": _balanced,
    "macro_f1": _macro,
    "f1": _positive(lambda s: 2 * s[:, 2] / (s[:, 0] + s[:, 1])),
    "precision": _positive(lambda s: s[:, 2] / s[:, 1]),
    "recall": _positive(lambda s: s[:, 2] / s[:, 0]),
    "ece": _calibration,
}
"""Functions of sums; f1, precision and recall are those of the second of two choices."""
MEANS: dict[str, Callable[[Answers], np.ndarray]] = {
    "brier": lambda a: a.confidence[1] if a.confidence else np.zeros(len(a)),
    "unparsed": lambda a: ~a.column("parsed").astype(bool),
    "errors": lambda a: np.array([r["error"] is not None for r in a.records]),
    "truncated": lambda a: a.column("truncated").astype(bool),
    "words": lambda a: np.array([len(str(r["resps"][0]).split()) for r in a.records]),
    "completion_tokens": lambda a: a.column("completion_tokens").astype(float),
}
"""Means over items; the marks of the scorer (`acc` and others) are means as well."""


def names(answers: Answers) -> list[str]:
    """The measures that are defined for these answers, in the order in which they are shown."""
    found = list(answers.marks)
    if answers.classes:
        found += ["balanced_acc", "macro_f1"]
    if len(answers.classes) == 2:
        found += ["f1", "precision", "recall"]
    if answers.confidence is not None:
        return [*found, "brier", "ece", "errors", "truncated"]
    if all(record["logprobs"] is not None for record in answers.records):
        return [*found, "errors", "truncated"]
    counted = all(record["completion_tokens"] is not None for record in answers.records)
    return [*found, "unparsed", "errors", "truncated", "words", *(["completion_tokens"] if counted else [])]


def measure(name: str, answers: Answers, *, resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """One measure with its 95% interval.

    Raises:
        CounterfactoryError: a measure that these answers do not have.
    """
    if name not in names(answers):
        raise unknown("measure of this run", name, names(answers))
    if name in SUMS:
        combine, counts = SUMS[name](answers)
        with np.errstate(invalid="ignore", divide="ignore"):
            return sums_interval(combine, counts, answers.groups, resamples=resamples, seed=seed)
    values = (MEANS[name](answers) if name in MEANS else answers.column(name)).astype(float)
    if values.min() >= 0 and values.max() <= 1:
        return share_interval(values, answers.groups, resamples=resamples, seed=seed)
    return mean_interval(values, clusters=answers.groups, resamples=resamples, seed=seed)
