"""`counterfactory traverse`: one picture with each latent of a trained model moved through its range."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from counterfactory.cli.answer import Answer
from counterfactory.cli.source import DataOption, SizeOption, WorldOption, read_source
from counterfactory.errors import CounterfactoryError
from counterfactory.results.files import write
from counterfactory.results.sheet import picture_path, sheet


def traverse(
    model: Annotated[str, typer.Argument(help="Folder, Hub repository, or name of a shipped model.")],
    world: WorldOption = None,
    data: DataOption = None,
    size: SizeOption = None,
    row: Annotated[int, typer.Option(min=0, help="Which picture of the folder, or which seed of the world.")] = 0,
    out: Annotated[Path, typer.Option(help="PNG file for the pictures, one row a latent.")] = Path("traverse.png"),
) -> Answer:
    """Draw a sheet of traversals: what each latent of a trained model does to a picture."""
    from counterfactory.runs import load_model
    from counterfactory.worlds import World

    path = picture_path(out)
    source = read_source(world, data, None, size)
    pictures = source.sample(1, seed=row).observation if isinstance(source, World) else source["image"][row : row + 1]
    if not len(pictures):
        raise CounterfactoryError(
            "there is no such picture",
            given=f"--row {row}",
            expected=f"0 to {len(source['image']) - 1}",
            hint="pictures are counted in the order of their names",
        )
    asked = load_model(model)
    if not hasattr(asked, "traverse"):
        raise CounterfactoryError(
            "this model has no latents to move",
            given=type(asked).__name__,
            expected="a model with traverse(x, latent)",
            hint="counterfactory do asks models that make counterfactuals",
        )
    latents = range(asked.settings.latent_dim)
    write(path, sheet({f"latent {j}": asked.traverse(pictures, j) for j in latents}))

    def show(console: Console) -> None:
        console.print(Text(f"written: {path}"), soft_wrap=True)

    return Answer({"out": str(path), "latents": len(latents)}, show)
