"""Judge: metrics as scorecards, with intervals, seeds and controls; what needs torch loads when it is first used."""

import importlib
from typing import TYPE_CHECKING, Any

# not lazy: a function that has its module's name must be bound after the module
from counterfactory.judge.scorecard import METRICS, scorecard

if TYPE_CHECKING:
    from counterfactory.judge.counterfactual import counterfactual_scores, error_table, score_of

_HOMES = dict.fromkeys(("counterfactual_scores", "error_table", "score_of"), "counterfactual")
__all__ = ["METRICS", "counterfactual_scores", "error_table", "score_of", "scorecard"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
