"""Settings: one frozen dataclass a method, from which CLI options, docs tables and saved configurations are derived."""

import dataclasses
import json
import math
import types
import typing
from pathlib import Path
from typing import Any, ClassVar, TypeVar, dataclass_transform

from counterfactory.errors import CounterfactoryError, unknown

S = TypeVar("S", bound="Settings")


def setting(
    help: str,
    *,
    default: Any,
    unit: str = "",
    low: float | int | None = None,
    high: float | int | None = None,
    choices: tuple[Any, ...] | None = None,
) -> Any:
    """Declare one field of a settings class: its help, default, unit and allowed range (both ends included)."""
    metadata = {"help": help, "unit": unit, "low": low, "high": high, "choices": choices}
    return dataclasses.field(default=default, metadata=metadata)


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(setting,))
class Settings:
    """Base of every settings class: subclasses are frozen keyword-only dataclasses, validated on construction.

    Example:
        >>> class Ridge(Settings):
        ...     strength: float = setting("weight of the penalty", default=1.0, low=0.0)
        >>> Ridge(strength=2.0)
        Ridge(strength=2.0)
        >>> Ridge.from_dict({"strength": 0.5}).to_dict()
        {'strength': 0.5}
    """

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def __init_subclass__(cls) -> None:
        dataclasses.dataclass(frozen=True, kw_only=True, repr=False)(cls)

    def __post_init__(self) -> None:
        hints = typing.get_type_hints(type(self))
        for f in dataclasses.fields(self):
            value = _coerce(getattr(self, f.name), hints[f.name], f"{type(self).__name__}.{f.name}")
            object.__setattr__(self, f.name, value)
            _check_range(value, f.metadata, f"{type(self).__name__}.{f.name}")

    def __repr__(self) -> str:
        changed = [
            f"{f.name}={getattr(self, f.name)!r}"
            for f in dataclasses.fields(self)
            if getattr(self, f.name) != f.default
        ]
        return f"{type(self).__name__}({', '.join(changed)})"

    def replace(self: S, **changes: Any) -> S:
        """A copy with some fields changed; unknown names are refused with the near ones named."""
        return self.from_dict({**self.to_dict(), **changes})

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}

    @classmethod
    def from_dict(cls: type[S], values: dict[str, Any]) -> S:
        """The inverse of `to_dict`; raises `CounterfactoryError` for an unknown field."""
        known = typing.get_type_hints(cls)
        for name in values:
            if name not in cls.__dataclass_fields__:
                raise unknown(f"setting of {cls.__name__}", name, list(cls.__dataclass_fields__))
        return cls(**{name: _coerce(value, known[name], f"{cls.__name__}.{name}") for name, value in values.items()})

    def save(self, path: Path) -> None:
        """Write as JSON; the file appears whole or not at all."""
        temporary = path.with_suffix(path.suffix + ".part")
        temporary.write_text(json.dumps(self.to_dict(), indent=2) + "\n")
        temporary.replace(path)

    @classmethod
    def fields(cls) -> list[tuple[str, Any, Any, dict[str, Any]]]:
        """Name, type, default and metadata of every field, in order: the source for CLI options and docs tables."""
        hints = typing.get_type_hints(cls)
        return [(f.name, hints[f.name], f.default, dict(f.metadata)) for f in dataclasses.fields(cls)]


def _coerce(value: Any, hint: Any, where: str) -> Any:
    """JSON turns tuples into lists and whole floats into ints: turn them back, and refuse any other type."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        hint = next(a for a in args if a is not type(None))
        return _coerce(value, hint, where)
    if origin is tuple and isinstance(value, (list, tuple)):
        inner = [args[0]] * len(value) if len(args) == 2 and args[1] is Ellipsis else list(args)
        if len(inner) != len(value):
            raise CounterfactoryError(
                f"{where} has the wrong length",
                given=value,
                expected=f"{len(inner)} values",
                hint="give one value a place",
            )
        return tuple(_coerce(v, a, where) for v, a in zip(value, inner, strict=True))
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    plain = origin or hint
    wrong = plain is not Any and (not isinstance(value, plain) or (plain in (int, float) and isinstance(value, bool)))
    if wrong:
        name = getattr(hint, "__name__", str(hint))
        raise CounterfactoryError(
            f"{where} has the wrong type", given=value, expected=name, hint=f"give a value of type {name}"
        )
    return value


def _check_range(value: Any, metadata: Any, where: str) -> None:
    choices, low, high = metadata.get("choices"), metadata.get("low"), metadata.get("high")
    if choices is not None and value not in choices:
        raise unknown(f"value of {where}", str(value), [str(c) for c in choices])
    for v in value if isinstance(value, tuple) else (value,):
        if not isinstance(v, (int, float)) or isinstance(v, bool):
            continue
        outside = math.isnan(v) or (low is not None and v < low) or (high is not None and v > high)
        if outside:
            span = f"from {'-inf' if low is None else low} to {'inf' if high is None else high}"
            unit = f" {metadata['unit']}" if metadata.get("unit") else ""
            raise CounterfactoryError(
                f"{where} is out of range", given=v, expected=span + unit, hint="choose a value inside the range"
            )
