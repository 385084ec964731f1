"""Averaged weights: e <- d e + (1 - d) w after every step, with a decay d that warms up."""

import torch
from torch import Tensor, nn


class EMA:
    """Running average of a model's trainable parameters, after s updates of decay min(decay, (1 + s) / (10 + s)).

    Args:
        model: where the weights come from; the average starts at its present weights.
        decay: the final decay, from 0 to 1.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights: dict[str, Tensor] = {n: p.detach().clone() for n, p in trainable(model).items()}
        self._averaged = list(self.weights.values())
        self._live = [p.detach() for p in trainable(model).values()]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the model's weights after step `step`, counted from 0."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self._averaged, self._live, 1 - decay)

    @torch.no_grad()
    def apply(self) -> None:
        """Put the averaged weights into the model."""
        torch._foreach_copy_(self._live, self._averaged)


def trainable(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that are trained, by name; a tied one appears once."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}
