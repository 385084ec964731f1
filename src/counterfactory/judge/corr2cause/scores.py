"""Scores of Corr2Cause: F1, precision and recall of the valid class, with intervals over classes.

Questions of one class share a premise and are right or wrong together, so whole classes are drawn in the bootstrap. An
average of F1 over both classes would hide everything, for four of five hypotheses are not valid.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int64

from counterfactory.causal.markov import RELATIONS
from counterfactory.errors import CounterfactoryError, unknown
from counterfactory.judge.corr2cause.questions import Questions
from counterfactory.judge.corr2cause.solvers import Answer, premise_blind
from counterfactory.judge.corr2cause.text import LABELS
from counterfactory.metrics import Interval, mean_interval, ratio_interval, statistic_interval
from counterfactory.results import Estimate, Report, Reproduce

_NOT_VALID, _UNREAD = 3, 4


def score(
    questions: Questions, answers: Sequence[Answer], *, resamples: int = 1000, seed: int = 0, by: bool = True
) -> Report:
    """How good answers are: all questions, each number of variables, each relation.

    Args:
        questions: what was asked.
        answers: one each, in order: whether it follows, a label, or None for one that could not be read, which counts
            as not valid.
        resamples: bootstrap draws of each interval.
        seed: of the draws.
        by: also the rows of each size and relation.

    Returns:
        A report with the columns `questions` (which), `items`, `valid` (share), `f1`, `precision`, `recall` and
        `accuracy`, the first three empty where no hypothesis is valid; `f1_3` is the mean F1 of the labels that occur,
        where the answers are labels. The controls are the score by the published labels, where they are known, and what
        guesses get in the mean, and what `solvers.premise_blind` gets.

    Raises:
        CounterfactoryError: not one answer a question, or a label that does not exist.
    """
    read = _read(answers, len(questions))
    options = {"resamples": resamples, "seed": seed}
    three = bool(np.isin(read, (1, 2)).any())
    parts: dict[str, np.ndarray] = {"all": np.ones(len(questions), bool)}
    if by:
        parts |= {f"n={n}": questions.table["n"] == n for n in np.unique(questions.table["n"])}
        kinds = enumerate(RELATIONS)
        parts |= {f"relation={name}": questions.table["relation"] == k for k, name in kinds}
    rows = [_row(name, questions.take(part), read[part], three, options) for name, part in parts.items() if part.any()]
    notes = [
        f"{len(questions):,} questions of {len(np.unique(questions.groups)):,} classes; intervals draw whole classes.",
        f"{(read == _UNREAD).mean():.1%} of the answers could not be read, and count as not valid.",
    ]
    controls = []
    published = questions.table["published"]
    if (published >= 0).any():
        told = published >= 0
        wrong = int((questions.valid[told] != published[told].astype(bool)).sum())
        notes.append(f"{wrong} of {told.sum():,} published labels differ from the exact ones.")
        controls.append(_binary("published labels", published[told] == 1, read[told], questions.groups[told], options))
    share = float(questions.valid.mean())
    controls.append({"questions": "always no", "f1": 0.0 if share else None, "accuracy": 1 - share})
    for name, q in (("a guess of three", 1 / 3), ("a guess by share", share)):
        guess = 2 * share * q / (share + q) if share else None
        controls.append({"questions": name, "f1": guess, "accuracy": share * q + (1 - share) * (1 - q)})
    blind = premise_blind(questions)
    defined = f1(questions, blind) if share else None
    right = float((np.array(blind) == questions.valid).mean())
    controls.append({"questions": "without the premise", "f1": defined, "accuracy": right})
    return Report(f"Corr2Cause: {questions.name}", rows, controls, notes, reproduce=Reproduce(seeds=(seed,)))


def drop_table(
    questions: Questions, answers: Mapping[str, Sequence[Answer]], *, resamples: int = 1000, seed: int = 0
) -> Report:
    """F1 of the same questions told otherwise, and how much of it is lost.

    Args:
        questions: in any wording; labels and classes are the same in all.
        answers: what they were called -> answers; the first is what the others are compared with.
        resamples, seed: of the bootstrap; a drop draws the same classes on both sides.

    Returns:
        A report with the columns `told`, `f1`, `drop` (positive where F1 is lost) and `kept` (share of the answers that
        are those of the first).

    Raises:
        CounterfactoryError: as `score`, or no valid hypothesis.
    """
    if not questions.valid.any():
        raise CounterfactoryError(
            "there is no F1 to lose",
            given=f"{len(questions)} questions, none of them valid",
            expected="at least one valid hypothesis",
            hint="take graphs of three variables or more",
        )
    said = {name: _read(given, len(questions)) == 0 for name, given in answers.items()}
    first = next(iter(said.values()))
    base = _counts(questions.valid, first, questions.groups)
    rows = []
    for name, valid in said.items():
        own = _counts(questions.valid, valid, questions.groups)
        row: dict[str, Any] = {"told": name, "f1": _estimate(_f1(questions, valid, resamples, seed))}
        if valid is not first:
            pairs = (base[0], base[1], own[0], own[1])
            lost = statistic_interval(_lost, *pairs, vectorised=True, resamples=resamples, seed=seed)
            row |= {"drop": _estimate(lost), "kept": float((valid == first).mean())}
        rows.append(row)
    notes = [f"{len(questions):,} questions of {len(base[0]):,} classes; intervals draw whole classes."]
    return Report(
        f"Corr2Cause, told otherwise: {questions.name}", rows, notes=notes, reproduce=Reproduce(seeds=(seed,))
    )


def f1(questions: Questions, answers: Sequence[Answer]) -> float:
    """F1 of the valid class; nan where no hypothesis is valid."""
    said, valid = _read(answers, len(questions)) == 0, questions.valid
    return float(2 * (said & valid).sum() / (said.sum() + valid.sum())) if valid.any() else float("nan")


def _row(name: str, questions: Questions, read: np.ndarray, three: bool, options: dict[str, Any]) -> dict[str, Any]:
    row = _binary(name, questions.valid, read, questions.groups, options)
    if three:
        wanted, scores = questions.labels, []
        for k in np.union1d(wanted, read[read < len(LABELS)]):
            scores.append(2 * ((read == k) & (wanted == k)).sum() / ((read == k).sum() + (wanted == k).sum()))
        row["f1_3"] = float(np.mean(scores))
    return row


def _binary(
    name: str, valid: np.ndarray, read: np.ndarray, groups: np.ndarray, options: dict[str, Any]
) -> dict[str, Any]:
    said = read == 0
    both = said & valid
    row: dict[str, Any] = {"questions": name, "items": len(valid), "valid": float(valid.mean())}
    ratios = {"f1": (2 * both, said.astype(int) + valid), "precision": (both, said), "recall": (both, valid)}
    for column, (top, bottom) in ratios.items():
        defined = valid.any() and bottom.any()
        row[column] = _estimate(ratio_interval(top, bottom, clusters=groups, **options)) if defined else None
    row["accuracy"] = _estimate(mean_interval(said == valid, clusters=groups, **options))
    return row


def _f1(questions: Questions, said: np.ndarray, resamples: int, seed: int) -> Interval:
    valid = questions.valid
    top, bottom = 2 * (said & valid), said.astype(int) + valid
    return ratio_interval(top, bottom, clusters=questions.groups, resamples=resamples, seed=seed)


def _counts(valid: np.ndarray, said: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numerator and denominator of F1 for each class."""
    _, unit = np.unique(groups, return_inverse=True)
    return np.bincount(unit, 2 * (said & valid)), np.bincount(unit, said.astype(int) + valid)


def _lost(top: np.ndarray, bottom: np.ndarray, other_top: np.ndarray, other_bottom: np.ndarray) -> np.ndarray:
    """The drop of F1 in each resample, [r]; a draw without a valid hypothesis has none."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return top.sum(1) / bottom.sum(1) - other_top.sum(1) / other_bottom.sum(1)


def _estimate(interval: Interval) -> Estimate:
    return Estimate(*interval)


def _read(answers: Sequence[Answer], count: int) -> Int64[np.ndarray, " m"]:
    """Places in `LABELS`, or one of the two codes above."""
    if len(answers) != count:
        raise CounterfactoryError(
            "not one answer for each question",
            given=f"{len(answers)} answers",
            expected=f"{count} answers, in the order of the questions",
            hint="answer every question; None stands for an answer that could not be read",
        )
    codes = {name: k for k, name in enumerate(LABELS)}
    found = np.empty(count, np.int64)
    for k, answer in enumerate(answers):
        if isinstance(answer, str):
            if answer not in codes:
                raise unknown("label", answer, LABELS)
            found[k] = codes[answer]
        else:
            found[k] = _UNREAD if answer is None else 0 if answer else _NOT_VALID
    return found
