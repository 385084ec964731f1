"""`counterfactory train`: fit a system to a world; the options are the fields of its settings classes."""

import inspect
import shlex
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from counterfactory import catalogue
from counterfactory.cli.answer import Answer, say
from counterfactory.cli.options import FieldOptions, parameter, sign
from counterfactory.cli.source import DataOption, SizeOption, TableOption, WorldOption, read_source
from counterfactory.errors import CounterfactoryError, unknown

_TABLES = ("system", "train")  # of the TOML file: the settings of the system, and those of the training run
_Out = Annotated[Path, typer.Option(help="Folder for the model and its checkpoints; the same command goes on in it.")]
_Config = Annotated[
    Path | None,
    typer.Option(
        help="TOML file with `units` and settings in the tables [system] and [train]; without it the recipe that ships "
        "for this system and world, if there is one. Options here go first."
    ),
]
_Units = Annotated[int | None, typer.Option(min=1, help="Units of the world in the training set.")]
_Half = Annotated[bool, typer.Option("--half", help="Save the weights with 16 bits, half the size.")]


def train() -> Answer:
    """Train a system on a world: `counterfactory train SYSTEM --help` lists its settings."""
    learners = list(catalogue.learners())

    def show(console: Console) -> None:
        for slug in learners:
            summary = catalogue.get(slug).summary if slug in catalogue.CARDS else "A rival that others are measured by."
            console.print(Text(f"counterfactory train {slug} --help    {summary}"))

    return Answer({"systems": learners}, show)


def for_args(args: Sequence[str]) -> Callable[..., Answer]:
    """The command for `train SYSTEM ...`, with the options of that system; without a system, the list of systems.

    Raises:
        CounterfactoryError: no system to train has that name.
    """
    after = args[args.index("train") + 1 :] if "train" in args else []
    if not after or after[0].startswith("-"):
        return train
    return _command(after[0], shlex.join(["counterfactory", *(arg for arg in args if arg != "--json")]))


def _command(system: str, again: str) -> Callable[..., Answer]:
    """A function whose parameters are the fields of the settings classes, read as text and checked by those classes."""
    cls = catalogue.learner(system)
    from counterfactory.training import TrainSettings

    fields = FieldOptions({"system": cls.settings_class(), "train": TrainSettings})
    parameters = [
        parameter("system", Annotated[str, typer.Argument(help="The system.")], inspect.Parameter.empty),
        parameter("world", WorldOption, None),
        parameter("data", DataOption, None),
        parameter("table", TableOption, None),
        parameter("size", SizeOption, None),
        parameter("out", _Out, inspect.Parameter.empty),
        parameter("config", _Config, None),
        parameter("units", _Units, None),
        parameter("half", _Half, False),
        *fields.parameters,
    ]

    def run(**options: Any) -> Answer:
        chosen = _read_config(options["config"])
        for table, values in fields.read(options).items():
            chosen[table] |= values
        units = options["units"] if options["units"] is not None else chosen["units"]
        source = read_source(*(options[name] for name in ("world", "data", "table", "size")))
        return _fit(system, source, options, units, chosen, again)

    sign(run, parameters)
    card = catalogue.CARDS.get(system)
    run.__doc__ = f"Train: {card.title}.\n\n{card.summary} {card.cost}" if card else cls.__doc__
    return run


def _read_config(path: Path | None) -> dict[str, Any]:
    chosen: dict[str, Any] = {"units": None, "recipe": path is None, **{table: {} for table in _TABLES}}
    if path is None:
        return chosen
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CounterfactoryError(
            f"the settings in '{path}' cannot be read",
            given=f"{type(error).__name__}: {error}",
            expected="a TOML file with the tables [system] and [train]",
            hint="counterfactory train SYSTEM --help lists what may stand there",
        ) from error
    for table, values in found.items():
        if table not in chosen:
            raise unknown(f"table of '{path}'", table, ("units", *_TABLES))
        if table != "units" and not isinstance(values, dict):
            raise CounterfactoryError(
                f"'{table}' of '{path}' is no table", given=values, expected=f"[{table}]", hint="name = value below it"
            )
        chosen[table] = values
    return chosen


def _fit(
    system: str, source: Any, options: dict[str, Any], units: int | None, chosen: dict[str, Any], again: str
) -> Answer:
    from counterfactory import runs

    plan = runs.plan(
        system,
        source,
        units=units,
        system_settings=chosen["system"],
        train=chosen["train"],
        recipe=chosen["recipe"],
        command=again,
    )
    out, world = options["out"], options["world"]
    told = f"units of {source.name}" if world is not None else f"pictures in {options['data']}"
    say(f"{system} on {plan.units} {told}, {plan.train.steps} steps, in {out}")
    model = plan.run(out, half=options["half"])
    given = f"--world {world}" if world is not None else f"--data {options['data']}"
    ask = "do" if hasattr(model, "counterfactual") and world is not None else "traverse"
    hint = f"counterfactory {ask} {out} {given}" + (" --do CAUSE=VALUE" if ask == "do" else "")

    def show(console: Console) -> None:
        console.print(Text(f"trained: {out}"), soft_wrap=True)
        console.print(Text(hint, style="dim"), soft_wrap=True)

    where = {"world": source.name} if world is not None else {"data": str(options["data"])}
    return Answer({"model": str(out), "system": system, **where, "log": str(out / "log.jsonl")}, show)
