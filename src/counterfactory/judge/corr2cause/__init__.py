"""Corr2Cause: can a language model infer causation from correlation? (Jin et al., ICLR 2024, arXiv 2306.05836)

A premise lists which variables of a closed system correlate and which are independent given which others; a hypothesis
states a causal relation. It follows iff it holds in every causal graph with just these independences. Names are
letters, so that there is no knowledge of the world to lean on.

    >>> data = build(n=(3,))
    >>> {solvers.oracle(q.premise, q.hypothesis) == q.label3 for q in data.all}
    {True}
"""

from counterfactory.judge.corr2cause import solvers
from counterfactory.judge.corr2cause.benchmark import Corr2Cause, Corr2CauseSettings
from counterfactory.judge.corr2cause.data import QuestionSettings, Splits, build
from counterfactory.judge.corr2cause.items import THREE, YES_NO, answers_of, to_items
from counterfactory.judge.corr2cause.nli import ask_nli
from counterfactory.judge.corr2cause.public import load
from counterfactory.judge.corr2cause.questions import Question, Questions
from counterfactory.judge.corr2cause.scores import drop_table, f1, score

__all__ = [
    "THREE",
    "YES_NO",
    "Corr2Cause",
    "Corr2CauseSettings",
    "Question",
    "QuestionSettings",
    "Questions",
    "Splits",
    "answers_of",
    "ask_nli",
    "build",
    "drop_table",
    "f1",
    "load",
    "score",
    "solvers",
    "to_items",
]
