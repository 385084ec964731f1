"""`counterfactory verify`: run the proofs."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from counterfactory.cli.answer import Answer, say
from counterfactory.cli.parse import parse_seeds
from counterfactory.errors import CounterfactoryError


def verify(
    system: Annotated[str | None, typer.Argument(help="A name from `counterfactory systems`.")] = None,
    all_: Annotated[bool, typer.Option("--all", help="Every system that has claims.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="The short form, a minute or two a system.")] = False,
    seeds: Annotated[str, typer.Option(help="The seeds to measure on, with commas.")] = "0,1,2",
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for SYSTEM.json; by default docs/results if it exists, else runs/results; none with --quick."
        ),
    ] = None,
) -> Answer:
    """Measure what a system claims, beside its rival.

    Exit code 1 says that a claim does not hold.
    """
    from counterfactory import claims

    if (system is None) == (not all_):
        raise CounterfactoryError(
            "one system or all?",
            given=f"system {system}, --all" if all_ else "neither",
            expected="the name of a system, or --all",
            hint="counterfactory verify --all",
        )
    numbers = parse_seeds(seeds)
    folder = (
        out
        if out is not None or quick
        else Path("docs/results")
        if Path("docs/results").is_dir()
        else Path("runs/results")
    )
    done, written = [], []
    for slug in claims.available() if system is None else [system]:
        done.append(claims.verify(slug, numbers, quick, progress=partial(_tell, slug)))
        if folder is not None:
            written.append(str(done[-1].save(folder)))
    holds = all(verification.holds for verification in done)

    def show(console: Console) -> None:
        for verification in done:
            verification.report().print(console.file)
        for path in written:
            console.print(Text(f"written: {path}", style="dim"), soft_wrap=True)
        missed = [outcome.claim for verification in done for outcome in verification.outcomes if not outcome.holds]
        console.print(
            Text(f"does not hold: {', '.join(missed)}", style="red")
            if missed
            else Text("every claim holds", style="green")
        )

    return Answer(
        {"claims": [row for v in done for row in v.records()], "holds": holds, "written": written},
        show,
        code=0 if holds else 1,
    )


def _tell(slug: str, line: str) -> None:
    say(f"{slug}: {line}")
