"""Reading encoders: mean and spread of any variational autoencoder, one row a picture or a place of one."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from counterfactory.errors import CounterfactoryError

_ROWS = 200_000  # of grids of latents, so many places are kept in all, at least one a picture

SCALES: dict[str, Callable[[Tensor], Tensor]] = {
    "logvar": torch.exp,
    "variance": lambda s: s,
    "std": torch.square,
    "softplus": lambda s: nn.functional.softplus(s).square(),
}
"""What an encoder may give beside the mean -> sigma^2: log sigma^2, sigma^2, sigma, or x with sigma = softplus(x)."""


def pictures(data: Any) -> Tensor:
    """Pictures as a tensor.

    Raises:
        CounterfactoryError: there are none.
    """
    if data is None:
        raise CounterfactoryError(
            "there are no pictures to encode",
            given="no data",
            expected="pictures [n, ...], or a world",
            hint="active_variables(vae, images)",
        )
    return torch.as_tensor(data)


def draw(given: int, n: int, stream: torch.Generator) -> Int[Tensor, " k"]:
    """Which of the given pictures are used, at most `n`, in order.

    Raises:
        CounterfactoryError: fewer than two are given.
    """
    if given < 2:
        raise CounterfactoryError(
            "too few pictures", given=given, expected="at least 2", hint="10,000 is the usual number"
        )
    return torch.randperm(given, generator=stream)[:n].sort().values


def encoded(model: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    """What the encoder says of pictures: mean and spread.

    Raises:
        CounterfactoryError: the model has no `encode`, or it says something else.
    """
    if not callable(getattr(model, "encode", None)):
        raise _no_vae(type(model).__name__)
    weight = next(model.parameters(), x) if isinstance(model, nn.Module) else x
    return pair(model.encode(x.to(weight.device, weight.dtype)))


def pair(out: Any) -> tuple[Any, Any]:
    """Mean and spread from whatever an encoder returns.

    Raises:
        CounterfactoryError: it is no pair of equal shapes [n, l, ...].
    """
    out = getattr(out, "latent_dist", out)
    for name in ("logvar", "log_var"):
        out = (out.mean, getattr(out, name)) if hasattr(out, name) else out
    shapes = [tuple(getattr(part, "shape", ())) for part in out] if isinstance(out, (tuple, list)) else []
    if len(shapes) != 2 or shapes[0] != shapes[1] or len(shapes[0]) < 2:
        raise _no_vae(f"{type(out).__name__} {shapes or ''}".strip())
    return out[0], out[1]


def _no_vae(given: str) -> CounterfactoryError:
    return CounterfactoryError(
        "the model gives no mean and spread",
        given=given,
        expected="encode(x) -> mean and logvar of one shape [n, l, ...], as a pair, as attributes, or in latent_dist",
        hint="for other models, pass the pair of arrays (mean, logvar) in place of the model",
    )


def moments(
    batches: Iterable[tuple[Tensor, Tensor]], count: int, scale: str, per_site: bool, stream: torch.Generator
) -> tuple[Float[np.ndarray, "r l"], Float[np.ndarray, "r l"]]:
    """Means and sigma^2 of all batches, with one row a picture, or on a grid one row a place, of which some are drawn.

    Args:
        batches: mean and spread, [b, l, ...].
        count: pictures in all.
        scale: one of `SCALES`.
        per_site: on a grid, every place of every channel is a latent, and a row is a picture.
        stream: draws the places.

    Raises:
        CounterfactoryError: values that are not finite, or a negative sigma^2.
    """
    rows = []
    for mean, spread in batches:
        both = mean.detach().double().cpu(), SCALES[scale](spread.detach().double().cpu())
        rows.append(tuple(part.flatten(1) for part in both) if per_site else _places(*both, count, stream))
    mu, sigma2 = (torch.cat(parts).numpy() for parts in zip(*rows, strict=True))
    if not (np.isfinite(mu).all() and np.isfinite(sigma2).all() and (sigma2 >= 0).all()):
        raise CounterfactoryError(
            "the encoder gives values that cannot be used",
            given=f"means from {mu.min():g} to {mu.max():g}, sigma^2 from {sigma2.min():g} to {sigma2.max():g}",
            expected="finite means, and finite sigma^2 of at least 0",
            hint=f"scale='{scale}' was assumed; the others are {', '.join(name for name in SCALES if name != scale)}",
        )
    return mu, sigma2


def _places(mean: Tensor, sigma2: Tensor, count: int, stream: torch.Generator) -> tuple[Tensor, Tensor]:
    """A table with one row a place; the same number of places of every picture, drawn anew for each."""
    if mean.ndim == 2:
        return mean, sigma2
    mean, sigma2 = mean.flatten(2), sigma2.flatten(2)
    kept = torch.rand(len(mean), 1, mean.shape[2], generator=stream).argsort(2)[:, :, : max(1, _ROWS // count)]
    where = kept.expand(-1, mean.shape[1], -1)
    return mean.gather(2, where).mT.flatten(0, 1), sigma2.gather(2, where).mT.flatten(0, 1)


@contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """Evaluation mode, for batch norm in training mode changes sigma^2; afterwards all modules are as they were."""
    modes = {module: module.training for module in model.modules()} if isinstance(model, nn.Module) else {}
    try:
        for module in modes:
            module.training = False
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode
