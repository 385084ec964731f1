"""Where pictures come from on the command line: a world by name, or a folder of one's own with a table of labels."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Union

import typer

from counterfactory.cli.parse import parse_world
from counterfactory.errors import CounterfactoryError

if TYPE_CHECKING:
    from counterfactory.learn.images.data import Pictures
    from counterfactory.worlds import World

WorldOption = Annotated[str | None, typer.Option(help="A world, with options after a colon: pendulum:image_size=64.")]
DataOption = Annotated[Path | None, typer.Option(help="Instead of a world: a folder of pictures of your own.")]
TableOption = Annotated[
    Path | None,
    typer.Option(help="Labels of these pictures: a CSV file with a line of names; the first column names the file."),
]
SizeOption = Annotated[int | None, typer.Option(min=4, help="Resize these pictures to this side, in pixels.")]


def read_source(
    world: str | None, data: Path | None, table: Path | None, size: int | None
) -> Union["World", "Pictures"]:
    """The world, or the pictures and labels.

    Raises:
        CounterfactoryError: neither or both are given, labels without pictures, or what reading them raises.
    """
    if (world is None) == (data is None) or (data is None and (table or size)):
        raise CounterfactoryError(
            "pictures come from a world or from a folder",
            given=" ".join(f"--{k} {v}" for k, v in given_options(world, data, table, size).items()) or "neither",
            expected="--world NAME, or --data FOLDER and, where labels are needed, --table CSV",
            hint="counterfactory worlds lists the worlds",
        )
    if world is not None:
        return parse_world(world)
    from counterfactory.learn.images.data import load_pictures

    return load_pictures(data, table=table, size=size)


def given_options(world: str | None, data: Path | None, table: Path | None, size: int | None) -> dict[str, str]:
    """What was given, by option."""
    given = {"world": world, "data": data, "table": table, "size": size}
    return {name: str(value) for name, value in given.items() if value is not None}
