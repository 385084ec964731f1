"""What users type is read strictly."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from counterfactory.cli.parse import parse_do, parse_seeds, parse_value, parse_world
from counterfactory.errors import CounterfactoryError
from counterfactory.results.sheet import sheet


def test_interventions() -> None:
    assert parse_do(["angle=30", "shadow_length=-1.5e1"]) == {"angle": 30.0, "shadow_length": -15.0}
    assert parse_do([]) == {}


@pytest.mark.parametrize(
    "text",
    [
        "angle",
        "angle=",
        "=3",
        "angle==3",
        "angle =3",
        "angle= 3",
        "angle=3=4",
        "angle=x",
        "angle=nan",
        "angle=inf",
        "3=angle",
        "angle=1,2",
        "",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(CounterfactoryError, match="--do cannot be read") as error:
        parse_do([text])
    assert error.value.hint == "--do angle=30"


@pytest.mark.parametrize("second", ["a=2", "a=1"])
def test_one_cause_twice_is_refused(second: str) -> None:
    with pytest.raises(CounterfactoryError, match="two interventions on 'a'"):
        parse_do(["a=1", "b=2", second])


@pytest.mark.parametrize(
    ("text", "hint", "value"),
    [
        ("8", int, 8),
        ("1e-3", float, 0.001),
        ("masked", str, "masked"),
        ("false", bool, False),
        ("32, 64,64", tuple[int, ...], (32, 64, 64)),
        ("", tuple[int, ...], ()),
        ("3,32,32", tuple[int, int, int], (3, 32, 32)),
        ("a>b,c>d", tuple[tuple[str, str], ...], (("a", "b"), ("c", "d"))),
        ("none", float | None, None),
        ("2", int | None, 2),
    ],
)
def test_values_of_settings(text: str, hint: object, value: object) -> None:
    found = parse_value(text, hint, "--x")
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "hint", "expected"),
    [
        ("8.5", int, "whole number"),
        ("yes", bool, "true or false"),
        ("3,32", tuple[int, int, int], "3 whole numbers with commas between"),
        ("a,b", tuple[tuple[str, str], ...], "pairs such as a>b,c>d"),
        ("a>b>c", tuple[tuple[str, str], ...], "pairs such as a>b,c>d"),
        ("x", float | None, "number, or none"),
    ],
)
def test_values_of_the_wrong_kind_say_what_is_expected(text: str, hint: object, expected: str) -> None:
    with pytest.raises(CounterfactoryError, match="--x cannot be read") as error:
        parse_value(text, hint, "--x")
    assert error.value.expected == expected
    parse_value(error.value.hint.removeprefix("--x="), hint, "--x")  # what it says to try is readable


def test_seeds() -> None:
    assert parse_seeds("101,102") == (101, 102)


def test_worlds_with_options() -> None:
    world = parse_world("pendulum:image_size=16,shadow_noise=0.5")
    assert world.sample(2).observation.shape == (2, 3, 16, 16)
    for text, words in (
        ("pendulm", "did you mean 'pendulum"),
        ("pendulum:size=3", "unknown option"),
        ("pendulum:16", "cannot be read"),
        ("pendulum:image_size=x", "cannot be read"),
    ):
        with pytest.raises(CounterfactoryError, match=words):
            parse_world(text)


def test_the_sheet_shows_every_picture_pixel_by_pixel() -> None:
    pictures = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    image = np.asarray(Image.open(io.BytesIO(sheet({"one": pictures, "two": 1 - pictures}))))
    # 8 pixels are enlarged 12 times; rows start below a line of text of 14 pixels, all with gaps of 4
    for row, expected in enumerate((pictures, 1 - pictures)):
        top = 4 + row * (14 + 4 + 96 + 4) + 18
        for i in range(3):
            block = image[top : top + 96 : 12, 4 + i * 100 : 4 + i * 100 + 96 : 12]
            assert np.abs(block / 255 - expected[i].permute(1, 2, 0).numpy()).max() < 1 / 255
    assert len(np.unique(image[4:18])) > 1  # the title is written
    with pytest.raises(CounterfactoryError, match="no sheet"):
        sheet({"one": pictures, "two": pictures[:2]})
    with pytest.raises(CounterfactoryError, match="no sheet"):
        sheet({"one": pictures[:, :2]})
