"""Questions with a number behind them, and the audit that each has to pass.

A question is asked only if (i) its exact value, by enumeration of the whole model, and (ii) its estimand, computed
from the rounded percentages that are printed, have the same sign and are at least `SMALLEST` away from 0, and (iii)
the estimand follows from what is printed. What fails is counted under one of `REASONS`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from counterfactory.judge.cladder.formulas import Term
from counterfactory.judge.cladder.models import Models
from counterfactory.judge.cladder.queries import FORMAL, QUERIES, RUNGS, Query, rounded, term_values
from counterfactory.judge.cladder.text import Words, cells, trace

SMALLEST = 0.02
"""Smallest absolute value that is asked about."""
NOTHING = 0.005
"""Below this a difference counts as none, and "is it larger" and "is it smaller" are both answered no."""
REASONS = ("", "not identified", "undefined", "too small", "signs differ")
"""What the audit finds; nothing, where a question is sound."""

Values = Float[np.ndarray, "n *given"]
Percent = Mapping[Term, Mapping[tuple[int, ...], int]]


@dataclass(frozen=True)
class Question:
    """One question about one model, ready to become an item.

    Args:
        query: a key of `RUNGS`.
        polarity: which of the two ways of asking it is.
        given: the numbers or facts that are printed.
        text: the question.
        answer: whether yes is right.
        naive: whether the observed difference says yes.
        adversarial: whether the observed difference has the wrong sign; False on rung 1, which asks for what is seen.
        reasoning: the steps of a right answer.
        facts: what else belongs to the item's record.
    """

    query: str
    polarity: bool
    given: str
    text: str
    answer: bool
    naive: bool
    adversarial: bool
    reasoning: dict[str, str]
    facts: dict[str, Any] = field(default_factory=dict)


def says_yes(value: float, orientation: int) -> bool:
    """The answer rule: yes where the value is not nothing and has the sign that is asked for."""
    return abs(value) >= NOTHING and value * orientation > 0


class Panel:
    """Everything that can be asked of a batch of models: values, printed numbers, and the verdict of the audit.

    Args:
        models: the batch, all of one graph.
    """

    def __init__(self, models: Models) -> None:
        self.models = models
        self.queries = QUERIES[models.structure.id]
        self.naive = models.observed_difference()
        self.exact: dict[str, Float[np.ndarray, " n"]] = {}
        self.estimate: dict[str, Float[np.ndarray, " n"]] = {}
        self.reason: dict[str, Int[np.ndarray, " n"]] = {}
        self.printed: dict[Term, Values] = {}
        for query in self.queries:
            missing = tuple(term for term in query.terms if term not in self.printed)
            self.printed |= rounded(term_values(models, missing))
            exact, estimate = query.exact(models), query.formula.value(self.printed)
            self.exact[query.name], self.estimate[query.name] = exact, estimate
            self.reason[query.name] = _audit(query, exact, estimate)

    def adversarial(self) -> np.ndarray:
        """Which models have a question on doing or imagining that passes and whose observed difference misleads."""
        found = np.zeros(self.models.n, bool)
        for query in self.queries:
            if RUNGS[query.name] > 1:
                found |= (self.reason[query.name] == 0) & (self.naive * self.exact[query.name] < 0)
        return found

    def percent(self, query: Query, row: int) -> Percent:
        """The whole percentages that a question about one model prints."""
        return {
            term: {at: int(np.rint(100 * self.printed[term][(row, *at)])) for at in cells(term)} for term in query.terms
        }

    def ask(self, query: Query, row: int, words: Words, rng: np.random.Generator) -> list[Question]:
        """The two questions, larger and smaller, about one model."""
        structure = self.models.structure
        swap = query.name in ("correlation", "ate")  # elsewhere another treatment would be another quantity
        treated, result = int(rng.integers(2)) if swap else 1, int(rng.integers(2))
        exact, estimate, naive = (
            float(a[row]) for a in (self.exact[query.name], self.estimate[query.name], self.naive)
        )
        percent = self.percent(query, row)
        given = " ".join(words.given(term, numbers) for term, numbers in percent.items())
        reasoning = trace(words, structure, FORMAL[query.name], query.formula, percent, estimate)
        facts = {
            "treated": treated,
            "result": result,
            "formal_form": FORMAL[query.name],
            "estimand": query.formula.show(str),
            "assumes": query.assumes,
            "given_info": {
                str(term): [number / 100 for number in numbers.values()] for term, numbers in percent.items()
            },
            "groundtruth": exact,
            "estimate": estimate if np.isfinite(estimate) else None,
        }
        questions = []
        for more in (True, False):
            orientation = (1 if more else -1) * (1 if treated else -1) * (1 if result else -1)
            if query.name == "ett":
                orientation = -orientation  # asked is what the treated would have been without the treatment
            text = words.ask(query.name, more, treated, result, structure.mediators)
            wrong = RUNGS[query.name] > 1 and naive * exact < 0
            answers = says_yes(exact, orientation), naive * orientation > 0
            questions.append(Question(query.name, more, given, text, *answers, wrong, reasoning, facts))
        return questions


def _audit(query: Query, exact: np.ndarray, estimate: np.ndarray) -> Int[np.ndarray, " n"]:
    """The index in `REASONS`, one a model."""
    unidentified = not query.identified and not query.assumes
    with np.errstate(invalid="ignore"):
        tests = [
            np.full(len(exact), unidentified),
            ~np.isfinite(estimate),
            (np.abs(exact) < SMALLEST) | (np.abs(estimate) < SMALLEST),
            exact * estimate < 0,
        ]
    return np.select(tests, [1, 2, 3, 4], 0)
