"""Counterfactory: learn the causes inside generative models, intervene on them, edit them, and check the results."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from counterfactory import catalogue, causal, hooks, metrics, training, worlds
    from counterfactory.causal import SCM, Add, CausalGraph, Scale, Set
    from counterfactory.errors import CounterfactoryError
    from counterfactory.hooks import Site, record
    from counterfactory.results import Edit, Estimate, Finding, Findings, Report

__version__ = "0.1.0"
__all__ = [
    "SCM",
    "Add",
    "CausalGraph",
    "CounterfactoryError",
    "Edit",
    "Estimate",
    "Finding",
    "Findings",
    "Report",
    "Scale",
    "Set",
    "Site",
    "catalogue",
    "causal",
    "do",
    "hooks",
    "metrics",
    "record",
    "training",
    "worlds",
]

# name -> its module; a module's own name stands for the module. Nothing is imported before it is used (PEP 562).
_HOMES = {name: name for name in ("catalogue", "causal", "hooks", "metrics", "training", "worlds")}
_HOMES |= dict.fromkeys(("SCM", "Add", "CausalGraph", "Scale", "Set"), "causal")
_HOMES |= dict.fromkeys(("Edit", "Estimate", "Finding", "Findings", "Report"), "results")
_HOMES |= dict.fromkeys(("Site", "record"), "hooks") | {"CounterfactoryError": "errors"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    module = importlib.import_module(f"{__name__}.{_HOMES[name]}")
    return module if name == _HOMES[name] else getattr(module, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def do(where: Any, what: Any, /) -> Any:
    """Intervene: on a structural causal model, or inside any model that consists of torch modules.

    Args:
        where: an `SCM`, a torch module, or a pipeline of modules.
        what: for an `SCM`, variable -> number, tensor [n] or intervention; for a model, site or path -> intervention.

    Returns:
        For an `SCM` the intervened model, a new `SCM`. For a model a context manager: inside it the model runs
        intervened on, and afterwards it is as it was.

    Raises:
        CounterfactoryError: an unknown variable or site, or an intervention that does not fit there.

    Example:
        >>> from counterfactory import SCM, CausalGraph
        >>> from counterfactory.causal import Linear, Normal
        >>> scm = SCM(CausalGraph(["x", "y"], [("x", "y")]), {"y": Linear([2.0])}, {"x": Normal(), "y": Normal()})
        >>> do(scm, {"x": 1.0}).sample(3)["x"]
        tensor([1., 1., 1.])
    """
    from counterfactory.causal import SCM

    if isinstance(where, SCM):
        return where.do(what)
    from counterfactory import hooks

    return hooks.do(where, what)
