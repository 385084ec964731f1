"""`counterfactory score`: every disentanglement metric of a trained model's latents, with intervals and controls."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from counterfactory.cli.answer import Answer, say
from counterfactory.cli.source import DataOption, SizeOption, TableOption, WorldOption, given_options, read_source
from counterfactory.errors import CounterfactoryError
from counterfactory.results import Reproduce


def score(
    model: Annotated[str, typer.Argument(help="Folder, Hub repository, or name of a shipped model.")],
    world: WorldOption = None,
    data: DataOption = None,
    table: TableOption = None,
    size: SizeOption = None,
    metrics: Annotated[str, typer.Option(help="Metrics, with commas between them, or all.")] = "all",
    n: Annotated[int, typer.Option(min=60, help="Held-out units of the world to score on.")] = 10_000,
    mode: Annotated[str, typer.Option(help="fast, or reference: the slow estimator of DCI that papers used.")] = "fast",
    seed: Annotated[int, typer.Option(min=0, help="Of the units, the split and the estimators.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Folder to save the report in.")] = None,
) -> Answer:
    """Score what the latents of a trained model say of the factors of pictures."""
    from counterfactory.judge import scorecard
    from counterfactory.runs import load_model
    from counterfactory.study.cell import encode
    from counterfactory.worlds import World

    source = read_source(world, data, table, size)
    if isinstance(source, World):
        units = source.held_out().sample(n, seed)
        pictures, factors, names = units.observation, units.factors, units.names
    else:
        pictures, factors, names = source["image"], source["labels"], source.names
    if not names:
        raise CounterfactoryError(
            "there are no factors to score against",
            given=f"--data {data} without a table",
            expected="a CSV file with one column a factor",
            hint="--table labels.csv",
        )
    asked = load_model(model)
    say(f"encoding {len(pictures)} pictures")
    found = scorecard(
        encode(asked, pictures),
        factors,
        names=names,
        metrics=metrics if metrics == "all" else metrics.split(","),
        discrete=getattr(asked, "discrete", False),
        mode=mode,
        seed=seed,
    )
    words = ["counterfactory", "score", model]
    for name, value in (*given_options(world, data, table, size).items(), ("metrics", metrics), ("mode", mode)):
        words += [f"--{name}", value]
    report = replace(found, reproduce=Reproduce(shlex.join([*words, "--n", str(n), "--seed", str(seed)]), (seed,)))
    if out is not None:
        report.save(out / "report.json")

    def show(console: Console) -> None:
        replace(report, rows=brief(found.rows), controls=brief(found.controls)).print(console.file)

    return Answer({"report": report.to_dict()}, show)


def brief(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Estimators by name alone; report.json has their settings.

    Example:
        >>> brief([{"score": "SAP", "estimator": "LinearSVC(C=0.01)"}])
        [{'score': 'SAP', 'estimator': 'LinearSVC'}]
    """
    return [{**row, "estimator": str(row["estimator"]).split("(")[0]} for row in rows]
