"""Several processes under a real launcher, on processors with gloo."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from counterfactory.errors import CounterfactoryError
from counterfactory.training import fit
from counterfactory.training.log import read_log
from counterfactory.training.settings import TrainSettings

pytestmark = pytest.mark.xdist_group("processes")


@pytest.fixture(scope="module")
def out(toy: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("together")
    # `accelerate launch --cpu` starts one process unless there is MPI; --multi_gpu is its torchrun
    options = ["--multi_gpu", "--num_processes=2", "--num_machines=1", "--mixed_precision=no", "--dynamo_backend=no"]
    options += ["--main_process_port=0"]
    launch = [sys.executable, "-m", "accelerate.commands.accelerate_cli", "launch", *options, toy.__file__, "together"]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run([*launch, str(out)], env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def found(out: Path) -> list[dict]:
    return [json.loads((out / f"found{i}.json").read_text()) for i in range(2)]


def test_two_processes_are_one_with_twice_the_batch(found: list[dict], toy: ModuleType, tmp_path: Path) -> None:
    alone = toy.Line()
    fit(alone, toy.data(48), toy.SETTINGS.replace(batch_size=16, ema=0.0), tmp_path)
    for process in found:
        torch.testing.assert_close(torch.tensor(process["w"]), alone.w.detach(), rtol=1e-5, atol=1e-6)
    half = toy.Line()
    fit(half, toy.data(48), toy.SETTINGS.replace(batch_size=8, ema=0.0), tmp_path / "half")
    assert not torch.allclose(torch.tensor(found[0]["w"]), half.w.detach(), rtol=1e-3)


def test_a_data_loader_is_shared_out(found: list[dict]) -> None:
    """6 batches an epoch are 3 steps of two processes."""
    for epoch in (slice(0, 3), slice(3, 6)):
        rows = [i for process in found for batch in process["rows"][epoch] for i in batch]
        assert sorted(rows) == list(range(48))


def test_all_processes_end_with_the_same_model(found: list[dict]) -> None:
    assert found[0]["sums"] == found[1]["sums"] and len(found[0]["sums"]) > 8  # buffers too


def test_one_process_that_is_told_to_stop_stops_all_and_they_go_on_to_the_same_bits(found: list[dict]) -> None:
    assert [process["code"] for process in found] == [143, 143]
    assert [process["stopped_at"] for process in found] == [20, 20]  # told at 13, agreed at the next ten
    assert [process["resumed"] for process in found] == [True, True]


def test_only_one_process_writes(out: Path) -> None:
    for name, every in (("line", 4), ("whole", 4), ("stopped", 4)):
        assert [line["step"] for line in read_log(out / name / "log.jsonl")] == list(range(every, 41, every))
        assert sorted(p.name for p in (out / name).iterdir()) == ["checkpoint", "log.jsonl"]


def test_the_log_is_of_all_processes(out: Path, toy: ModuleType, tmp_path: Path) -> None:
    fit(toy.Line(), toy.data(48), toy.SETTINGS.replace(batch_size=16, ema=0.0), tmp_path)
    together, alone = (read_log(where / "log.jsonl") for where in (out / "line", tmp_path))
    assert [a["loss/total"] for a in together] == pytest.approx([b["loss/total"] for b in alone], rel=1e-4)


def test_a_checkpoint_of_another_number_of_processes_is_refused(out: Path, toy: ModuleType) -> None:
    with pytest.raises(CounterfactoryError) as error:
        fit(toy.Toy(), toy.data(), toy.SETTINGS, out / "whole")
    assert error.value.given == "processes: 2 in the checkpoint, 1 now"


def test_processes_that_do_not_find_each_other_are_refused(
    toy: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit(toy.Line(), toy.data(), TrainSettings(steps=1), tmp_path / "alone")  # Accelerate has started, alone
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(CounterfactoryError, match="do not know of each other"):
        fit(toy.Line(), toy.data(), TrainSettings(steps=1), tmp_path / "two")
    assert not (tmp_path / "two").exists()
