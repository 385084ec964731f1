"""`counterfactory systems`: what there is."""

from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from counterfactory import catalogue
from counterfactory.cli.answer import Answer


def systems(
    search: Annotated[
        str | None, typer.Option(help="What you want to do, in words; the nearest systems come first.")
    ] = None,
    room: Annotated[str | None, typer.Option(help=f"One room only: {', '.join(catalogue.ROOMS)}.")] = None,
) -> Answer:
    """List the systems."""
    chosen = catalogue.which(room=room)
    scores: dict[str, float] = {}
    if search is not None:
        found = [(card, score) for card, score in catalogue.search(search, k=len(catalogue.CARDS)) if card in chosen]
        chosen, scores = [card for card, _ in found], {card.slug: round(score, 4) for card, score in found}

    def show(console: Console) -> None:
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
        for column in ("system", "room", "paper", "what it does", *(["nearness"] if scores else [])):
            table.add_column(
                column,
                justify="right" if column == "nearness" else "left",
                no_wrap=column in ("system", "room", "paper"),
            )
        for card in chosen:
            table.add_row(
                card.slug, card.room, card.month, Text(card.summary), *([f"{scores[card.slug]:.2f}"] if scores else [])
            )
        console.print(table)
        console.print("more of one: counterfactory explain SYSTEM", style="dim")

    records: list[dict[str, Any]] = [
        card.to_dict() | ({"score": scores[card.slug]} if scores else {}) for card in chosen
    ]
    return Answer({"systems": records}, show)
