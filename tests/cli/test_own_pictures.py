"""Pictures of one's own on the command line: train, traverse, score."""

import csv
import json
from pathlib import Path

import pytest
from PIL import Image

from counterfactory import runs, zoo
from counterfactory.cli import main
from counterfactory.learn.images.data import load_pictures
from counterfactory.worlds import load


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """90 sprites as PNG files, and labels.csv beside the folder."""
    place = tmp_path_factory.mktemp("own")
    (place / "pictures").mkdir()
    units = load("sprites", image_size=16).sample(90, seed=0)
    with (place / "labels.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file", *units.names])
        for i, (x, row) in enumerate(zip(units.observation, units.factors.tolist(), strict=True)):
            Image.fromarray((x.movedim(0, 2).numpy() * 255).astype("uint8")).save(place / "pictures" / f"{i:02}.png")
            table.writerow([f"{i:02}.png", *row])
    return place


def test_three_commands_give_a_model_a_sheet_and_a_scorecard(folder: Path, tmp_path: Path, capsys) -> None:
    data, table = ["--data", str(folder / "pictures")], ["--table", str(folder / "labels.csv")]
    model, picture = tmp_path / "model", tmp_path / "sheet.png"
    train = ["train", "beta_vae", *data, "--size", "16", "--channels", "8,8", "--latent-dim", "3", "--steps", "3"]
    assert main([*train, "--out", str(model), "--json"]) == 0
    assert main(["traverse", str(model), *data, "--size", "16", "--row", "7", "--out", str(picture), "--json"]) == 0
    capsys.readouterr()
    asked = ["--size", "16", "--metrics", "mig,sap", "--out", str(tmp_path / "score"), "--json"]
    assert main(["score", str(model), *data, *table, *asked]) == 0
    rows = json.loads(capsys.readouterr().out)["report"]["rows"]
    assert {row["metric"] for row in rows} >= {"mig", "sap"} and (tmp_path / "score" / "report.json").exists()
    with Image.open(picture) as sheet:
        assert sheet.height > 3 * 16  # three latents, one row each


def test_training_on_pictures_begins_from_their_recipe(folder: Path, tmp_path: Path) -> None:
    pictures = load_pictures(folder / "pictures", size=16)
    plan, plain = (runs.plan("vae", pictures, recipe=wanted) for wanted in (True, False))
    known = zoo.recipe("vae", "pictures")["train"]
    assert {name: getattr(plan.train, name) for name in known} == known
    assert plain.train == type(plain.train)() and runs.plan("vae", pictures, train={"steps": 7}).train.steps == 7


def test_learners_of_labels_take_them_from_the_table(folder: Path, tmp_path: Path, capsys) -> None:
    data = ["--data", str(folder / "pictures"), "--table", str(folder / "labels.csv")]
    train = ["train", "xfactors", *data, "--factors", "hue,shape", "--channels", "8,8", "--steps", "2"]
    assert main([*train, "--out", str(tmp_path), "--json"]) == 0
    saved = json.loads((tmp_path / "config.json").read_text())
    assert "hue" in json.dumps(saved)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["train", "vae", "--out", "x"], "a world or from a folder"),
        (["train", "vae", "--world", "sprites", "--data", ".", "--out", "x"], "a world or from a folder"),
        (["traverse", "causal_diffae/pendulum", "--world", "pendulum"], "no latents to move"),
        (["traverse", "causal_diffae/pendulum", "--world", "pendulum", "--out", "x.jpg"], "PNG"),
    ],
)
def test_what_cannot_be_done_is_told(words: list[str], told: str, capsys) -> None:
    assert main(words) == 2
    assert told in capsys.readouterr().err


def test_scores_need_labels(folder: Path, tmp_path: Path, capsys) -> None:
    assert main(["score", "causal_diffae/pendulum", "--data", str(folder / "pictures")]) == 2
    assert "no factors to score against" in capsys.readouterr().err
