"""`counterfactory explain`: the card of a system, and its settings."""

from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from counterfactory import catalogue
from counterfactory.cli.answer import Answer


def explain(system: Annotated[str, typer.Argument(help="A name from `counterfactory systems`.")]) -> Answer:
    """Show what a system does, needs, costs and proves."""
    card = catalogue.get(system)
    source = f"{card.paper} arXiv {card.arxiv}" if card.arxiv else card.paper
    facts: dict[str, Any] = {
        "paper": source,
        "idea": card.idea.strip(),
        "fails when": card.fails_when,
        "accepts": ", ".join(word + (" (needed)" if word in card.needs else "") for word in card.accepts),
        "gives": ", ".join(card.gives),
        "cost": card.cost,
        "class": card.target,
        "settings": f"counterfactory train {card.slug} --help" if card.room == "learn" else card.settings,
        "proof": f"counterfactory verify {card.slug}",
    }

    def show(console: Console) -> None:
        console.print(Text.assemble((card.title, "bold"), f"  ({card.room}, {card.month})"))
        console.print(Text(card.summary))
        console.print()
        grid = Table.grid(padding=(0, 2))
        for name, fact in facts.items():
            grid.add_row(Text(name, style="bold"), Text(fact))
        for i, (name, line) in enumerate(card.claims.items()):
            grid.add_row(Text("" if i else "claims", style="bold"), Text.assemble((name, "bold"), f": {line}"))
        console.print(grid)

    return Answer(card.to_dict(), show)
