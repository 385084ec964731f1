"""`counterfactory demo`: the main job from end to end, on real handwritten digits."""

import shlex
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from counterfactory.cli.answer import Answer, say
from counterfactory.cli.parse import spoken

if TYPE_CHECKING:
    from counterfactory.results import Figure, Report
    from counterfactory.worlds import Sample, World

SYSTEM = "causal_diffae"


def demo(
    train: Annotated[bool, typer.Option("--train", help="Train the model from nothing first, by its recipe.")] = False,
    world: Annotated[str, typer.Option(help="A world with a shipped model: morpho_digits or pendulum.")] = (
        "morpho_digits"
    ),
    n: Annotated[int, typer.Option(min=16, help="Pictures to score, none of which the model was trained on.")] = 64,
    seed: Annotated[int, typer.Option(min=0, help="Which pictures, and which values are asked for.")] = 2026,
    steps: Annotated[int, typer.Option(min=1, help="Sampling steps of the model, each way.")] = 25,
    out: Annotated[Path, typer.Option(help="Folder for the page, and with --train for the model.")] = Path("demo"),
) -> Answer:
    """Show pictures, the same pictures had a cause been different, the truth, and how far off the model is."""
    from rich.progress import Progress, SpinnerColumn

    from counterfactory import runs, zoo
    from counterfactory.judge import counterfactual_scores, error_table
    from counterfactory.results import Reproduce
    from counterfactory.worlds import load

    start = time.perf_counter()
    made = load(world)
    if train:
        plan = runs.plan(SYSTEM, made, command=shlex.join(["counterfactory", "demo", "--train", "--world", world]))
        say(f"training {SYSTEM} on {plan.units} units of {world}, {plan.train.steps} steps, in {out / 'model'}")
        model: Any = plan.run(out / "model")
    else:
        model = runs.load_model(zoo.weights(f"{SYSTEM}/{world}"))
    unseen = made.held_out()
    options = {"steps": steps}
    with Progress(
        SpinnerColumn(), *Progress.get_default_columns(), console=Console(stderr=True), transient=True
    ) as bar:
        task = bar.add_task(f"{n} pictures, every cause in turn", total=len(made.graph.nodes))
        full = counterfactual_scores(
            model,
            unseen,
            n=n,
            seed=seed,
            options=options,
            cycles=(),
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    again = shlex.join(
        ["counterfactory", "demo", *(["--train"] if train else []), "--world", world]
        + [
            word
            for key, value in {"n": n, "seed": seed, "steps": steps, "out": out}.items()
            for word in (f"--{key}", str(value))
        ]
    )
    short = error_table(full, made.graph)
    seen = "of the test split, which no training has seen" if unseen is not made else "drawn with a seed of their own"
    shown = unseen.sample(10, seed=seed + 1)
    code = model.abduct(shown.observation, **options)
    back = (model.counterfactual(shown.observation, {}, code=code, **options) - shown.observation).abs().mean()
    notes = [
        f"{n} pictures of the world '{world}', {seen}; ten others are shown below.",
        f"With nothing changed, the model gives those ten back with a mean error of {back:.3f} a pixel.",
        *short.notes,
    ]
    figures = [*_pictures(model, unseen, shown, code, steps), *_charts(made, short)]
    title = f"Had one cause been different: {SYSTEM} on {world}"
    report = replace(short, title=title, notes=notes, figures=figures, reproduce=Reproduce(again, (seed,)))
    page = out / "index.html"
    report.html(page)
    full.save(out / "scores.json")
    took = time.perf_counter() - start

    def show(console: Console) -> None:
        report.print(console.file)
        console.print(Text(f"written: {page}, and every score in {out / 'scores.json'}; {took:.0f} s"), soft_wrap=True)

    return Answer({"page": str(page), "seconds": round(took, 1), "report": full.to_dict()}, show)


def _pictures(model: Any, world: "World", units: "Sample", code: Any, steps: int) -> list["Figure"]:
    """One sheet a cause: pictures as they are, by the model, in truth; the value is one that is high for the cause."""
    from counterfactory.results import Figure
    from counterfactory.results.sheet import sheet

    found = []
    for name in world.graph.nodes:
        action = {name: float(f"{_high(world, units, name):.3g}")}
        truth = world.counterfactual(units, action)
        drawn = model.counterfactual(units.observation, action, code=code, steps=steps)
        scans = {"as it was written (scan)": world.scans(units)} if hasattr(world, "scans") else {}
        rows = scans | {"factual: the unit as it is": units.observation}
        rows |= {f"{spoken(action)}, by the model": drawn, f"{spoken(action)}, in truth": truth.observation}
        words = f"Ten pictures of {world.name} in rows: {', '.join(rows)}."
        found.append(Figure(f"{spoken(action)} {world.units[name]}", words, sheet(rows)))
    return found


def _high(world: "World", units: "Sample", name: str) -> float:
    low, high = world.ranges[name]
    mean, spread = units[name].mean(), units[name].std()
    return float((mean + 1.8 * spread).clamp(low, high))


def _charts(world: "World", short: "Report") -> list["Figure"]:
    """The graph of causes, and how far off each intervened cause and the whole picture are."""
    from counterfactory.results.charts import bar_chart, graph_chart

    causes = list(world.graph.nodes)
    asked = [row for row in short.rows if str(row["error of"]).endswith("(asked)")]
    series = {answer: [row[answer] for row in asked] for answer in ("model", "nothing changed", "true counterfactual")}
    return [
        graph_chart("What causes what", causes, world.graph.edges),
        bar_chart("Error of the cause that was asked for", [f"do({name})" for name in causes], series, "half-ranges"),
    ]
