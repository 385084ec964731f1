"""Studies: grids from TOML, runs done once and resumed after a kill, two engines, and a report of it all."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from datasets import Dataset

from counterfactory.cli import main
from counterfactory.errors import CounterfactoryError
from counterfactory.results import Estimate, Report
from counterfactory.study import Study, run, summarise

pytestmark = pytest.mark.xdist_group("processes")

TEXT = """
name = "small"
systems = ["causal_diffae"]
worlds = ["pendulum", "pendulum_exact"]
seeds = [0, 1]
metrics = ["mig", "sap"]
points = 120

[system.causal_diffae]
unet_channels = [8, 8]
encoder_channels = [8]
latent_dim = 8

[train]
steps = 4
batch_size = 4
checkpoint_every = 1
mixed_precision = "no"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "study.toml"
    path.write_text(TEXT)
    return path


def test_a_grid_comes_from_toml_with_the_settings_of_each_system(file: Path) -> None:
    file.write_text(TEXT + "lr = 0.5\n[train.causal_diffae]\nlr = 0.25\n")
    cells = Study.load(file).cells()
    assert [(c.world, c.seed) for c in cells] == [(w, s) for s in (0, 1) for w in ("pendulum", "pendulum_exact")]
    assert cells[3].train["lr"] == 0.25 and cells[3].train["seed"] == 1 and "causal_diffae" not in cells[0].train
    assert cells[0].settings["latent_dim"] == 8 and cells[0].metrics == ("mig", "sap")


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ('["causal_diffae"]', '["causal_difae"]', "unknown name under 'systems'"),
        ('"pendulum_exact"]', '"pendulum"]', "'worlds' of the study cannot be used"),
        ('["mig", "sap"]', '["mug"]', "unknown name under 'metrics'"),
        ("[0, 1]", "[]", "'seeds' of the study cannot be used"),
        ("points = 120", "points = 3", "Grid.points is out of range"),
        ("[system.causal_diffae]", "[system.vaee]", "unknown system with settings"),
        ("name =", "nam =", "unknown setting of Grid"),
        ("name =", "name", "cannot be read"),
    ],
)
def test_what_is_no_study(file: Path, old: str, new: str, what: str) -> None:
    file.write_text(TEXT.replace(old, new))
    with pytest.raises(CounterfactoryError, match=what):
        Study.load(file)


def test_every_run_is_done_once_and_the_report_has_means_over_seeds(file: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    assert main(["study", str(file), "--out", str(out), "--workers", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["failed"] == []
    study = Study.load(file)
    stamps = {cell.scores(out): cell.scores(out).stat().st_mtime_ns for cell in study.cells()}
    assert len(stamps) == 4
    seen: list[int] = []
    assert run(study, out, progress=lambda done, total, what: seen.append(done)) == [] and seen == []
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())
    table = Dataset.from_parquet(str(out / "results.parquet"))
    assert {(r["world"], r["seed"]) for r in table} == {(c.world, c.seed) for c in study.cells()}
    report = Report.load(out / "report.json")
    (mig,) = (r for r in report.rows if r["metric"] == "MIG" and r["world"] == "pendulum")
    own = [r["value"] for r in table if (r["metric"], r["world"], r["codes"]) == ("mig", "pendulum", "given")]
    assert isinstance(mig["value"], Estimate) and mig["value"].n == 2
    assert mig["value"].value == pytest.approx(sum(own) / 2)
    assert {"shuffled"} == {r["codes"] for r in report.controls}
    assert any("Rank correlation" in figure.title for figure in report.figures)
    assert sum("What each code tells" in figure.title for figure in report.figures) == 2


def test_a_killed_study_goes_on_and_loses_nothing(file: Path, tmp_path: Path) -> None:
    file.write_text(TEXT.replace("steps = 4", "steps = 30").replace(', "pendulum_exact"]', "]"))
    out, study = tmp_path / "out", Study.load(file)
    command = [sys.executable, "-m", "counterfactory", "study", str(file), "--out", str(out), "--workers", "1"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    first = study.cells()[0]
    log = first.folder(out) / "log.jsonl"
    deadline = time.monotonic() + 120
    while not (first.folder(out) / "checkpoint").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not all(cell.scores(out).exists() for cell in study.cells())
    state = json.loads((first.folder(out) / "checkpoint" / "state.json").read_text())
    assert 0 < state["step"] <= 30
    assert run(study, out, workers=1) == [] and log.exists()
    fresh = tmp_path / "fresh"
    assert run(study, fresh, workers=1) == []
    for cell in study.cells():
        killed, whole = (Dataset.from_parquet(str(cell.scores(folder))) for folder in (out, fresh))
        assert [r["value"] for r in killed] == [r["value"] for r in whole]


def test_one_bad_run_does_not_stop_the_others(file: Path, tmp_path: Path) -> None:
    file.write_text(TEXT.replace('["causal_diffae"]', '["label_diffusion", "causal_diffae"]').replace("[0, 1]", "[0]"))
    study = Study.load(file)
    failed = run(study, tmp_path, workers=1)
    assert [cell.system for cell, _ in failed] == ["label_diffusion"] * 2
    assert "no latents to score" in failed[0][1]
    assert {row["system"] for row in summarise(study, tmp_path).rows} == {"causal_diffae"}


def test_ray_gives_the_same_scores(file: Path, tmp_path: Path) -> None:
    file.write_text(TEXT.replace(', "pendulum_exact"]', "]").replace("[0, 1]", "[0]"))
    study = Study.load(file)
    assert run(study, tmp_path / "ray", engine="ray", workers=1) == []
    assert run(study, tmp_path / "local", workers=1) == []
    for cell in study.cells():
        a, b = (Dataset.from_parquet(str(cell.scores(tmp_path / name))) for name in ("ray", "local"))
        assert [r["value"] for r in a] == [r["value"] for r in b]
    with pytest.raises(CounterfactoryError, match="unknown engine"):
        run(study, tmp_path, engine="slurm")


def test_nothing_done_is_nothing_to_summarise(file: Path, tmp_path: Path) -> None:
    with pytest.raises(CounterfactoryError, match="nothing to summarise"):
        summarise(Study.load(file), tmp_path / "empty")
