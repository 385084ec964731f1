"""`counterfactory do`: counterfactual pictures by a trained model, beside the truth of the world it learned from."""

import inspect
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from counterfactory.cli.answer import Answer, say
from counterfactory.cli.parse import parse_do, parse_world, spoken
from counterfactory.errors import CounterfactoryError
from counterfactory.results import Report, Reproduce
from counterfactory.results.files import write
from counterfactory.results.sheet import picture_path, sheet

if TYPE_CHECKING:
    from torch import Tensor

    from counterfactory.worlds import Sample, World


def do(
    model: Annotated[
        str, typer.Argument(help="Folder, Hub repository, or shipped model such as causal_diffae/pendulum.")
    ],
    world: Annotated[str, typer.Option(help="The world whose units are changed, with options after a colon.")],
    do: Annotated[list[str], typer.Option(help="Intervene: cause=value, in raw units; once a cause.")],
    out: Annotated[Path, typer.Option(help="PNG file for the pictures: as they are, by the model, in truth.")] = Path(
        "do.png"
    ),
    n: Annotated[int, typer.Option(min=1, max=64, help="Units to change.")] = 8,
    seed: Annotated[int, typer.Option(min=0, help="Which units.")] = 1,
    steps: Annotated[int, typer.Option(min=1, help="Sampling steps of the model.")] = 25,
) -> Answer:
    """Ask a trained model what pictures would have been, and compare with the truth."""
    from counterfactory.runs import load_model

    action, path = parse_do(do), picture_path(out)
    made = parse_world(world)
    made.check(action)
    asked = load_model(model)
    if not hasattr(asked, "counterfactual"):
        raise CounterfactoryError(
            "this model makes no counterfactuals",
            given=type(asked).__name__,
            expected="a model with counterfactual(x, do)",
            hint="counterfactory systems",
        )
    factual = made.sample(n, seed)
    truth = made.counterfactual(factual, action)
    say(f"{n} counterfactuals, {steps} steps each way")
    takes_steps = "steps" in inspect.signature(asked.counterfactual).parameters
    drawn = asked.counterfactual(factual.observation, action, **({"steps": steps} if takes_steps else {}))
    rows = {
        "as they are": factual.observation,
        f"{spoken(action)}, by the model": drawn,
        f"{spoken(action)}, in truth": truth.observation,
    }
    write(path, sheet(rows))
    report = Report(
        f"{spoken(action)}: mean error of each cause, read off {n} pictures",
        _errors(made, factual, drawn, truth),
        notes=[
            "unchanged picture: the error of leaving the picture as it is. reading: the error of reading the truth."
        ],
        reproduce=Reproduce(_command(model, world, do, n=n, seed=seed, steps=steps, out=out), (seed,)),
    )

    def show(console: Console) -> None:
        report.print(console.file)
        console.print(Text(f"written: {path}"), soft_wrap=True)

    return Answer({"out": str(path), "do": action, "report": report.to_dict()}, show)


def _errors(world: "World", factual: "Sample", drawn: "Tensor", truth: "Sample") -> list[dict[str, Any]]:
    """The mean absolute error of each cause with its interval: of the model, and of two controls."""
    from counterfactory.metrics import mean_interval

    columns = {
        "model": world.read(drawn, factual),
        "unchanged picture": factual.factors,
        "reading": world.read(truth.observation, truth),
    }
    wrong = {name: (values - truth.factors).abs().double().numpy() for name, values in columns.items()}
    return [
        {
            "cause": cause,
            **{name: mean_interval(values[:, i]) for name, values in wrong.items()},
            "unit": world.units[cause],
        }
        for i, cause in enumerate(world.graph.nodes)
    ]


def _command(model: str, world: str, do: list[str], **options: Any) -> str:
    words = ["counterfactory", "do", model, "--world", world, *(word for text in do for word in ("--do", text))]
    return shlex.join(words + [word for name, value in options.items() for word in (f"--{name}", str(value))])
