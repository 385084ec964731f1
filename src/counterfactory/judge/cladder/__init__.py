"""CLadder: yes/no questions on seeing, doing and imagining, whose answers are computed from a known causal model.

"CLadder: Assessing Causal Reasoning in Language Models" (Jin et al., NeurIPS 2023, arXiv 2312.04350). `build` draws
models over ten graphs, tells stories about them in words of our own, asks ten kinds of question, and keeps what the
audit finds sound. `load` reads the published files and computes their labels anew.

    >>> items = build(["nonsense"], per_story=2, graphs=["chain"])
    >>> {solver(item) == item.meta["answer"] for solver in [exact] for item in items}
    {True}
"""

from counterfactory.judge.cladder.benchmark import Cladder
from counterfactory.judge.cladder.card import account, adversarial_share
from counterfactory.judge.cladder.items import CladderSettings, build
from counterfactory.judge.cladder.public import load
from counterfactory.judge.cladder.solvers import (
    SOLVERS,
    always_yes,
    as_backend,
    exact,
    label_scores,
    observed_difference,
    score,
)
from counterfactory.judge.cladder.stories import VARIANTS
from counterfactory.judge.cladder.training import CAUSAL_COT, sft

__all__ = [
    "CAUSAL_COT",
    "SOLVERS",
    "VARIANTS",
    "Cladder",
    "CladderSettings",
    "account",
    "adversarial_share",
    "always_yes",
    "as_backend",
    "build",
    "exact",
    "label_scores",
    "load",
    "observed_difference",
    "score",
    "sft",
]
