"""Options that are the fields of settings classes, read as text and checked by those classes."""

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Annotated, Any

import typer

from counterfactory.cli.parse import metavar, parse_value
from counterfactory.settings import Settings


class FieldOptions:
    """One option a field.

    Args:
        classes: name -> settings class; of two fields of one name the second is called by both names.
        taken: names of other options of the command, which no field may have alone.
    """

    def __init__(self, classes: Mapping[str, type[Settings]], taken: Collection[str] = ()) -> None:
        self.parameters: list[inspect.Parameter] = []
        self._sources: dict[str, tuple[str, str, Any]] = {}
        self._names = tuple(classes)
        for group, cls in classes.items():
            for field, hint, default, facts in cls.fields():
                name = field if field not in (*self._sources, *taken) else f"{group}_{field}"
                self._sources[name] = group, field, hint
                option = typer.Option(_flag(name), metavar=metavar(hint), help=_help(default, facts))
                self.parameters.append(parameter(name, Annotated[str | None, option], None))

    def read(self, options: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """The values that were given, by name of the class.

        Raises:
            CounterfactoryError: a text that says no value of its field's type.
        """
        found: dict[str, dict[str, Any]] = {name: {} for name in self._names}
        for name, (group, field, hint) in self._sources.items():
            if options[name] is not None:
                found[group][field] = parse_value(options[name], hint, _flag(name))
        return found


def parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    """A parameter of a command."""
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def sign(command: Callable[..., Any], parameters: Sequence[inspect.Parameter]) -> None:
    """Give a function these parameters, so that they become its options."""
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {each.name: each.annotation for each in parameters}


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _help(default: Any, facts: Mapping[str, Any]) -> str:
    """One line from a field's metadata: what it is, its unit, its range or choices, its default."""
    low, high, choices = facts["low"], facts["high"], facts["choices"]
    span = f"{low:g} to {high:g}" if None not in (low, high) else f"{low:g} or more" if low is not None else ""
    span = f"at most {high:g}" if low is None and high is not None else span
    limits = ", ".join(str(choice) for choice in choices) if choices else span
    shown = ",".join(map(str, default)) if isinstance(default, tuple) else str(default)
    parts = list(filter(None, [facts["unit"], limits, f"default {shown}" if shown else ""]))
    return facts["help"] + (f" ({'; '.join(parts)})" if parts else "")
