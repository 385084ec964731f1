"""The loss terms of the steps since the last log line, read from the device only when somebody looks."""

import math
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from counterfactory.errors import CounterfactoryError
from counterfactory.training.ema import trainable

Terms = dict[str, Tensor]


class LossModule(nn.Module):
    """`model.loss(batch)` as a forward pass, which is what DistributedDataParallel and autocast wrap.

    Only `total` leaves with its graph: a term that is shown but not optimised must not look like a use of a parameter.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: dict[str, Any]) -> Terms:
        """The terms of a batch."""
        terms = check_terms(self.model.loss(batch))  # type: ignore[operator]
        return {name: value if name == "total" else value.detach() for name, value in terms.items()}


class Window:
    """Loss terms by step: `add` only keeps references, `settle` reads all that were added in one go."""

    def __init__(self, accelerator: Accelerator, values: dict[str, list[float]] | None = None) -> None:
        self.accelerator = accelerator
        self.values: dict[str, list[float]] = values or {}
        self._pending: list[tuple[int, Terms]] = []

    def add(self, step: int, terms: Terms) -> None:
        """Keep the detached terms of a micro-batch of `step`, counted from 1."""
        self._pending.append((step, terms))

    def settle(self) -> None:
        """Read what was added, as means over the processes.

        Raises:
            CounterfactoryError: a term is not finite; the first one is named, with its step.
        """
        named = [(step, name, value) for step, terms in self._pending for name, value in terms.items()]
        self._pending = []
        if not named:
            return
        read = self.accelerator.reduce(torch.stack([value.float() for *_, value in named]), "mean").tolist()
        for (step, name, _), value in zip(named, read, strict=True):
            if not math.isfinite(value):
                raise _not_finite(f"the loss term '{name}' became {value} at step {step}")
            self.values.setdefault(name, []).append(value)

    def means(self) -> dict[str, float]:
        """The average of every term, after `settle`."""
        return {name: math.fsum(values) / len(values) for name, values in self.values.items()}


def check_model(model: nn.Module) -> None:
    """Raise unless the model has `loss` and something to train."""
    if not callable(getattr(model, "loss", None)):
        raise CounterfactoryError(
            "the model cannot be trained",
            given=f"{type(model).__name__}, which has no loss(batch)",
            expected="a torch module with loss(batch) -> dict of scalar tensors, one of them 'total'",
            hint="write loss(batch) on the model, or on a small module around it",
        )
    if not trainable(model):
        raise CounterfactoryError(
            "the model has nothing to train",
            given=f"{type(model).__name__} with no parameter that requires a gradient",
            expected="at least one",
            hint="call requires_grad_(True) on what is to be trained",
        )


def check_terms(terms: Any) -> Terms:
    """What `loss` returned, if it is a dict of scalar tensors with a `total` that has a gradient; else an error."""
    if not isinstance(terms, dict) or "total" not in terms:
        given = f"the terms {', '.join(map(str, terms))}" if isinstance(terms, dict) else type(terms).__name__
        raise _bad_terms(given)
    for name, value in terms.items():
        if not isinstance(value, Tensor) or value.ndim:
            shown = f"shape {list(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
            raise _bad_terms(f"'{name}' of {shown}")
    if not terms["total"].requires_grad:
        raise _bad_terms("a 'total' that depends on no trained parameter")
    return terms


def check_weights(model: nn.Module, step: int) -> None:
    """Raise if a trained parameter is not finite after `step`: the gradient was not, though the loss was."""
    for name, parameter in trainable(model).items():
        if not bool(torch.isfinite(parameter).all()):
            raise _not_finite(f"the parameter '{name}' is not finite after step {step}")


def _bad_terms(given: str) -> CounterfactoryError:
    return CounterfactoryError(
        "the model's loss(batch) gives no loss that can be optimised",
        given=given,
        expected="a dict of scalar tensors, with 'total' as the one that is optimised",
        hint="return for instance {'total': a + b, 'a': a, 'b': b}",
    )


def _not_finite(what: str) -> CounterfactoryError:
    return CounterfactoryError(
        what,
        given="nan or inf",
        expected="finite numbers",
        hint="lower lr, give clip_norm or warmup_steps, or look at the data of that step; the last checkpoint is kept",
    )
