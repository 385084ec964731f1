"""The loop: what a step does, what depends on what, and what is refused."""

import json
import random
import signal
import threading
from dataclasses import FrozenInstanceError
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from counterfactory.errors import CounterfactoryError
from counterfactory.training import TrainSettings, fit, learning_rate
from counterfactory.training.log import read_log


class Row(nn.Module):
    """Keeps the rows it is shown; the gradient of its one weight is `pull`."""

    def __init__(self, pull: float = 1.0) -> None:
        super().__init__()
        self.w, self.pull = nn.Parameter(torch.zeros(1)), pull
        self.seen: list[list[int]] = []

    def loss(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        self.seen.append(batch["i"].tolist())
        return {"total": self.pull * self.w.sum()}


def numbers(n: int) -> dict[str, Tensor]:
    return {"i": torch.arange(n)}


def weights(model: nn.Module) -> Tensor:
    return nn.utils.parameters_to_vector(model.parameters()).detach()


def test_it_is_adamw_with_the_schedule_and_clipping(toy: ModuleType, tmp_path: Path) -> None:
    """The same as the textbook loop, on the rows in the order they came."""
    settings = TrainSettings(
        steps=30, batch_size=16, lr=0.02, weight_decay=0.1, warmup_steps=4, schedule="linear", clip_norm=0.5
    )
    ours, theirs, rows = toy.Line(), toy.Line(), Row()
    data = toy.data(64)
    fit(rows, numbers(64), settings, tmp_path / "rows")
    fit(ours, data, settings, tmp_path / "line")
    optimizer = torch.optim.AdamW(theirs.parameters(), lr=0.02, weight_decay=0.1)
    for step, index in enumerate(rows.seen):
        optimizer.param_groups[0]["lr"] = learning_rate(settings, step)
        optimizer.zero_grad()
        theirs.loss({k: v[index] for k, v in data.items()})["total"].backward()
        nn.utils.clip_grad_norm_(theirs.parameters(), 0.5)
        optimizer.step()
    torch.testing.assert_close(ours.w, theirs.w, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("change", [{"seed": 8}, {"lr": 0.02}, {"ema": 0.0}, {"clip_norm": 0.1}, {"clip_value": 1e-3}])
def test_the_same_call_gives_the_same_bits_and_another_does_not(
    change: dict[str, Any], toy: ModuleType, tmp_path: Path
) -> None:
    models = [toy.Toy() for _ in range(3)]
    for i, model in enumerate(models):
        torch.manual_seed(i)
        settings = toy.SETTINGS.replace(**(change if i == 2 else {}))
        fit(model, toy.data(), settings, tmp_path / str(i))
    assert torch.equal(weights(models[0]), weights(models[1]))
    assert not torch.allclose(weights(models[0]), weights(models[2]))


def test_the_callers_generators_and_handlers_are_as_they_were(toy: ModuleType, tmp_path: Path) -> None:
    draws, model, handler = [], toy.Toy(), signal.getsignal(signal.SIGINT)
    for out in ("a", None):
        torch.manual_seed(5)
        np.random.seed(5)  # noqa: NPY002
        random.seed(5)
        if out:
            fit(model, toy.data(), toy.SETTINGS, tmp_path / out)
        draws.append((torch.rand(2).tolist(), np.random.rand(2).tolist(), random.random()))  # noqa: NPY002
    assert draws[0] == draws[1] and signal.getsignal(signal.SIGINT) is handler


def test_every_row_once_an_epoch_in_a_new_order(tmp_path: Path) -> None:
    model = Row()
    fit(model, numbers(10), TrainSettings(steps=15, batch_size=4), tmp_path)  # 6 epochs, no batch is short
    assert all(len(batch) == 4 for batch in model.seen)
    rows = [i for batch in model.seen for i in batch]
    epochs = [rows[start : start + 10] for start in range(0, 60, 10)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 6


def test_micro_batches_are_one_large_batch(toy: ModuleType, tmp_path: Path) -> None:
    few, many, batches = toy.Line(), toy.Line(), Row()
    settings = TrainSettings(steps=20, batch_size=16, lr=0.05, clip_norm=1.0)
    parts = settings.replace(batch_size=4, grad_accumulation=4)
    fit(few, toy.data(64), settings, tmp_path / "few")
    fit(many, toy.data(64), parts, tmp_path / "many")
    torch.testing.assert_close(few.w, many.w, rtol=1e-5, atol=1e-6)
    fit(batches, numbers(64), parts.replace(steps=4), tmp_path / "rows")
    assert len(batches.seen) == 16 and sorted(i for b in batches.seen for i in b) == list(range(64))
    logs = [read_log(tmp_path / name / "log.jsonl")[-1]["loss/total"] for name in ("few", "many")]
    assert logs[0] == pytest.approx(logs[1], rel=1e-5)


def test_progress_is_told_before_each_step(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []

    class Told(Row):
        def set_progress(self, step: int, steps: int) -> None:
            told.append((step, len(self.seen)))
            assert steps == 5

    fit(Told(), numbers(8), TrainSettings(steps=5, batch_size=2), tmp_path)
    assert told == [(i, i) for i in range(5)]


def test_undecayed_parameters_do_not_decay(tmp_path: Path) -> None:
    class Two(nn.Module):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.a, self.b, self.name = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1)), name

        def undecayed(self) -> list[str]:
            return [self.name]

        def loss(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
            return {"total": 0 * (self.a + self.b).sum()}

    model, settings = Two("b"), TrainSettings(steps=10, lr=0.1, weight_decay=0.5)
    fit(model, numbers(4), settings, tmp_path / "a")
    assert model.b.item() == 1 and model.a.item() == pytest.approx(0.95**10, rel=1e-5)
    with pytest.raises(CounterfactoryError, match=r"unknown parameter in Two.undecayed") as error:
        fit(Two("bb"), numbers(4), settings, tmp_path / "b")
    assert "'b'" in error.value.hint


def test_gradients_that_were_left_behind_do_not_count(toy: ModuleType, tmp_path: Path) -> None:
    models = [toy.Line(), toy.Line()]
    models[1].w.grad = torch.full((1, 3), 100.0)
    for i, model in enumerate(models):
        fit(model, toy.data(), TrainSettings(steps=3, lr=0.1), tmp_path / str(i))
    assert torch.equal(models[0].w, models[1].w)


def test_frozen_parameters_stay_and_buffers_are_kept(toy: ModuleType, tmp_path: Path) -> None:
    model, statistics = toy.Toy(), []
    model.net[4].requires_grad_(False)
    frozen = model.net[4].weight.clone()
    fit(
        model,
        toy.data(),
        toy.SETTINGS,
        tmp_path,
        on_step=lambda step, terms: statistics.append(model.net[1].running_mean.clone()),
    )
    assert torch.equal(model.net[4].weight, frozen) and not model.training
    assert torch.equal(model.net[1].running_mean, statistics[-1])  # no average of the statistics
    assert not torch.equal(statistics[-1], statistics[-2]) and int(model.net[1].num_batches_tracked) == 40


def test_the_log_holds_averages(tmp_path: Path) -> None:
    class Counting(Row):
        def loss(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
            terms = super().loss(batch)
            return {"total": terms["total"] * 0 + len(self.seen), "count": torch.tensor(len(self.seen))}

    seen: list[tuple[int, float]] = []
    result = fit(
        Counting(),
        numbers(8),
        TrainSettings(steps=10, log_every=4, lr=0.5),
        tmp_path,
        on_step=lambda step, terms: seen.append((step, float(terms["total"]))),
    )
    log = read_log(result.log)
    assert [(line["step"], line["loss/total"], line["loss/count"]) for line in log] == [
        (4, 2.5, 2.5),
        (8, 6.5, 6.5),
        (10, 9.5, 9.5),
    ]
    assert seen == [(i, float(i)) for i in range(1, 11)] and all(line["lr"] == 0.5 for line in log)
    assert result.steps == 10 and result.loss == {"total": 9.5, "count": 9.5}
    assert 0 < log[0]["seconds"] < log[1]["seconds"] < log[2]["seconds"] <= result.seconds
    speed = 4 / (log[1]["seconds"] - log[0]["seconds"])
    assert log[1]["steps_per_second"] == pytest.approx(speed)
    assert json.loads(json.dumps(result.to_dict()))["log"] == str(tmp_path / "log.jsonl")
    with pytest.raises(FrozenInstanceError):
        result.steps = 3  # type: ignore[misc]


class Breaking(nn.Module):
    """A loss term, or only the gradient, that is not finite in step `at`."""

    def __init__(self, at: int, where: str) -> None:
        super().__init__()
        self.w, self.at, self.where, self.step = nn.Parameter(torch.ones(1)), at, where, 0

    def set_progress(self, step: int, steps: int) -> None:
        self.step = step + 1

    def loss(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        fine, bad = self.w.square().sum(), torch.tensor(float("inf"))
        now = self.step == self.at
        if self.where == "gradient":  # d sqrt(v) / dv is infinite at 0, where v = 0 w
            return {"total": fine + ((0 * self.w).sqrt().sum() if now else 0)}
        return {"total": fine, "kl": bad if now else fine}


@pytest.mark.parametrize(
    ("at", "where", "said"),
    [
        (13, "loss", "the loss term 'kl' became inf at step 13"),
        (20, "loss", "the loss term 'kl' became inf at step 20"),  # where a checkpoint is due
        (17, "gradient", "the loss term 'total' became nan at step 18"),  # the step after
        (20, "gradient", "the parameter 'w' is not finite after step 20"),
    ],
)
def test_a_loss_that_is_not_finite_is_named_and_never_saved(at: int, where: str, said: str, tmp_path: Path) -> None:
    settings = TrainSettings(steps=40, checkpoint_every=10, log_every=4, lr=0.01)
    with pytest.raises(CounterfactoryError) as error:
        fit(Breaking(at, where), numbers(8), settings, tmp_path)
    assert error.value.what == said and "checkpoint is kept" in error.value.hint
    assert json.loads((tmp_path / "checkpoint/state.json").read_text())["step"] == 10
    assert "NaN" not in (tmp_path / "log.jsonl").read_text()
    assert read_log(tmp_path / "log.jsonl")[-1]["step"] == (at - 1) // 4 * 4 if where == "loss" else True


def test_half_precision_of_the_forward_pass_is_close(toy: ModuleType, tmp_path: Path) -> None:
    kinds: list[torch.dtype] = []

    class Seen(toy.Line):
        def loss(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
            kinds.append((batch["x"] @ self.w.T).dtype)
            return super().loss(batch)

    full, half = toy.Line(), Seen()
    settings = TrainSettings(steps=30, batch_size=16, lr=0.05)
    fit(full, toy.data(), settings, tmp_path / "full")
    fit(half, toy.data(), settings.replace(mixed_precision="bf16"), tmp_path / "half")
    fit(toy.Line(), toy.data(), settings, tmp_path / "again")  # the precision of the last run is not left behind
    assert set(kinds) == {torch.bfloat16} and half.w.dtype == torch.float32
    torch.testing.assert_close(half.w, full.w, atol=0.03, rtol=0)
    assert not torch.equal(half.w, full.w)


@pytest.mark.skipif(torch.accelerator.is_available(), reason="a processor is what has no fp16")
def test_a_precision_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CounterfactoryError, match="cannot train in that precision"):
        fit(Row(), numbers(4), TrainSettings(mixed_precision="fp16"), tmp_path)


def test_the_callers_accelerator_is_left_alone(toy: ModuleType, tmp_path: Path) -> None:
    from accelerate import Accelerator

    theirs = Accelerator(gradient_accumulation_steps=3)
    fit(toy.Line(), toy.data(), TrainSettings(steps=2, mixed_precision="bf16"), tmp_path)
    assert theirs.mixed_precision == "no" and theirs.gradient_accumulation_steps == 3


def test_outside_the_main_thread(toy: ModuleType, tmp_path: Path) -> None:
    here, there = toy.Toy(), toy.Toy()
    fit(here, toy.data(), toy.SETTINGS, tmp_path / "here")
    thread = threading.Thread(target=fit, args=(there, toy.data(), toy.SETTINGS, tmp_path / "there"))
    thread.start()
    thread.join()
    assert torch.equal(weights(here), weights(there))


class Returning(nn.Module):
    def __init__(self, terms: Any) -> None:
        super().__init__()
        self.w, self.terms = nn.Parameter(torch.ones(2)), terms

    def loss(self, batch: dict[str, Tensor]) -> Any:
        return self.terms(self.w)


@pytest.mark.parametrize(
    ("terms", "given"),
    [
        (lambda w: w.sum(), "Parameter|Tensor"),
        (lambda w: {"error": w.sum()}, "the terms error"),
        (lambda w: {"total": w}, r"'total' of shape \[2\]"),
        (lambda w: {"total": w.sum(), "kl": 0.5}, "'kl' of float"),
        (lambda w: {"total": w.sum().detach()}, "depends on no trained parameter"),
    ],
)
def test_a_loss_that_is_none(terms: Any, given: str, tmp_path: Path) -> None:
    with pytest.raises(CounterfactoryError, match=given):
        fit(Returning(terms), numbers(4), TrainSettings(), tmp_path)


def test_a_model_that_cannot_be_trained(tmp_path: Path) -> None:
    with pytest.raises(CounterfactoryError, match=r"Linear, which has no loss\(batch\)"):
        fit(nn.Linear(2, 2), numbers(4), TrainSettings(), tmp_path)
    with pytest.raises(CounterfactoryError, match="nothing to train"):
        fit(Row().requires_grad_(False), numbers(4), TrainSettings(), tmp_path)
