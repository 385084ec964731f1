"""A run that was killed, stopped or out of disk ends with the same bits as one that was not."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors import SafetensorError

from counterfactory.errors import CounterfactoryError
from counterfactory.training import checkpoint, fit
from counterfactory.training.log import read_log

pytestmark = pytest.mark.xdist_group("processes")
SIGNALS = {"killed": signal.SIGKILL, "interrupted": signal.SIGINT, "terminated": signal.SIGTERM}


@pytest.fixture(scope="module")
def whole(toy: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, list[dict]]:
    """Weights and log of the run that nothing disturbed."""
    out = tmp_path_factory.mktemp("whole")
    model = toy.Toy()
    fit(model, toy.data(), toy.SETTINGS, out)
    return model.state_dict(), read_log(out / "log.jsonl")


@pytest.fixture(scope="module")
def stopped(toy: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[Path, int, int]]]:
    """Runs hit by a signal in mid-step: name -> folder, last step seen before it, exit code."""
    outs = {name: tmp_path_factory.mktemp(name) for name in SIGNALS}
    command = [sys.executable, toy.__file__, "slow", *map(str, outs.values())]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as parent:
        assert parent.stdout is not None
        pids = [int(parent.stdout.readline()) for _ in outs]
        at = {}
        for (name, out), pid in zip(outs.items(), pids, strict=True):
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline and not ((out / "at").exists() and _at(out) >= 13):
                time.sleep(0.01)
            at[name] = _at(out)
            os.kill(pid, SIGNALS[name])
        codes = [int(parent.stdout.readline()) for _ in outs]
    yield {name: (out, at[name], code) for (name, out), code in zip(outs.items(), codes, strict=True)}


def _at(out: Path) -> int:
    return int((out / "at").read_text() or 0)


@pytest.mark.parametrize("name", SIGNALS)
def test_a_stopped_run_goes_on_to_the_same_bits(name: str, stopped, whole, toy: ModuleType) -> None:
    out, at, code = stopped[name]
    saved = json.loads((out / "checkpoint/state.json").read_text())["step"]
    if name == "killed":
        assert code == -signal.SIGKILL and saved < at < 40 and saved % 10 == 0  # the last one of the regular ones
    else:
        assert code == (143 if name == "terminated" else 130)  # as a shell expects it
        assert at <= saved <= at + 1 and not (out / "checkpoint.part").exists()  # saved where it was hit
    model, steps = toy.Toy(), []
    fit(model, toy.data(), toy.SETTINGS, out, on_step=lambda step, terms: steps.append(step))
    assert steps == list(range(saved + 1, 41))
    _same(model.state_dict(), whole[0])
    told = ("step", "loss/total", "loss/error", "loss/size", "lr")
    log = read_log(out / "log.jsonl")
    assert [{k: line[k] for k in told} for line in log] == [{k: line[k] for k in told} for line in whole[1]]


def _same(state: dict, other: dict) -> None:
    assert state.keys() == other.keys()
    assert [k for k in state if not torch.equal(state[k], other[k])] == []


def test_a_finished_run_is_not_trained_again(toy: ModuleType, whole, tmp_path: Path) -> None:
    first = fit(toy.Toy(), toy.data(), toy.SETTINGS, tmp_path)
    log, model, steps = (tmp_path / "log.jsonl").read_bytes(), toy.Toy(), []
    again = fit(model, toy.data(), toy.SETTINGS, tmp_path, on_step=lambda step, terms: steps.append(step))
    assert again == first and steps == [] and (tmp_path / "log.jsonl").read_bytes() == log
    _same(model.state_dict(), whole[0])


def test_resume_false_starts_over(toy: ModuleType, whole, tmp_path: Path) -> None:
    fit(toy.Toy(), toy.data(), toy.SETTINGS.replace(lr=0.5), tmp_path)
    model, steps = toy.Toy(), []
    fit(model, toy.data(), toy.SETTINGS, tmp_path, resume=False, on_step=lambda step, terms: steps.append(step))
    assert steps[0] == 1 and len(read_log(tmp_path / "log.jsonl")) == 10
    _same(model.state_dict(), whole[0])


def test_how_often_is_logged_and_saved_changes_no_weight(toy: ModuleType, whole, tmp_path: Path) -> None:
    fit_until(15, toy, tmp_path)
    model = toy.Toy()
    fit(model, toy.data(), toy.SETTINGS.replace(log_every=7, checkpoint_every=100), tmp_path)
    _same(model.state_dict(), whole[0])


def fit_until(step: int, toy: ModuleType, out: Path, **changes: object) -> None:
    def stop(at: int, terms: dict) -> None:
        if at == step:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        fit(toy.Toy(), toy.data(), toy.SETTINGS.replace(**changes), out, on_step=stop)


# -- another run's checkpoint ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "rows", "said"),
    [
        ({"lr": 0.02}, 50, "settings.lr: 0.01 in the checkpoint, 0.02 now"),
        ({"seed": 4, "ema": 0.0}, 50, "settings.ema: 0.9 in the checkpoint, 0.0 now; settings.seed: 3 in"),
        ({}, 49, "data.rows: 50 in the checkpoint, 49 now"),
    ],
)
def test_another_run_is_refused(changes: dict, rows: int, said: str, toy: ModuleType, tmp_path: Path) -> None:
    fit_until(3, toy, tmp_path)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*.*")}
    with pytest.raises(CounterfactoryError, match="is of another run") as error:
        fit(toy.Toy(), toy.data(rows), toy.SETTINGS.replace(**changes), tmp_path)
    assert said in error.value.given
    assert {p: p.read_bytes() for p in tmp_path.rglob("*.*")} == before


def test_other_values_in_the_same_shapes_are_refused(toy: ModuleType, tmp_path: Path) -> None:
    fit_until(3, toy, tmp_path)
    other = {**toy.data(), "y": toy.data()["y"] + 1}
    with pytest.raises(CounterfactoryError) as error:
        fit(toy.Toy(), other, toy.SETTINGS, tmp_path)
    assert "data.columns.y: float32 [1]" in error.value.given and "columns.x" not in error.value.given


def test_another_model_is_refused(toy: ModuleType, tmp_path: Path) -> None:
    fit_until(3, toy, tmp_path)
    wider = toy.Toy()
    wider.net[0] = torch.nn.Linear(3, 9)
    with pytest.raises(CounterfactoryError) as error:
        fit(wider, toy.data(), toy.SETTINGS, tmp_path)
    assert "weights.net.0.weight: [8, 3] in the checkpoint, [9, 3] now" in error.value.given
    with pytest.raises(CounterfactoryError) as error:
        fit(toy.Line(), toy.data(), toy.SETTINGS, tmp_path)
    assert "model: Toy in the checkpoint, Line now" in error.value.given


def test_a_parameter_frozen_since_is_refused(toy: ModuleType, tmp_path: Path) -> None:
    fit_until(3, toy, tmp_path)
    model = toy.Toy()
    model.net[0].bias.requires_grad_(False)
    with pytest.raises(CounterfactoryError) as error:
        fit(model, toy.data(), toy.SETTINGS, tmp_path)
    assert error.value.given == "frozen: None in the checkpoint, ['net.0.bias'] now"


# -- a full disk -------------------------------------------------------------------------------------------------------


def test_a_full_disk_keeps_the_last_checkpoint(
    toy: ModuleType, whole, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, saves = checkpoint.save_file, []

    def full(tensors: dict, path: Path) -> None:
        saves.append(path)
        if len(saves) > 4:  # three files of step 10, and the first of step 20
            path.write_bytes(b"half")
            raise SafetensorError(f"Error while serializing: I/O error: {os.strerror(errno.ENOSPC)} (os error 28)")
        save(tensors, path)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save_file", full)
        with pytest.raises(CounterfactoryError, match="checkpoint of step 20 could not be saved") as error:
            fit(toy.Toy(), toy.data(), toy.SETTINGS, tmp_path)
    assert error.value.hint.startswith("free some space; ") and "No space left" in error.value.given
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint", "log.jsonl"]
    model, steps = toy.Toy(), []
    fit(model, toy.data(), toy.SETTINGS, tmp_path, on_step=lambda step, terms: steps.append(step))
    assert steps[0] == 11
    _same(model.state_dict(), whole[0])


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 kB."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)]
    if not sys.platform.startswith("linux") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a file system is not allowed here")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_really_full_disk(toy: ModuleType, whole, small_disk: Path) -> None:
    fit_until(15, toy, small_disk)
    filler = small_disk / "filler"
    with pytest.raises(OSError, match="No space left"), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(512))
    with pytest.raises(CounterfactoryError, match="could not be"):
        fit(toy.Toy(), toy.data(), toy.SETTINGS, small_disk)
    filler.unlink()
    model = toy.Toy()
    fit(model, toy.data(), toy.SETTINGS, small_disk)
    _same(model.state_dict(), whole[0])
    assert len(read_log(small_disk / "log.jsonl")) == 10


def test_a_folder_that_cannot_be_made(toy: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CounterfactoryError, match="could not be written"):
        fit(toy.Toy(), toy.data(), toy.SETTINGS, tmp_path / "file")
    assert (tmp_path / "file").read_text() == "in the way"
