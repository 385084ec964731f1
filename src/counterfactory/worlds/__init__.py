"""Worlds: data whose causes are known and whose counterfactuals are exact."""

import importlib
from typing import Any

from counterfactory.errors import CounterfactoryError, unknown
from counterfactory.worlds.base import Do, Sample, World

WORLDS = {
    "pendulum": "pendulum:Pendulum",
    "pendulum_exact": "pendulum:PendulumExact",
    "morpho_digits": "morpho_digits:MorphoDigits",
    "sprites": "sprites:Sprites",
    "scenes2d": "scenes2d:Scenes2D",
}
"""Name of a world -> "module:class" inside this package; modules load when a world is asked for."""


def load(name: str, **options: Any) -> World:
    """A world by name, with the options of its class.

    Raises:
        CounterfactoryError: no world has that name, or the world has no such option.

    Example:
        >>> load("pendulum", image_size=16).sample(2).observation.shape
        torch.Size([2, 3, 16, 16])
    """
    if name not in WORLDS:
        raise unknown("world", name, WORLDS)
    module, cls = WORLDS[name].split(":")
    make = getattr(importlib.import_module(f"counterfactory.worlds.{module}"), cls)
    try:
        return make(**options)
    except TypeError as error:
        raise CounterfactoryError(
            f"the world '{name}' does not take these options",
            given=options,
            expected=make.__init__.__doc__ or f"the options of {cls}",
            hint=str(error),
        ) from error


__all__ = ["WORLDS", "Do", "Sample", "World", "load"]
