"""AdamW over a model's trained parameters, and gradient clipping."""

from typing import Any

import torch
from torch import nn
from torch.nn.utils import clip_grad_norm_, clip_grad_value_

from counterfactory.errors import unknown
from counterfactory.training.ema import trainable
from counterfactory.training.settings import TrainSettings


def adamw(model: nn.Module, settings: TrainSettings) -> torch.optim.AdamW:
    """AdamW, fused where the device has it; the parameters that `model.undecayed()` names get no weight decay.

    Raises:
        CounterfactoryError: `undecayed` names a parameter that is not trained.
    """
    parameters = trainable(model)
    names = set(model.undecayed()) if hasattr(model, "undecayed") else set()  # type: ignore[operator]
    for name in sorted(names - set(parameters)):
        raise unknown(f"parameter in {type(model).__name__}.undecayed()", name, parameters)
    groups: list[dict[str, Any]] = [
        {"params": [p for n, p in parameters.items() if n not in names]},
        {"params": [p for n, p in parameters.items() if n in names], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    options: dict[str, Any] = {"lr": settings.lr, "betas": settings.betas, "weight_decay": settings.weight_decay}
    try:
        return torch.optim.AdamW(groups, fused=True, **options)
    except RuntimeError:  # no fused kernel for this device or type
        return torch.optim.AdamW(groups, **options)


def clip(parameters: list[nn.Parameter], settings: TrainSettings) -> None:
    """Clip the gradients in place: each element to +- `clip_value`, then the whole to the norm `clip_norm`."""
    if settings.clip_value:
        clip_grad_value_(parameters, settings.clip_value)
    if settings.clip_norm:
        clip_grad_norm_(parameters, settings.clip_norm)
