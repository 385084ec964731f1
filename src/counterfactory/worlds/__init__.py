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
    "shapes3d": "shapes3d:Shapes3D",
    "scenes2d": "scenes2d:Scenes2D",
}
"""Name of a world -> "module:class" inside this package; modules load when a world is asked for."""

FILES = {"dsprites": "files:DSprites", "shapes3d_file": "files:Shapes3DFile", "mpi3d": "files:MPI3D"}
"""The same for worlds that need a file of the user's: `load("dsprites", path=...)`."""


def load(name: str, **options: Any) -> World:
    """A world by name, with the options of its class.

    Raises:
        CounterfactoryError: no world has that name, or the world has no such option.

    Example:
        >>> load("pendulum", image_size=16).sample(2).observation.shape
        torch.Size([2, 3, 16, 16])
    """
    known = WORLDS | FILES
    if name not in known:
        raise unknown("world", name, known)
    module, cls = known[name].split(":")
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


__all__ = ["FILES", "WORLDS", "Do", "Sample", "World", "load"]
