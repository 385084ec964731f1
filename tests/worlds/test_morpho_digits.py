"""Real digits: measured, re-rendered, and caused as the literature says."""

import importlib.util

import numpy as np
import pytest
import torch

from counterfactory.errors import CounterfactoryError, unknown
from counterfactory.worlds import load
from counterfactory.worlds.morpho_digits import MorphoDigits, digits, measure

WORLD = load("morpho_digits")
UNITS = WORLD.sample(300, seed=0)


def test_the_test_digits_are_never_among_the_training_digits() -> None:
    train, test = digits("train"), digits("test")
    assert (len(train[0]), len(test[0])) == (4000, 1000)
    assert np.bincount(train[1]).tolist() == [400] * 10 and np.bincount(test[1]).tolist() == [100] * 10
    seen = {picture.tobytes() for picture in train[0]}
    assert sum(picture.tobytes() in seen for picture in test[0]) == 0
    assert WORLD.held_out().split == "test"


def test_the_causes_are_drawn_as_in_the_literature() -> None:
    noise = WORLD.exogenous(20000, seed=1)  # without rendering them
    values = WORLD.scm.predict(torch.stack([noise[name] for name in WORLD.graph.nodes], 1))
    thickness, intensity, slant, width = values.double().unbind(1)
    assert float(thickness.mean()) == pytest.approx(0.5 + 10 / 5, abs=0.02)
    assert float(thickness.var()) == pytest.approx(10 / 25, abs=0.02)
    eps = 2 * (torch.logit((intensity - 64) / 191) - 2 * thickness + 5)
    assert float(eps.mean()) == pytest.approx(0.0, abs=0.03) and float(eps.std()) == pytest.approx(1.0, abs=0.03)
    assert abs(float(torch.corrcoef(torch.stack([eps, thickness]))[0, 1])) < 0.03
    assert float(slant.mean()) == pytest.approx(5, abs=0.3) and float(slant.std()) == pytest.approx(12, abs=0.3)
    own = WORLD.discs.width[noise["digit"]].clamp(min=3.0)
    ratio = (width / own).log()
    assert float(ratio.std()) == pytest.approx(0.15, abs=0.01)


def test_what_is_rendered_is_what_is_measured() -> None:
    read = WORLD.read(UNITS.observation)
    error = (read - UNITS.factors).abs().mean(0)
    assert float(error[0]) < 0.25 and float(error[2]) < 3.0 and float(error[3]) < 1.0
    assert float(error[1]) < 0.1 and float((read[:, 1] - UNITS["intensity"]).abs().quantile(0.99)) < 2.0
    for column in range(4):
        pair = torch.stack([read[:, column], UNITS.factors[:, column]])
        assert float(torch.corrcoef(pair)[0, 1]) > 0.95


def test_a_thicker_stroke_is_thicker_and_brighter_and_the_same_digit() -> None:
    thick = WORLD.counterfactual(UNITS, {"thickness": 4.5})
    assert bool((thick["intensity"] > UNITS["intensity"]).all())
    assert torch.equal(thick["slant"], UNITS["slant"]) and torch.equal(thick["width"], UNITS["width"])
    more = WORLD.render(torch.cat([thick.factors[:, :1], UNITS.factors[:, 1:]], 1), UNITS.noise) / UNITS.factors[
        :, 1
    ].view(-1, 1, 1, 1)
    less = UNITS.observation / UNITS.factors[:, 1].view(-1, 1, 1, 1)
    thinner = UNITS["thickness"] < 4.5
    assert bool((more[thinner] >= less[thinner] - 1e-6).all())  # the thin stroke lies inside the thick one


def test_as_written_looks_like_the_scan() -> None:
    which = torch.arange(0, 4000, 40)
    drawn = WORLD.as_written(which)
    scans = WORLD.scans(drawn)
    assert scans.shape == drawn.observation.shape == (100, 1, 32, 32)
    assert float((drawn.observation - scans).abs().mean()) < 0.02
    assert float((drawn.observation - scans.roll(1, 0)).abs().mean()) > 0.1


def test_an_empty_picture_is_measured_without_a_crash() -> None:
    assert np.isfinite(measure(np.zeros((1, 32, 32)))).all()


def test_what_is_missing_or_unknown_is_said(monkeypatch) -> None:
    with pytest.raises(CounterfactoryError, match="unknown split"):
        MorphoDigits("tets")
    assert "test" in str(unknown("split", "tets", ["train", "test"]))
    digits.cache_clear()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(CounterfactoryError, match="needs real digits") as caught:
        digits("train")
    assert "counterfactory[real]" in caught.value.hint
