"""The tensor in what a module takes or returns: a tensor, (named) tuple, list, dict, dataclass or model output."""

import copy
import dataclasses
from typing import Any

from torch import Tensor

from counterfactory.errors import CounterfactoryError

Part = int | str | None


def tensors(holder: Any) -> dict[Any, Tensor]:
    """The tensors in `holder` by their key, scalars left out."""
    return {k: v for k, v in _items(holder).items() if isinstance(v, Tensor) and v.ndim}


def locate(holder: Any, part: Part, name: str) -> Part:
    """The key of the wanted tensor in `holder`; None if the holder is the tensor itself.

    Raises:
        CounterfactoryError: there is no such tensor.
    """
    if isinstance(holder, Tensor) and part in (None, 0):
        return None
    found = tensors(holder)
    key = next(iter(found), None) if part is None else part
    if key is None or key not in found:
        raise CounterfactoryError(
            f"no such tensor at '{name}'",
            given=f"part={part!r} of {type(holder).__name__}",
            expected=f"one of {list(found)}",
            hint="name the tensor: Site(path, part=...)",
        )
    return key


def get(holder: Any, key: Part) -> Tensor:
    """The tensor under `key`."""
    return holder if key is None else _items(holder)[key]


def put(holder: Any, key: Part, new: Tensor) -> Any:
    """A copy of `holder`, of the same type, with one tensor exchanged."""
    if key is None:
        return new
    if isinstance(holder, dict):  # model outputs are dictionaries, too
        changed = copy.copy(holder)
        changed[key] = new
        return changed
    if _is_dataclass(holder):
        return dataclasses.replace(holder, **{str(key): new})
    values = [new if k == key else v for k, v in enumerate(holder)]
    return type(holder)(*values) if hasattr(holder, "_fields") else type(holder)(values)


def _is_dataclass(holder: Any) -> bool:
    return dataclasses.is_dataclass(holder) and not isinstance(holder, type)


def _items(holder: Any) -> dict[Any, Any]:
    if isinstance(holder, dict):
        return holder
    if isinstance(holder, (tuple, list)):
        return dict(enumerate(holder))
    if _is_dataclass(holder):
        return {f.name: getattr(holder, f.name) for f in dataclasses.fields(holder)}
    return {}
