"""What a command answers, and the one place that shows it: a table for people, one JSON object for programs."""

import contextlib
import functools
import inspect
import json as jsonlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from counterfactory.errors import CounterfactoryError


@dataclass(frozen=True)
class Answer:
    """What a command found.

    Args:
        data: plain values; printed as one JSON object under `--json`.
        show: draws the same for people.
        code: exit code.
    """

    data: dict[str, Any]
    show: Callable[[Console], None]
    code: int = 0


def answering(command: Callable[..., Answer]) -> Callable[..., None]:
    """A command that takes `--json` as well, and prints its answer; whatever is printed on the way goes to stderr."""
    signature = inspect.signature(command)
    flag = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
    last = inspect.Parameter("json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=flag)

    @functools.wraps(command)
    def run(*args: Any, json: bool = False, **options: Any) -> None:
        with contextlib.redirect_stdout(sys.stderr):
            answer = command(*args, **options)
        if json:
            print(jsonlib.dumps(answer.data, indent=2, allow_nan=False))
        else:
            answer.show(Console())
        if answer.code:
            raise typer.Exit(answer.code)

    run.__signature__ = signature.replace(parameters=[*signature.parameters.values(), last], return_annotation=None)  # type: ignore[attr-defined]
    run.__annotations__ = {**command.__annotations__, "json": flag, "return": None}
    return run


def say(line: str) -> None:
    """A line of progress, on stderr."""
    Console(stderr=True).print(Text(line, style="dim"), soft_wrap=True)


def fail(error: CounterfactoryError, json: bool) -> int:
    """Print the four parts, as a panel on stderr or as the JSON object on stdout; returns the exit code."""
    if json:
        print(jsonlib.dumps({"error": error.parts()}, indent=2))
        return 2
    grid = Table.grid(padding=(0, 2))
    for name, part in error.parts().items():
        if name != "what":
            grid.add_row(Text(name, style="bold"), Text(part))
    Console(stderr=True).print(
        Panel(grid, title=Text(error.what, style="bold"), title_align="left", border_style="red")
    )
    return 2
