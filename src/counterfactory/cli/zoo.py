"""`counterfactory zoo`: the models that ship with the package, and one that is converted from another package."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from counterfactory.cli.answer import Answer, say
from counterfactory.errors import unknown

_CACHE = "Folder of the converted model, 1.1 GB; by default counterfactory/gemma3-270m in the user's cache."


def zoo(
    name: Annotated[str | None, typer.Argument(help="gemma: convert Gemma 3 270M once, unless that is done.")] = None,
    cache: Annotated[Path | None, typer.Option(help=_CACHE)] = None,
) -> Answer:
    """List the models that ship with the package; `zoo gemma` makes a real language model ready to load in seconds."""
    if name is None:
        from counterfactory.zoo import shipped

        names = ["mini_lm", *shipped()]
        return Answer({"shipped": names}, lambda console: console.print(Text("\n".join(names))))
    if name != "gemma":
        raise unknown("model to convert", name, ["gemma"])
    from counterfactory.zoo import gemma

    folder = gemma.default_cache() if cache is None else cache
    ready = (folder / "model.safetensors").exists()
    if not ready:
        say("converting, about a minute and 4 GB of memory")
        gemma.convert(folder)

    def show(console: Console) -> None:
        what = "is there already" if ready else "is converted"
        console.print(Text(f"Gemma 3 270M {what}: {folder}"), soft_wrap=True)
        console.print(Text(f"counterfactory trace {folder} 'The capital of Japan is' --subject Japan"), soft_wrap=True)

    return Answer({"folder": str(folder), "converted": not ready}, show)
