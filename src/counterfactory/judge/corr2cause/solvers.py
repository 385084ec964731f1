"""Answers without a language model: the oracle, and shortcuts whose scores are known in closed form.

Each takes premise and hypothesis as text and returns a label of `LABELS`, or whether the hypothesis follows. Beside a
model they show what it would get without knowing anything; run by the same machinery, they show that it is sound.
"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from counterfactory.causal.markov import RELATIONS
from counterfactory.judge.corr2cause import parse
from counterfactory.judge.corr2cause.questions import Question, Questions
from counterfactory.judge.corr2cause.text import LABELS

Answer = bool | str | None
"""Whether it follows, a label, or None for an answer that could not be read."""
Solver = Callable[[str, str], Answer]
"""Premise and hypothesis -> answer."""


def oracle(premise: str, hypothesis: str) -> str:
    """The exact label, from the text alone: statements, skeleton, v-structures, members, relations."""
    return parse.answer(premise, hypothesis)[0]


def always_no(premise: str, hypothesis: str) -> bool:
    """Nothing ever follows: the majority, right as often as hypotheses are not valid, with F1 0."""
    return False


def uniform(seed: int) -> Solver:
    """One of the three labels at random: with a share p of valid hypotheses, F1 is (2/3) p / (p + 1/3) in the mean."""
    rng = np.random.default_rng(seed)
    return lambda premise, hypothesis: LABELS[rng.integers(len(LABELS))]


def correlation_is_causation(premise: str, hypothesis: str) -> bool:
    """Whatever correlates causes directly: the error that the task is about. On a chain it is never right."""
    asked, known = parse.read_hypothesis(hypothesis), parse.read_premise(premise)
    i, j = known.place(asked.x), known.place(asked.y)
    return asked.relation in ("parent", "child") and not known.separated[i, 0] >> j & 1


def premise_blind(questions: Questions) -> list[bool]:
    """Without reading premises: an earlier variable causes a later one directly, and there is a common effect.

    Where letters follow a causal order, as published, this has twice the F1 of a guess.
    """
    kinds = [RELATIONS.index(name) for name in ("parent", "collider")]
    return [bool(found) for found in np.isin(questions.table["relation"], kinds)]


def ask(questions: Iterable[Question], solver: Solver) -> list[Answer]:
    """The answers of a solver, in order."""
    return [solver(question.premise, question.hypothesis) for question in questions]


def as_text(solver: Solver) -> Callable[..., str]:
    """The solver as a function of a prompt that holds premise and hypothesis; it answers "Yes" or "No", or nothing."""

    def answer(prompt: str, **settings: Any) -> str:
        found = solver(*parse.read_body(prompt))
        return "" if found is None else "Yes" if found is True or found == LABELS[0] else "No"

    return answer
