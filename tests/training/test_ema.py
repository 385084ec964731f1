"""The averaged weights: the sum they stand for, and what the model ends with."""

from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn

from counterfactory.training import TrainSettings, fit
from counterfactory.training.ema import EMA


@pytest.mark.parametrize("decay", [0.5, 0.9, 0.999, 1.0])
def test_it_is_the_weighted_sum_of_all_weights(decay: float) -> None:
    """e_S = w_0 prod d_s + sum_s (1 - d_s) w_s prod_{r > s} d_r, in double precision and in one formula."""
    model = nn.Linear(4, 3).double()
    ema = EMA(model, decay)
    seen = [model.weight.detach().clone()]
    for step in range(25):
        with torch.no_grad():
            model.weight.add_(torch.randn(3, 4, generator=torch.Generator().manual_seed(step), dtype=torch.double))
        ema.update(step)
        seen.append(model.weight.detach().clone())
    d = [1.0] + [min(decay, (1 + s) / (10 + s)) for s in range(25)]
    share = [(1 - d[s] if s else 1.0) * torch.tensor(d[s + 1 :], dtype=torch.double).prod() for s in range(26)]
    assert float(sum(share)) == pytest.approx(1)
    torch.testing.assert_close(ema.weights["weight"], sum(a * w for a, w in zip(share, seen, strict=True)))


def test_it_follows_trained_parameters_only_and_leaves_the_model_alone() -> None:
    model = nn.Linear(2, 2)
    model.bias.requires_grad_(False)
    ema, before = EMA(model, 0.5), model.weight.detach().clone()
    ema.update(0)
    assert list(ema.weights) == ["weight"] and torch.equal(model.weight, before)
    with torch.no_grad():
        model.weight.zero_()
    ema.update(1)
    ema.apply()
    torch.testing.assert_close(model.weight.detach(), before * 2 / 11)


def test_a_tied_parameter_is_averaged_once() -> None:
    model = nn.ModuleDict({"a": nn.Linear(2, 2, bias=False), "b": nn.Linear(2, 2, bias=False)})
    model["b"].weight = model["a"].weight
    assert list(EMA(model, 0.9).weights) == ["a.weight"]


def test_the_model_ends_with_the_average_of_its_steps(toy: ModuleType, tmp_path: Path) -> None:
    model, seen = toy.Line(), [toy.Line().w.detach().clone()]
    settings = TrainSettings(steps=20, batch_size=8, lr=0.1, ema=0.8)
    fit(model, toy.data(), settings, tmp_path, on_step=lambda step, terms: seen.append(model.w.detach().clone()))
    average = seen[0]
    for step, w in enumerate(seen[1:]):
        decay = min(0.8, (1 + step) / (10 + step))
        average = decay * average + (1 - decay) * w
    torch.testing.assert_close(model.w.detach(), average)
    assert not torch.allclose(model.w.detach(), seen[-1])
