"""`counterfactory worlds`: the worlds there are, and pictures of one with do() on it."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from counterfactory.cli.answer import Answer
from counterfactory.cli.parse import parse_do, parse_world, spoken, world_class
from counterfactory.errors import CounterfactoryError
from counterfactory.results.files import write
from counterfactory.results.sheet import picture_path, sheet


def worlds(
    world: Annotated[
        str | None, typer.Argument(help="A world, with options after a colon: pendulum:image_size=64.")
    ] = None,
    do: Annotated[list[str] | None, typer.Option(help="Intervene: cause=value, in raw units; once a cause.")] = None,
    out: Annotated[Path | None, typer.Option(help="Draw the units before and after do() into this PNG file.")] = None,
    n: Annotated[int, typer.Option(min=1, max=64, help="Units to draw.")] = 8,
    seed: Annotated[int, typer.Option(min=0, help="Which units.")] = 0,
) -> Answer:
    """List the worlds, or show one: its causes, its graph, and what do() changes in it."""
    if world is None:
        if do or out:
            raise CounterfactoryError(
                "which world?",
                given="no world",
                expected="a world to intervene on",
                hint="counterfactory worlds pendulum --do angle=30",
            )
        return _list()
    action = parse_do(do or [])
    path = picture_path(out) if out is not None else None
    made = parse_world(world)
    factual = made.sample(n, seed)
    changed = made.counterfactual(factual, action) if action else None
    if path is not None:
        rows = {"as they are": factual.observation}
        if changed is not None:
            rows[spoken(action)] = changed.observation
        write(path, sheet(rows))
    causes = {
        name: {"low": made.ranges[name][0], "high": made.ranges[name][1], "unit": made.units[name]}
        for name in made.graph.nodes
    }

    def show(console: Console) -> None:
        table = Table(
            title=Text(made.name, style="bold"),
            title_justify="left",
            box=None,
            padding=(0, 2, 0, 0),
            header_style="bold",
        )
        for column in (
            "cause",
            "from",
            "to",
            "unit",
            "caused by",
            "mean",
            *(["mean after do()"] if changed is not None else []),
        ):
            table.add_column(column, justify="right" if column in ("from", "to", "mean", "mean after do()") else "left")
        for name, span in causes.items():
            means = [f"{drawn[name].mean():.3g}" for drawn in (factual, changed) if drawn is not None]
            table.add_row(
                name,
                f"{span['low']:g}",
                f"{span['high']:g}",
                str(span["unit"]),
                ", ".join(made.graph.parents(name)),
                *means,
            )
        console.print(table)
        if path is not None:
            console.print(Text(f"written: {path}"), soft_wrap=True)

    data = {
        "world": made.name,
        "causes": causes,
        "edges": [list(edge) for edge in made.graph.edges],
        "do": action,
        "factual": factual.factors.tolist(),
        "counterfactual": None if changed is None else changed.factors.tolist(),
        "out": None if path is None else str(path),
    }
    return Answer(data, show)


def _list() -> Answer:
    from counterfactory.worlds import WORLDS

    found = {}
    for name in WORLDS:
        cls = world_class(name)
        found[name] = {"about": (cls.__doc__ or "").strip().splitlines()[0], "causes": list(cls.ranges)}

    def show(console: Console) -> None:
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
        for column in ("world", "causes", "what it is"):
            table.add_column(column, no_wrap=column == "world")
        for name, facts in found.items():
            table.add_row(name, ", ".join(facts["causes"]), Text(str(facts["about"])))
        console.print(table)

    return Answer({"worlds": found}, show)
