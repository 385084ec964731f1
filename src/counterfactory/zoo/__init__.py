"""Zoo: the recipes our small models are trained by, and the weights that ship with the package.

A recipe is a TOML file `recipes/<system>/<world>.toml`: `units` of the world in the training set, and the tables
`[system]` and `[train]` with the settings that differ from the defaults; `counterfactory train --config` takes the same
form. `pictures.toml` is for pictures of one's own, which have no world. Weights lie in `weights/<system>/<name>/`, as
`save_pretrained` writes them, with a card that tells the command, the seed and the time of their training.
"""

import tomllib
from pathlib import Path
from typing import Any

from counterfactory.errors import unknown

_HERE = Path(__file__).parent


def recipe(system: str, world: str) -> dict[str, Any]:
    """The recipe of a system on a world: `units`, `system` and `train`; empty where there is none."""
    path = _HERE / "recipes" / system / f"{world}.toml"
    return tomllib.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def shipped() -> list[str]:
    """Names of the models that ship with the package, as `system/name`."""
    found = (_HERE / "weights").glob("*/*/model.safetensors")
    return sorted(path.parent.relative_to(_HERE / "weights").as_posix() for path in found)


def weights(name: str) -> Path:
    """The folder of a shipped model, by its name in `shipped()`.

    Raises:
        CounterfactoryError: no shipped model has that name.
    """
    if name not in shipped():
        raise unknown("shipped model", name, shipped())
    return _HERE / "weights" / name


__all__ = ["recipe", "shipped", "weights"]
