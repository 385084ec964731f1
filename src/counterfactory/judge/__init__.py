"""Judge: metrics as scorecards, and benchmarks on language models, with intervals, seeds and controls.

What needs torch loads when it is first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

# not lazy: a function that has its module's name must be bound after the module
from counterfactory.judge.scorecard import METRICS, scorecard

if TYPE_CHECKING:
    from counterfactory.judge import backends, controls, export
    from counterfactory.judge.counterfactual import counterfactual_scores, error_table, score_of
    from counterfactory.judge.items import Item, ItemSet
    from counterfactory.judge.outcome import Run
    from counterfactory.judge.paired import compare, position_bias
    from counterfactory.judge.runner import run
    from counterfactory.judge.styles import PromptStyle, few_shot

_HOMES = dict.fromkeys(("counterfactual_scores", "error_table", "score_of"), "counterfactual")
_HOMES |= {"Item": "items", "ItemSet": "items", "Run": "outcome", "run": "runner"}
_HOMES |= {"compare": "paired", "position_bias": "paired", "PromptStyle": "styles", "few_shot": "styles"}
_MODULES = ("backends", "controls", "export")
__all__ = [
    "METRICS",
    "Item",
    "ItemSet",
    "PromptStyle",
    "Run",
    "backends",
    "compare",
    "controls",
    "counterfactual_scores",
    "error_table",
    "export",
    "few_shot",
    "position_bias",
    "run",
    "score_of",
    "scorecard",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
