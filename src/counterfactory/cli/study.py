"""`counterfactory study`: a grid of systems, worlds, seeds and metrics, from a TOML file or the command line."""

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from counterfactory.cli.answer import Answer
from counterfactory.cli.parse import parse_seeds
from counterfactory.errors import CounterfactoryError
from counterfactory.results import Reproduce


def study(
    file: Annotated[Path | None, typer.Argument(help="TOML file with systems, worlds, seeds and settings.")] = None,
    systems: Annotated[str | None, typer.Option(help="Systems, with commas; instead of a file.")] = None,
    worlds: Annotated[str | None, typer.Option(help="Worlds, with commas.")] = None,
    seeds: Annotated[str, typer.Option(help="Seeds, with commas.")] = "0,1,2",
    metrics: Annotated[str | None, typer.Option(help="Metrics, with commas; by default all.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Training steps; by default those of the recipes.")] = None,
    points: Annotated[int, typer.Option(min=60, help="Held-out units that are scored.")] = 10000,
    out: Annotated[Path, typer.Option(help="Folder; the same command goes on in it after a kill.")] = Path(
        "runs/study"
    ),
    engine: Annotated[str, typer.Option(help="local: processes here. ray: a Ray cluster.")] = "local",
    workers: Annotated[int | None, typer.Option(min=1, help="Runs at a time; by default the cores there are.")] = None,
    address: Annotated[str | None, typer.Option(help="Address of a Ray cluster; else one is started here.")] = None,
) -> Answer:
    """Train and score every system on every world with every seed; what is done is never done twice."""
    from rich.progress import MofNCompleteColumn, Progress

    from counterfactory.study import Study, run, summarise
    from counterfactory.study.plan import Grid

    if (file is None) == (systems is None or worlds is None):
        raise CounterfactoryError(
            "which study?",
            given=f"file {file}, --systems {systems}, --worlds {worlds}",
            expected="a TOML file, or --systems and --worlds",
            hint="counterfactory study --systems vae,beta_vae --worlds sprites",
        )
    if file is not None:
        plan = Study.load(file)
    else:
        fields: dict[str, Any] = {"systems": _words(systems), "worlds": _words(worlds), "metrics": _words(metrics)}
        grid = Grid.from_dict({**fields, "seeds": parse_seeds(seeds), "points": points})
        plan = Study(grid, train={"steps": steps} if steps else {})
    console = Console(stderr=True)
    with Progress(*Progress.get_default_columns(), MofNCompleteColumn(), console=console) as bar:
        task = bar.add_task("runs", total=len(plan.cells()))

        def told(done: int, total: int, what: str) -> None:
            bar.update(task, completed=done, total=total)
            bar.console.print(Text(what, style="dim"))

        failed = run(plan, out, engine=engine, workers=workers, address=address, progress=told)
    given = (
        [str(file)] if file else ["--systems", systems, "--worlds", worlds, "--seeds", seeds, "--points", str(points)]
    )
    given += [*(["--metrics", metrics] if metrics else []), *(["--steps", str(steps)] if steps else [])]
    again = shlex.join(["counterfactory", "study", *map(str, given), "--out", str(out)])
    report = replace(summarise(plan, out), reproduce=Reproduce(again, plan.grid.seeds))
    report.html(out / "report.html")
    report.save(out / "report.json")
    wrong = [f"{cell.system} on {cell.world}, seed {cell.seed}: {error}" for cell, error in failed]

    def show(console: Console) -> None:
        report.print(console.file)
        for line in wrong:
            console.print(Text(f"failed: {line}", style="red"), soft_wrap=True)
        console.print(Text(f"written: {out / 'report.html'}, {out / 'results.parquet'}"), soft_wrap=True)

    data = {"out": str(out), "runs": len(plan.cells()), "failed": wrong, "report": str(out / "report.json")}
    return Answer(data, show, code=1 if wrong else 0)


def _words(text: str | None) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",")) if text else ()
