"""What users type: `name=value`, numbers with commas, pairs, and worlds with options."""

import importlib
import inspect
import math
import re
import types
import typing
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from counterfactory.errors import CounterfactoryError, unknown

if TYPE_CHECKING:
    from counterfactory.worlds import World


def parse_do(given: Iterable[str]) -> dict[str, float]:
    """`["angle=30", "light=90"]` as `{"angle": 30.0, "light": 90.0}`.

    Raises:
        CounterfactoryError: not of the form name=value, a value that is no finite number, or one cause twice.
    """
    found: dict[str, float] = {}
    for text in given:
        match = re.fullmatch(r"([A-Za-z_]\w*)=([^=\s]+)", text)
        value = _number(match[2]) if match else math.nan
        if match is None or not math.isfinite(value):
            raise CounterfactoryError(
                "--do cannot be read",
                given=text,
                expected="name=value with a finite number and no spaces",
                hint="--do angle=30",
            )
        if match[1] in found:
            raise CounterfactoryError(
                f"two interventions on '{match[1]}'",
                given=f"--do {match[1]}={found[match[1]]:g} --do {text}",
                expected="one intervention a cause",
                hint="drop one of the two",
            )
        found[match[1]] = value
    return found


def spoken(action: Mapping[str, float]) -> str:
    """An intervention as people write it: `do(angle = 30)`."""
    return "do(" + ", ".join(f"{name} = {value:g}" for name, value in action.items()) + ")"


def parse_world(text: str) -> "World":
    """A world by name, with options after a colon: `pendulum`, `pendulum:image_size=16,shadow_noise=0.5`.

    Raises:
        CounterfactoryError: no such world, no such option, or an option that cannot be read.
    """
    from counterfactory import worlds

    name, _, rest = text.partition(":")
    known = inspect.signature(world_class(name)).parameters
    options = {}
    for part in rest.split(",") if rest else []:
        option, equals, value = part.partition("=")
        if not equals:
            raise CounterfactoryError(
                "an option of the world cannot be read",
                given=part,
                expected="name=value",
                hint=f"{name}:{next(iter(known))}=...",
            )
        if option not in known:
            raise unknown(f"option of the world '{name}'", option, known)
        options[option] = parse_value(value, known[option].annotation, option)
    return worlds.load(name, **options)


def world_class(name: str) -> type["World"]:
    """The class of a world, without making one."""
    from counterfactory.worlds import WORLDS

    if name not in WORLDS:
        raise unknown("world", name, WORLDS)
    module, cls = WORLDS[name].split(":")
    return getattr(importlib.import_module(f"counterfactory.worlds.{module}"), cls)


def parse_seeds(text: str) -> tuple[int, ...]:
    """`101,102` as `(101, 102)`."""
    return parse_value(text, tuple[int, ...], "--seeds")


def parse_value(text: str, hint: Any, where: str) -> Any:
    """A value of the type `hint`: `32,64` for tuples, `a>b,c>d` for tuples of pairs, `none` where None is allowed.

    Raises:
        CounterfactoryError: the text says no such value.
    """
    try:
        return _value(text.strip(), hint)
    except ValueError as error:
        raise CounterfactoryError(
            f"{where} cannot be read", given=text, expected=describe(hint), hint=f"{where}={_example(hint)}"
        ) from error


def describe(hint: Any) -> str:
    """A type in words."""
    args = typing.get_args(hint)
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return f"{describe(_inner(args))}, or none"
    if typing.get_origin(hint) is tuple:
        pairs = typing.get_origin(args[0]) is tuple
        count = "" if args[-1] is Ellipsis else f"{len(args)} "
        return "pairs such as a>b,c>d" if pairs else f"{count}{_NOUNS[args[0]]}s with commas between"
    return _NOUNS[hint]


def metavar(hint: Any) -> str:
    """A type as it stands in a list of options: N, X, N,N,... or A>B,..."""
    args = typing.get_args(hint)
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return f"{metavar(_inner(args))}|none"
    if typing.get_origin(hint) is tuple:
        items = [metavar(arg) for arg in args if arg is not Ellipsis]
        if typing.get_origin(args[0]) is tuple:
            return "A>B,..."
        return f"{items[0]},..." if args[-1] is Ellipsis else ",".join(items)
    return _LETTERS[hint]


_LETTERS = {int: "N", float: "X", str: "WORD", bool: "true|false"}
_NOUNS = {int: "whole number", float: "number", str: "word", bool: "true or false"}
_EXAMPLES = {int: "8", float: "0.5", str: "name", bool: "true"}


def _value(text: str, hint: Any, mark: str = ",") -> Any:
    args = typing.get_args(hint)
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return None if text.lower() == "none" else _value(text, _inner(args))
    if typing.get_origin(hint) is tuple:
        parts = [part.strip() for part in text.split(mark)] if text else []
        hints = args[:1] * len(parts) if args[-1] is Ellipsis else args
        if len(hints) != len(parts):
            raise ValueError(text)
        return tuple(_value(part, inner, ">") for part, inner in zip(parts, hints, strict=True))
    if hint is bool:
        if text.lower() not in ("true", "false"):
            raise ValueError(text)
        return text.lower() == "true"
    return hint(text)


def _example(hint: Any) -> str:
    args = typing.get_args(hint)
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return _example(_inner(args))
    if typing.get_origin(hint) is tuple:
        return (
            "a>b,c>d"
            if typing.get_origin(args[0]) is tuple
            else ",".join([_EXAMPLES[args[0]]] * (2 if args[-1] is Ellipsis else len(args)))
        )
    return _EXAMPLES[hint]


def _inner(args: tuple[Any, ...]) -> Any:
    return next(arg for arg in args if arg is not type(None))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
