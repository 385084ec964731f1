"""Weights as bits: named weights of a model, their exclusive or, and their fingerprints."""

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from counterfactory.errors import CounterfactoryError, unknown

_INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}  # by width in bytes


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by name; a tied weight appears once, under its first name."""
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def pick(weights: Mapping[str, Tensor], name: str) -> Tensor:
    """One of the weights, or the error that names the near ones."""
    if name not in weights:
        raise unknown("weight", name, weights)
    return weights[name]


def bits(weight: Tensor) -> Tensor:
    """The bits of a tensor as integers of the same width, in the same shape.

    Raises:
        CounterfactoryError: complex numbers, or wider than 8 bytes.
    """
    if weight.element_size() not in _INTEGERS or weight.is_complex():
        raise CounterfactoryError(
            "this number format cannot be edited",
            given=str(weight.dtype),
            expected="real numbers of 1, 2, 4 or 8 bytes",
            hint="edit real-valued weights",
        )
    return weight.detach().contiguous().view(_INTEGERS[weight.element_size()])


def fingerprint(weight: Tensor) -> str:
    """SHA-256 of a tensor's bits."""
    return hashlib.sha256(bits(weight).cpu().reshape(-1).numpy().data).hexdigest()


def form(weight: Tensor) -> str:
    """Number format and shape, as text."""
    return f"{weight.dtype} {tuple(weight.shape)}"
