"""Runs: plans from recipes with changes, models that go on where they stopped, and models by name."""

from pathlib import Path

import pytest
import torch

from counterfactory import runs, zoo
from counterfactory.errors import CounterfactoryError
from counterfactory.worlds import load

WORLD = load("pendulum", image_size=16)
SMALL = {"unet_channels": (8, 8), "encoder_channels": (8,)}
SHORT = {"steps": 3, "batch_size": 8}


def small(seed: int = 0, **changes) -> runs.Plan:
    train = {**SHORT, "seed": seed}
    return runs.plan("causal_diffae", WORLD, units=32, system_settings={**SMALL, **changes}, train=train, recipe=False)


def test_a_plan_is_the_recipe_with_changes() -> None:
    recipe = zoo.recipe("causal_diffae", "pendulum")
    assert recipe["units"] > 0 and recipe["train"]["steps"] > 0
    plan = runs.plan("causal_diffae", WORLD, system_settings={"edges": ()}, train={"seed": 7})
    assert (plan.units, plan.train.steps, plan.train.seed) == (recipe["units"], recipe["train"]["steps"], 7)
    assert plan.settings.edges == () and plan.settings.z_noise == recipe["system"]["z_noise"]
    plain = runs.plan("causal_diffae", WORLD, recipe=False)
    assert plain.units == runs.UNITS and plain.train == type(plain.train)()
    assert zoo.recipe("causal_diffae", "no such world") == {}


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"system_settings": {"gama_max": 1.0}}, "unknown setting of CausalDiffAESettings"),
        ({"train": {"steps": 0}}, "TrainSettings.steps is out of range"),
    ],
)
def test_what_no_plan_can_be_made_of(options: dict, what: str) -> None:
    with pytest.raises(CounterfactoryError, match=what):
        runs.plan("causal_diffae", WORLD, **options)
    with pytest.raises(CounterfactoryError, match="unknown system to train"):
        runs.plan("causal_diffea", WORLD)


def test_a_finished_run_only_loads_and_its_card_says_how_it_was_made(tmp_path: Path) -> None:
    first = small().run(tmp_path / "a", progress=False)
    again = small().run(tmp_path / "a", progress=False)
    fresh = small().run(tmp_path / "b", progress=False)
    other = small(seed=1).run(tmp_path / "c", progress=False)
    states = [model.state_dict() for model in (first, again, fresh, other)]
    assert all(torch.equal(states[0][k], state[k]) for state in states[1:3] for k in states[0])
    assert not all(torch.equal(states[0][k], states[3][k]) for k in states[0])
    card = (tmp_path / "a" / "README.md").read_text()
    assert "seed 0" in card and "3 steps" in card and "system.unet_channels: (8, 8)" in card
    with pytest.raises(CounterfactoryError, match="of another run"):
        small(gamma_max=0.5).run(tmp_path / "a", progress=False)


def test_half_weights_are_half_the_size_and_answer_nearly_the_same(tmp_path: Path) -> None:
    whole, _ = (small().run(tmp_path / str(h), progress=False, half=h) for h in (False, True))
    sizes = [(tmp_path / str(h) / "model.safetensors").stat().st_size for h in (False, True)]
    assert sizes[1] < 0.6 * sizes[0]
    x = WORLD.sample(2).observation
    asked = [m.counterfactual(x, {"angle": 3.0}, steps=2) for m in (whole, runs.load_model(tmp_path / "True"))]
    assert torch.allclose(*asked, atol=0.02)


def test_many_runs_at_once_are_the_same_as_one_by_one(tmp_path: Path) -> None:
    plan = runs.plan("causal_diffae", load("pendulum"), units=32, system_settings=SMALL, train=SHORT, recipe=False)
    torch.set_num_threads(1)
    alone = plan.run(tmp_path / "alone", progress=False).state_dict()
    runs.run_all([(plan, tmp_path / "0"), (plan, tmp_path / "1")], workers=2)
    for name in "01":
        found = runs.load_model(tmp_path / name).state_dict()
        assert all(torch.equal(alone[k], found[k]) for k in alone)


def test_models_that_are_none_of_ours(tmp_path: Path) -> None:
    with pytest.raises(CounterfactoryError, match="no model at"):
        runs.load_model(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(CounterfactoryError, match="is not a model of this package"):
        runs.load_model(tmp_path)


def test_shipped_models_are_small_and_load() -> None:
    sizes = {name: (zoo.weights(name) / "model.safetensors").stat().st_size for name in zoo.shipped()}
    assert {"causal_diffae/pendulum", "causal_diffae/morpho_digits"} <= set(sizes)
    assert max(sizes.values()) < 8e6 and sum(sizes.values()) < 60e6
    for name in sizes:
        card = (zoo.weights(name) / "README.md").read_text()
        assert "counterfactory train" in card and " steps in " in card and "with seed" in card
    assert runs.load_model("causal_diffae/pendulum").settings.causes == load("pendulum").graph.nodes
    with pytest.raises(CounterfactoryError, match="unknown shipped model"):
        zoo.weights("causal_diffae/pendulm")
