"""`counterfactory judge`: ask a language model the questions of a benchmark, whose settings are the options."""

import inspect
import os
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from counterfactory import catalogue
from counterfactory.catalogue.card import load
from counterfactory.cli.answer import Answer, say
from counterfactory.cli.options import FieldOptions, parameter, sign
from counterfactory.errors import unknown

_Model = Annotated[str, typer.Argument(help="Folder or Hub name of a language model; with --url, its name there.")]
_Url = Annotated[str | None, typer.Option(help="Server that speaks the OpenAI protocol, up to and without /chat.")]
_Mode = Annotated[
    str | None, typer.Option(help="loglikelihood, generate or choice_logits; by default the first the model can do.")
]
_Style = Annotated[str, typer.Option(help="How items are put: direct, tagged, steps, letters or letters_steps.")]
_Limit = Annotated[int | None, typer.Option(min=1, help="So many items, drawn by the seed.")]
_Asked = Annotated[int, typer.Option("--ask-seed", min=0, help="Of the drawn items and answers, and the intervals.")]
_Out = Annotated[
    Path | None, typer.Option(help="Folder for answers and report; after a kill the same command goes on in it.")
]
_Export = Annotated[Path | None, typer.Option(help="Also write the items as a task of lm-evaluation-harness, here.")]
_KEY = "OPENAI_API_KEY"


def judge() -> Answer:
    """Ask a language model a benchmark: `counterfactory judge SYSTEM --help` lists its settings."""
    known = benchmarks()

    def show(console: Console) -> None:
        for slug in known:
            console.print(Text(f"counterfactory judge {slug} MODEL    {catalogue.get(slug).summary}"), soft_wrap=True)

    return Answer({"systems": known}, show)


def benchmarks() -> list[str]:
    """Systems of the room judge that bring their own questions."""
    from counterfactory.judge.benchmark import Benchmark

    cards = catalogue.which(have=["language model"], room="judge")
    return [card.slug for card in cards if issubclass(card.load(), Benchmark)]


def for_args(args: Sequence[str]) -> Callable[..., Answer]:
    """The command for `judge SYSTEM ...`, with the settings of that benchmark; without one, the list of benchmarks.

    Raises:
        CounterfactoryError: no benchmark has that name.
    """
    after = args[args.index("judge") + 1 :] if "judge" in args else []
    if not after or after[0].startswith("-"):
        return judge
    if after[0] not in benchmarks():
        raise unknown("benchmark", after[0], benchmarks())
    return _command(after[0], shlex.join(["counterfactory", *(arg for arg in args if arg != "--json")]))


def _command(system: str, again: str) -> Callable[..., Answer]:
    card = catalogue.get(system)
    settings: Any = load(card.settings)
    own: dict[str, tuple[Any, Any]] = {
        "url": (_Url, None),
        "mode": (_Mode, None),
        "style": (_Style, "direct"),
        "limit": (_Limit, None),
    }
    own |= {"ask_seed": (_Asked, 0), "out": (_Out, None), "export": (_Export, None)}
    fields = FieldOptions({"system": settings}, taken=("system", "model", *own))
    none = inspect.Parameter.empty
    parameters = [
        parameter("system", Annotated[str, typer.Argument(help="The benchmark.")], none),
        parameter("model", _Model, none),
        *(parameter(name, *facts) for name, facts in own.items()),
        *fields.parameters,
    ]

    def run(**options: Any) -> Answer:
        from counterfactory.judge import backends, export

        asker = load(card.target)(settings.from_dict(fields.read(options)["system"]))
        items = asker.items()
        if options["export"] is not None:
            tasks = export.lm_eval(items, options["export"], style=options["style"])
            say(f"lm-eval run --include_path {options['export']} --tasks {','.join(tasks)}")
        url, name = options["url"], options["model"]
        model = backends.openai(url, name, api_key=os.environ.get(_KEY)) if url else backends.hf(name)
        say(f"{len(items)} items in {items.n_groups} groups")
        how = {key: options[key] for key in ("mode", "style", "limit", "out") if options[key] is not None}
        found = asker.run(model, items, seed=options["ask_seed"], command=again, **how)

        def show(console: Console) -> None:
            found.print(console.file)

        return Answer({"report": found.report.to_dict()}, show)

    sign(run, parameters)
    run.__doc__ = f"Ask: {card.title}.\n\n{card.summary} {card.cost} A key for --url is read from {_KEY}."
    return run
