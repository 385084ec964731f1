"""The demo: one page with a table, pictures and the command that makes it again."""

import base64
import json
import re
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from counterfactory import zoo
from counterfactory.cli import main
from counterfactory.results import Report

QUICK = ["--n", "16", "--steps", "2"]


@pytest.mark.parametrize(("world", "causes"), [("morpho_digits", 4), ("pendulum", 4)])
def test_the_page_has_the_scores_the_pictures_and_the_command(world: str, causes: int, tmp_path: Path, capsys) -> None:
    assert main(["demo", "--world", world, *QUICK, "--out", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "(asked)" in shown and "random" in shown and "Intervals are 95%" in shown
    page = (tmp_path / "index.html").read_text()
    again = f"counterfactory demo --world {world} --n 16 --seed 2026 --steps 2 --out {tmp_path}"
    assert again in page and f"again: {again}" in shown.replace("\n", "")
    pictures = [base64.b64decode(found) for found in re.findall(r"data:image/png;base64,([A-Za-z0-9+/=]+)", page)]
    assert len(pictures) == causes + 2  # a sheet a cause, the graph, and the bars
    assert all(min(Image.open(BytesIO(data)).size) > 100 for data in pictures)
    assert "thickness causes intensity" in page or "angle causes shadow_length" in page
    full = Report.load(tmp_path / "scores.json")
    assert {row["answer"] for row in full.controls} >= {"nothing changed", "random intervention", "true counterfactual"}


def test_it_can_train_from_nothing_first(tmp_path: Path, capsys, monkeypatch) -> None:
    small = {"unet_channels": [8, 8], "encoder_channels": [8]}
    recipe = {"units": 32, "system": small, "train": {"steps": 2, "batch_size": 8}}
    monkeypatch.setattr(zoo, "recipe", lambda system, world: recipe)
    assert main(["demo", "--train", *QUICK, "--out", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["page"] == str(tmp_path / "index.html")
    assert (tmp_path / "model" / "model.safetensors").exists()
    assert "counterfactory demo --train" in (tmp_path / "model" / "README.md").read_text()


def test_a_world_without_a_shipped_model_is_refused(tmp_path: Path, capsys) -> None:
    assert main(["demo", "--world", "scenes2d", *QUICK, "--out", str(tmp_path), "--json"]) == 2
    assert "unknown shipped model" in json.loads(capsys.readouterr().out)["error"]["what"]
