"""Checks of what was observed, and its node-major form in float64."""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from counterfactory.causal.graph import CausalGraph
from counterfactory.errors import CounterfactoryError, unknown

Observed = Float[Tensor, "n d"] | Mapping[str, Tensor]
"""All variables in node order, or some of them by name, each [n]."""


def complete_rows(graph: CausalGraph, observed: Observed) -> Float[Tensor, "d n"]:
    """All variables, node-major in float64.

    Raises:
        CounterfactoryError: a variable is missing, a wrong shape, or values that are not finite.
    """
    if isinstance(observed, Tensor):
        if observed.ndim != 2 or observed.shape[1] != len(graph):
            raise wrong_shape("observed", observed, len(graph))
        check_finite("observed", observed)
        return observed.T.double().contiguous()
    given = given_rows(graph, observed)
    if len(given) < len(graph):
        missing = [name for i, name in enumerate(graph.nodes) if i not in given]
        raise CounterfactoryError(
            "variables are missing", given=f"no {', '.join(missing)}", expected="all variables", hint="add them"
        )
    return torch.stack([given[i] for i in range(len(graph))])


def given_rows(graph: CausalGraph, observed: Observed) -> dict[int, Float[Tensor, " n"]]:
    """Place of each observed variable -> its values [n] in float64.

    Raises:
        CounterfactoryError: nothing observed, an unknown variable, unequal shapes, or values that are not finite.
    """
    if isinstance(observed, Tensor):
        return dict(enumerate(complete_rows(graph, observed)))
    given = {}
    for name, value in observed.items():
        if name not in graph:
            raise unknown("observed variable", name, graph.nodes)
        check_finite(f"observed '{name}'", value)
        given[graph.index(name)] = value.double()
    shapes = {tuple(v.shape) for v in given.values()}
    if len(shapes) != 1 or len(next(iter(shapes))) != 1:
        raise CounterfactoryError(
            "observed has wrong shapes",
            given=sorted(shapes),
            expected="at least one variable, and one shape [n] for all",
            hint="give one value a unit for each variable",
        )
    return given


def float_type(observed: Observed) -> torch.dtype:
    """The precision in which to answer: that of the observation, or float32 for whole numbers."""
    first = observed if isinstance(observed, Tensor) else next(iter(observed.values()))
    return first.dtype if first.dtype.is_floating_point else torch.float32


def check_finite(what: str, tensor: Tensor) -> None:
    """Raise `CounterfactoryError` when a value is nan or infinite."""
    finite = torch.isfinite(tensor)
    if not bool(finite.all()):
        raise CounterfactoryError(
            f"{what} is not finite",
            given=f"{int((~finite).sum())} values are nan or inf",
            expected="finite values",
            hint="drop or impute them first",
        )


def wrong_shape(what: str, tensor: Tensor, columns: int) -> CounterfactoryError:
    """The error for a tensor that is not [n, columns]."""
    return CounterfactoryError(
        f"{what} has the wrong shape",
        given=tuple(tensor.shape),
        expected=f"one row a unit and {columns} columns",
        hint="columns are in node order",
    )
