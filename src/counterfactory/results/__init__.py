"""Results: findings, edits and reports, each of which prints, saves and loads; names load when they are first used."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from counterfactory.results.cells import Estimate
    from counterfactory.results.edit import Edit
    from counterfactory.results.findings import Finding, Findings
    from counterfactory.results.report import Figure, Report, Reproduce

_HOMES = {
    "Edit": "edit",
    "Estimate": "cells",
    "Figure": "report",
    "Finding": "findings",
    "Findings": "findings",
    "Report": "report",
    "Reproduce": "report",
}
__all__ = ["Edit", "Estimate", "Figure", "Finding", "Findings", "Report", "Reproduce"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
