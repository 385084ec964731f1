"""The frame of the command line: which commands there are, and how it ends.

Every command is a function in a module of its own name; it returns an `Answer`. A module whose options depend on what
is asked has `for_args(args)`, which makes the function. Modules load when they are asked for, and torch only inside the
functions, so that `--help` answers at once.
"""

import importlib
import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import Console

from counterfactory import __version__
from counterfactory.cli.answer import answering, fail
from counterfactory.errors import CounterfactoryError, unknown

COMMANDS = (
    "demo",
    "systems",
    "explain",
    "worlds",
    "train",
    "do",
    "traverse",
    "trace",
    "unlearn",
    "score",
    "judge",
    "verify",
    "study",
    "zoo",
    "doctor",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code: 0 done, 1 a claim or check failed, 2 bad input, 130 interrupted."""
    args = list(sys.argv[1:] if argv is None else argv) or ["--help"]
    json = "--json" in args
    try:
        code = build(args)(args, prog_name="counterfactory", standalone_mode=False) or 0
    except CounterfactoryError as error:
        return fail(error, json)
    except typer.TyperException as error:  # what the parser says of a wrong command line
        return fail(_usage(error, args), json)
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    except BrokenPipeError:  # the reader, `head` for instance, has seen enough
        sys.stdout = None
        return 0
    if code == 130:
        Console(stderr=True).print("interrupted", style="yellow")
    return code


def build(args: Sequence[str]) -> typer.Typer:
    """The app with the command that `args` name, or with all of them when they name none."""
    app = typer.Typer(
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["--help", "-h"]},
    )
    app.callback()(_root)
    first = next((arg for arg in args if not arg.startswith("-")), None)
    if first is not None and first not in COMMANDS:
        raise unknown("command", first, COMMANDS)
    for name in [first] if first else COMMANDS:
        module = importlib.import_module(f"counterfactory.cli.{name}")
        command = module.for_args(args) if hasattr(module, "for_args") else getattr(module, name)
        app.command(name)(answering(command))
    return app


def _version(asked: bool | None) -> None:
    if asked:
        print(__version__)
        raise typer.Exit


def _root(
    version: Annotated[
        bool | None, typer.Option("--version", is_eager=True, callback=_version, help="Print the version.")
    ] = None,
) -> None:
    """Learn the causes inside generative models, intervene on them, edit them, and check the results."""


def _usage(error: typer.TyperException, args: Sequence[str]) -> CounterfactoryError:
    command = next((arg for arg in args if arg in COMMANDS), "")
    again = " ".join(filter(None, ("counterfactory", command, "--help")))
    return CounterfactoryError(
        error.format_message().rstrip("."),
        given=f"counterfactory {' '.join(args)}",
        expected="a command line as the help describes it",
        hint=again,
    )
