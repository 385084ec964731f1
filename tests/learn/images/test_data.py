"""Pictures and labels from a folder, arrays, a data set or a world; and every way in which they can be bad."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset, Features, Value
from datasets import Image as Picture
from PIL import Image

from counterfactory.errors import CounterfactoryError
from counterfactory.learn.images.autoencoder import Autoencoder, AutoencoderSettings
from counterfactory.learn.images.data import Pictures, load_pictures
from counterfactory.training import TrainSettings, fit
from counterfactory.worlds import load

RNG = np.random.default_rng(0)
EIGHT_BIT = RNG.integers(0, 256, (4, 8, 6, 3), dtype=np.uint8)
AS_TENSOR = torch.from_numpy(EIGHT_BIT).permute(0, 3, 1, 2).float() / 255


def folder(path: Path, pictures: np.ndarray = EIGHT_BIT, rows: list[list[object]] | None = None) -> Path:
    (path / "more").mkdir(parents=True, exist_ok=True)
    for i, picture in enumerate(pictures):
        Image.fromarray(picture).save(path / ("more" if i == 3 else ".") / f"{i}.png")
    (path / "README.txt").write_text("not a picture")
    if rows is not None:
        with (path / "table.csv").open("w", newline="") as lines:
            csv.writer(lines).writerows(rows)
    return path


ROWS = [
    ["file", "hue", "shape"],
    ["2.png", "0.25", "cube"],
    ["0.png", "1", "ball"],
    ["more/3.png", "-3e1", "cone"],
    ["1.png", "7", "cube"],
]


# -- what comes out ----------------------------------------------------------------------------------------------------


def test_a_folder_with_a_table(tmp_path) -> None:
    found = load_pictures(folder(tmp_path, rows=ROWS), table=tmp_path / "table.csv")
    assert torch.equal(found["image"], AS_TENSOR) and found.names == ("hue", "shape")
    assert found["labels"].tolist() == [[1, 0], [7, 2], [0.25, 2], [-30, 1]]  # in the order of the files
    assert found.categories == {"shape": ("ball", "cone", "cube")}
    some = load_pictures(str(tmp_path), table=str(tmp_path / "table.csv"), columns=["shape"])
    assert some.names == ("shape",) and some["labels"].shape == (4, 1)


def test_a_folder_without_a_table_has_no_labels(tmp_path) -> None:
    found = load_pictures(folder(tmp_path))
    assert found["labels"].shape == (4, 0) and found.names == ()


def test_grey_pictures_stay_grey_unless_one_has_colour(tmp_path) -> None:
    folder(tmp_path, EIGHT_BIT[..., 0])
    assert torch.equal(load_pictures(tmp_path)["image"], AS_TENSOR[:, :1])
    Image.fromarray(EIGHT_BIT[1]).save(tmp_path / "1.png")
    mixed = load_pictures(tmp_path)["image"]
    assert torch.equal(mixed[1], AS_TENSOR[1]) and torch.equal(mixed[0], AS_TENSOR[0, :1].expand(3, -1, -1))


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (EIGHT_BIT, AS_TENSOR),
        (EIGHT_BIT.transpose(0, 3, 1, 2).astype(np.int64), AS_TENSOR),
        (EIGHT_BIT[..., 0], AS_TENSOR[:, :1]),
        (AS_TENSOR, AS_TENSOR),
        (np.concatenate([EIGHT_BIT, EIGHT_BIT[..., :1]], -1), AS_TENSOR),  # an alpha channel is left out
        ((EIGHT_BIT > 127).astype(np.uint8), (AS_TENSOR > 0.5).float()),  # masks of 0 and 1
        (EIGHT_BIT[..., 0] > 127, (AS_TENSOR[:, :1] > 0.5).float()),
    ],
)
def test_arrays_of_any_layout(array, expected: torch.Tensor) -> None:
    found = load_pictures({"image": array, "x": np.arange(4)})
    assert torch.equal(found["image"], expected) and found["labels"][:, 0].tolist() == [0, 1, 2, 3]


def test_labels_of_a_dict() -> None:
    labels = {"name": ["b", "a", "b", "c"], "place": np.arange(8.0).reshape(4, 2), "on": [True, False, True, True]}
    found = load_pictures({"pixels": EIGHT_BIT, **labels}, image="pixels")
    assert found.names == ("name", "place.0", "place.1", "on")
    assert found["labels"].tolist() == [[1, 0, 1, 1], [0, 2, 3, 0], [1, 4, 5, 1], [2, 6, 7, 1]]


def test_a_data_set_of_pictures() -> None:
    features = Features({"image": Picture(), "kind": ClassLabel(names=["z", "a"]), "y": Value("float64")})
    rows = {"image": [Image.fromarray(p) for p in EIGHT_BIT], "kind": [0, 1, 1, 0], "y": [0.5, 1.5, 2.5, 3.5]}
    found = load_pictures(Dataset.from_dict(rows, features=features))
    assert torch.equal(found["image"], AS_TENSOR) and found.names == ("kind", "y")
    assert found["labels"].tolist() == [[1, 0.5], [0, 1.5], [0, 2.5], [1, 3.5]]
    assert found.categories == {"kind": ("a", "z")}


def test_a_world_and_its_data_set_are_the_same_pictures() -> None:
    world = load("pendulum", image_size=16)
    drawn = load_pictures(world, n=5, seed=3)
    assert drawn.names == world.graph.nodes
    assert all(torch.equal(drawn[key], value) for key, value in world.tensors(5, seed=3).items())
    exported = load_pictures(world.dataset(5, seed=3))
    assert exported.names == drawn.names and torch.allclose(exported["labels"], drawn["labels"])
    assert torch.allclose(exported["image"], drawn["image"], atol=0.5 / 255 + 1e-6)


def test_resizing_keeps_means_and_range(tmp_path) -> None:
    folder(tmp_path, EIGHT_BIT)
    Image.fromarray(EIGHT_BIT[0, :5]).save(tmp_path / "0.png")
    found = load_pictures(tmp_path, size=4)
    assert found["image"].shape == (4, 3, 4, 4)
    halved = load_pictures({"image": AS_TENSOR}, size=(4, 3))["image"]
    assert halved.shape == (4, 3, 4, 3)
    assert torch.allclose(halved.mean((2, 3)), AS_TENSOR.mean((2, 3)), atol=0.06)
    flat = load_pictures({"image": np.full((2, 8, 8), 77, np.uint8)}, size=5)["image"]
    assert torch.equal(flat, torch.full((2, 1, 5, 5), 77 / 255))


def test_a_learner_trains_on_it_as_it_is(tmp_path) -> None:
    data = load_pictures(folder(tmp_path / "data"), size=8)
    assert isinstance(data, Pictures)
    model = Autoencoder(AutoencoderSettings(image_shape=(3, 8, 8), channels=(4,), latent_dim=2, hidden=(4,)))
    fit(model, data, TrainSettings(steps=2, batch_size=2), tmp_path / "out", progress=False)
    assert model.latents(data["image"]).shape == (4, 2)


# -- what is refused ---------------------------------------------------------------------------------------------------


def refused(words: str, *args, **named) -> CounterfactoryError:
    with pytest.raises(CounterfactoryError, match=words) as error:
        load_pictures(*args, **named)
    assert all(error.value.parts().values())
    return error.value


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (ROWS[:-1], "'1.png' has no line"),
        ([*ROWS, ["9.png", "1", "cube"]], "'9.png' has no picture"),
        ([*ROWS, ["0.png", "1", "cube"]], "two lines for '0.png'"),
        ([*ROWS[:-1], ["1.png", "7"]], "line 5 of .* is broken"),
        ([*ROWS[:-1], ["1.png", "", "cube"]], "label of 'hue' is missing"),
        ([*ROWS[:-1], ["1.png", "nan", "cube"]], "label of 'hue' is missing"),
        ([*ROWS[:-1], ["1.png", "red", "cube"]], "label of 'hue' is missing"),
        ([*ROWS[:-1], ["1.png", "7", ""]], "label of 'shape' is missing"),
    ],
)
def test_a_table_that_does_not_fit(tmp_path, rows, words: str) -> None:
    refused(words, folder(tmp_path, rows=rows), table=tmp_path / "table.csv")


def test_the_missing_row_is_named(tmp_path) -> None:
    rows = [*ROWS[:-1], ["1.png", "inf", "cube"]]
    error = refused("hue", folder(tmp_path, rows=rows), table=tmp_path / "table.csv")
    assert "row 1" in error.given and "inf" in error.given


def test_files_that_are_bad(tmp_path) -> None:
    refused("no pictures in", tmp_path / "nowhere")
    folder(tmp_path)
    refused("table .* cannot be read", tmp_path, table=tmp_path / "none.csv")
    (tmp_path / "0.png").write_bytes(b"nothing of the kind")
    refused("0.png' cannot be read as a picture", tmp_path)
    whole = (tmp_path / "1.png").read_bytes()
    (tmp_path / "0.png").write_bytes(whole[: len(whole) // 2])
    refused("0.png' cannot be read as a picture", tmp_path)
    Image.fromarray(np.zeros((8, 6), np.uint16)).save(tmp_path / "0.png")
    refused("0.png' is not an 8-bit picture", tmp_path)
    Image.fromarray(EIGHT_BIT[0, :5]).save(tmp_path / "0.png")
    assert "0.png" in refused("several sizes", tmp_path).given


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ({"image": EIGHT_BIT, "x": [1, 2, 3]}, "'x' has another length"),
        ({"image": EIGHT_BIT, "x": [1, None, 3, 4]}, "'x' is missing"),
        ({"image": EIGHT_BIT, "x": np.zeros((4, 2, 2))}, "'x' is no label"),
        ({"image": np.zeros((2, 3)), "x": [1, 2]}, "is no picture"),
        ({"image": np.zeros((0, 8, 8))}, "there are no pictures"),
        ({"image": np.full((2, 8, 8), np.nan)}, "out of range"),
        ({"image": np.full((2, 8, 8), 1.5)}, "out of range"),
        ({"image": np.full((2, 8, 8), -1)}, "out of range"),
        ({"image": np.full((2, 8, 8), 300)}, "out of range"),
        ({"pixels": EIGHT_BIT}, "unknown column of pictures"),
        ([1, 2], "cannot be read from this"),
    ],
)
def test_arrays_that_are_bad(source, words: str) -> None:
    refused(words, source)


def test_questions_that_make_no_sense() -> None:
    refused("did you mean 'hue'", {"image": EIGHT_BIT, "hue": np.arange(4)}, columns=["hu"])
    refused("a table belongs to a folder", {"image": EIGHT_BIT}, table="table.csv")
    refused("unknown column of pictures", Dataset.from_dict({"x": [1.0]}))
