"""The published files of Corr2Cause, with their labels computed anew.

The published generator reads relations through a permutation in the wrong direction and looks for common causes by
paths whose second branch is one edge, so that some published labels are wrong. Both kinds are kept: exact labels
decide, and `score` reports the published ones beside them.
"""

import csv
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from counterfactory.causal.markov import RELATIONS, markov_classes
from counterfactory.causal.masks import canonical
from counterfactory.errors import CounterfactoryError
from counterfactory.judge.corr2cause.parse import MIRROR, Premise, read_body, read_hypothesis, read_premise
from counterfactory.judge.corr2cause.questions import ROW, Questions
from counterfactory.judge.corr2cause.text import LABELS, body

_NUMBERED = {"0": 0, "1": 1, "2": 0}  # the paraphrased file numbers three classes: neutral, entailment, contradiction


def load(path: str | Path) -> Questions:
    """Questions of a published file, told word by word as there.

    Args:
        path: `.csv` with the columns `input` (premise and hypothesis in one text) and `label` (1 for valid), or `.json`
            and `.jsonl` with `premise`, `hypothesis` and `relation` (a label in words).

    Raises:
        CounterfactoryError: another kind of file, wordings mixed in one file, or a line that is no question.
    """
    path = Path(path)
    rows: list[tuple[Any, ...]] = []
    premises: dict[str, int] = {}
    known: list[Premise] = []
    wordings: set[str] = set()
    for line, (text, published) in enumerate(_lines(path)):
        try:
            premise, hypothesis = read_body(text)
            if premise not in premises:
                premises[premise] = len(known)
                known.append(read_premise(premise))
            place = premises[premise]
            row, wording = _row(known[place], hypothesis)
        except CounterfactoryError as error:
            raise CounterfactoryError(
                f"question {line + 1} of '{path}' cannot be read: {error.what}",
                given=str(error.given),
                expected=error.expected,
                hint=error.hint,
            ) from error
        wordings.add(wording)
        rows.append((place, *row, line, published))
    if len(wordings) != 1:
        raise CounterfactoryError(
            f"'{path}' cannot be read as one list of questions",
            given=f"{len(rows)} questions in the wordings {sorted(wordings)}",
            expected="at least one question, all in one wording",
            hint="split the file",
        )
    table = np.array(rows, ROW)
    table["mec"] = _classes(known)[table["premise"]]
    told = tuple(_template(text, known[place].letters) for text, place in premises.items())
    return Questions(path.name, told, table, wordings.pop())


def _lines(path: Path) -> Iterator[tuple[str, int]]:
    """Text and published label of every line."""
    done = 0
    try:
        with path.open(encoding="utf-8", newline="") as file:
            if path.suffix == ".csv":
                for line in csv.DictReader(file):
                    yield line["input"], _NUMBERED[line["label"].strip()]
                    done += 1
            elif path.suffix in (".json", ".jsonl"):
                one_text = path.suffix == ".json"
                for line in json.load(file) if one_text else map(json.loads, filter(str.strip, file)):
                    yield body(line["premise"], line["hypothesis"]), int(LABELS.index(line["relation"]) == 0)
                    done += 1
            else:
                raise ValueError(f"a file of the kind '{path.suffix}'")
    except (OSError, KeyError, ValueError, TypeError, AttributeError, csv.Error) as error:
        raise CounterfactoryError(
            f"'{path}' cannot be read as questions of Corr2Cause",
            given=f"{type(error).__name__} after {done} questions: {error}",
            expected="a .csv file with input and label, or a .json(l) file with premise, hypothesis and relation",
            hint="the public files are on the hub as causalnlp/corr2cause",
        ) from error


def _row(premise: Premise, sentence: str) -> tuple[tuple[Any, ...], str]:
    """The row of a question without premise, line and label, and its wording."""
    asked, n = read_hypothesis(sentence), len(premise.letters)
    i, j = premise.place(asked.x), premise.place(asked.y)
    relation, swapped = asked.relation, i > j
    if swapped:
        i, j, relation = j, i, MIRROR.get(relation, relation)
    pair = list(itertools.combinations(range(n), 2)).index((i, j))
    held = int(premise.held[pair, RELATIONS.index(relation)])
    letters = tuple(name.encode("ascii")[0] for name in premise.letters) + (0,) * (6 - n)
    return (n, -1, i, j, RELATIONS.index(relation), held, premise.size, swapped, letters), asked.wording


def _classes(known: list[Premise]) -> np.ndarray:
    """The place of each premise's class in `markov_classes`."""
    sizes = np.array([len(premise.letters) for premise in known])
    found = np.empty(len(known), np.int32)
    for n in np.unique(sizes):
        rows = np.flatnonzero(sizes == n)
        least, _ = canonical(np.stack([known[row].pattern for row in rows]))
        all_codes, _ = canonical(markov_classes(int(n)).patterns)
        order = np.argsort(all_codes)
        found[rows] = order[np.searchsorted(all_codes, least, sorter=order)]
    return found


def _template(text: str, letters: tuple[str, ...]) -> str:
    """A premise with its letters replaced by their numbers."""
    return re.sub(rf"\b({'|'.join(letters)})\b", lambda found: chr(letters.index(found[0])), text)
