"""What holds in every world: do() cuts, counterfactuals keep the unit, and bad requests are refused."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from counterfactory.causal import Add, Scale, Set, Uniform
from counterfactory.errors import CounterfactoryError
from counterfactory.worlds import WORLDS, Sample, World, load
from counterfactory.worlds.pendulum import Pendulum

SMALL = {"pendulum": {"image_size": 16}, "pendulum_exact": {"image_size": 16}}
N = 30


@pytest.fixture(scope="module", params=["pendulum", "pendulum_exact", "morpho_digits"])
def world(request: pytest.FixtureRequest) -> World:
    return load(request.param, **SMALL.get(request.param, {}))


@pytest.fixture(scope="module")
def units(world: World) -> Sample:
    return world.sample(N, seed=0)


def inside(world: World, name: str, share: float = 0.4) -> float:
    low, high = world.ranges[name]
    return low + share * (high - low)


def test_the_same_seed_draws_the_same_units_whatever_is_done(world: World, units: Sample) -> None:
    again, other = world.sample(N, seed=0), world.sample(N, seed=1)
    assert torch.equal(again.factors, units.factors) and torch.equal(again.observation, units.observation)
    for name in world.graph.nodes:
        done = world.sample(N, seed=0, do={name: inside(world, name)})
        assert done.noise.keys() == units.noise.keys()
        assert all(torch.equal(done.noise[k], units.noise[k]) for k in units.noise)
        # to intervene while sampling and to ask the sampled units what had been are the same question
        asked = world.counterfactual(units, {name: inside(world, name)})
        assert torch.equal(done.factors, asked.factors) and torch.equal(done.observation, asked.observation)
    for root in world.graph.roots:
        assert not bool(torch.isin(other[root], units[root]).any())


def test_doing_nothing_gives_the_unit_itself(world: World, units: Sample) -> None:
    for name in world.graph.nodes:
        elsewhere = world.counterfactual(units, {name: inside(world, name)})
        for start in (units, elsewhere):  # also from a counterfactual, since it is the same unit
            same = world.counterfactual(start, {})
            assert torch.equal(same.factors, units.factors) and torch.equal(same.observation, units.observation)
            assert all(torch.equal(same.noise[k], units.noise[k]) for k in units.noise)


def test_setting_a_cause_back_gives_the_unit_itself(world: World, units: Sample) -> None:
    for name in world.graph.nodes:
        low, high = world.ranges[name]
        known = (units[name] >= low) & (units[name] <= high)  # a rare unit lies in the tail outside
        assert int(known.sum()) > 0.9 * N
        there = world.counterfactual(units, {name: inside(world, name)})
        back = world.counterfactual(there, {name: units[name].clamp(low, high)})
        assert not torch.equal(there.observation, units.observation)
        assert torch.equal(back.factors[known], units.factors[known])
        assert torch.equal(back.observation[known], units.observation[known])


def test_only_the_cause_and_its_descendants_move(world: World, units: Sample) -> None:
    for name in world.graph.nodes:
        moved = world.counterfactual(units, {name: inside(world, name)})
        below = {name, *world.graph.descendants(name)}
        for other in world.graph.nodes:
            assert torch.equal(moved[other], units[other]) == (other not in below), (name, other)


def test_do_cuts_the_mechanism(world: World, units: Sample) -> None:
    value = {name: torch.linspace(*world.ranges[name], N) for name in world.graph.nodes}
    for name in world.graph.nodes:
        above = {parent: inside(world, parent, 0.7) for parent in world.graph.parents(name)}
        alone = world.counterfactual(units, {name: value[name]})
        with_causes = world.counterfactual(units, {name: value[name], **above})
        assert torch.equal(alone[name], value[name]) and torch.equal(with_causes[name], value[name])
    assert torch.equal(world.counterfactual(units, value).factors, torch.stack(list(value.values()), 1))


def test_shared_noise_is_what_abduction_finds(world: World, units: Sample) -> None:
    for name in world.graph.nodes:
        do = {name: inside(world, name)}
        by_pearl = world.scm.counterfactual(units.factors, do).values
        assert torch.allclose(by_pearl, world.counterfactual(units, do).factors, atol=2e-3)


def test_soft_interventions_and_distributions_reach_the_units(world: World, units: Sample) -> None:
    name = world.graph.nodes[0]
    step = 0.01 * (world.ranges[name][1] - world.ranges[name][0])
    assert torch.allclose(world.counterfactual(units, {name: Add(step)})[name], units[name] + step, atol=1e-5)
    assert torch.allclose(world.counterfactual(units, {name: Scale(0.9)})[name], 0.9 * units[name], atol=1e-5)
    low, high = inside(world, name, 0.4), inside(world, name, 0.6)
    drawn = world.counterfactual(units, {name: Uniform(low, high)})[name]
    assert bool(((drawn >= low) & (drawn <= high)).all()) and len(torch.unique(drawn)) == N


@pytest.mark.parametrize("value", [30.0, 30, Set(30.0), torch.full((4,), 30.0), np.float64(30), np.full(4, 30.0)])
def test_a_value_may_be_given_in_many_ways(value: Any) -> None:
    world = Pendulum(16)
    assert world.sample(4, do={"angle": value})["angle"].tolist() == [30.0] * 4


def test_pictures_lie_in_the_unit_interval(world: World, units: Sample) -> None:
    ends: list[dict[str, Any]] = [{name: end} for name in world.graph.nodes for end in world.ranges[name]]
    for do in [{}, *ends]:
        picture = world.counterfactual(units, do).observation
        assert bool(((picture >= 0) & (picture <= 1)).all())  # false for nan, too
        assert bool((picture.flatten(1).amax(1) > picture.flatten(1).amin(1)).all())


def test_a_sample_is_read_by_name() -> None:
    drawn = Pendulum(16).sample(4)
    assert torch.equal(drawn["light"], drawn.factors[:, 1]) and len(drawn) == 4
    with pytest.raises(CounterfactoryError, match="unknown cause") as caught:
        drawn["lihgt"]
    assert "light" in caught.value.hint


def test_workers_share_one_stream_without_a_unit_twice() -> None:
    """After 1,024 units each of two workers has given two blocks of 256: together the first four of the one stream."""
    loader = DataLoader(Pendulum(8), batch_size=64, num_workers=2)
    shared = torch.cat([batch["labels"] for batch, _ in zip(loader, range(16), strict=False)])
    alone = torch.stack([unit["labels"] for unit, _ in zip(Pendulum(8), range(1024), strict=False)])
    assert len(torch.unique(shared, dim=0)) == 1024
    assert torch.equal(torch.unique(shared, dim=0), torch.unique(alone, dim=0))
    reseeded = Pendulum(8)
    reseeded.seed = 1
    first = torch.stack([unit["labels"] for unit, _ in zip(reseeded, range(256), strict=False)])
    assert not bool(torch.isin(first[:, 0], alone[:, 0]).any())


def test_a_world_is_a_hugging_face_data_set() -> None:
    world = Pendulum(16)
    table, drawn = world.dataset(5, seed=1), world.sample(5, seed=1)
    assert table.column_names == ["image", *world.graph.nodes] and len(table) == 5
    for name in world.graph.nodes:
        assert table[name][:] == drawn[name].tolist()
    pictures = torch.tensor(table["image"][:])
    assert pictures.shape == (5, 16, 16, 3)
    assert float((pictures.permute(0, 3, 1, 2) / 255 - drawn.observation).abs().max()) <= 0.5 / 255 + 1e-6
    together = world.tensors(5, seed=1)
    assert torch.equal(together["image"], drawn.observation) and torch.equal(together["labels"], drawn.factors)


def told(error: CounterfactoryError) -> dict[str, str]:
    parts = error.parts()
    assert set(parts) == {"what", "given", "expected", "try"} and all(parts.values())
    return parts


@pytest.mark.parametrize(
    ("do", "what", "given", "expected"),
    [
        ({"angel": 1.0}, "unknown cause of the world 'pendulum'", "angel", "one of angle, light"),
        ({"angle": 99.0}, "the value for 'angle' is outside its range", "99", "from -36 to 38.7 degrees"),
        ({"light": 10}, "the value for 'light' is outside its range", "10", "from 54 to 132.3 degrees"),
        ({"angle": float("nan")}, "the value for 'angle' is outside its range", "nan", "from -36 to 38.7"),
        ({"angle": Set(float("inf"))}, "the value for 'angle' is outside its range", "inf", "from -36 to 38.7"),
        ({"angle": torch.tensor([0.0, 1.0, 77.0])}, "the value for 'angle' is outside its range", "77", "from -36"),
        (
            {"light": 80.0, "angle": np.full(9, 50.0)},
            "the value for 'angle' is outside",
            "9 values from 50",
            "from -36",
        ),
        ({"angle": torch.zeros(2)}, "the value for 'angle' has the wrong shape", "(2,)", "(3,)"),
        ({"angle": Add(float("nan"))}, "the intervention on 'angle' is not finite", "nan", "finite"),
        ({"angle": "left"}, "no intervention on 'angle'", "left", "a number"),
        ({"angle": None}, "no intervention on 'angle'", "None", "a number"),
        ({"angle": [0.0, 1.0, 2.0]}, "no intervention on 'angle'", "[0.0, 1.0, 2.0]", "a tensor [n]"),
    ],
)
def test_what_cannot_be_done_is_told_in_four_parts(do: dict[str, Any], what: str, given: str, expected: str) -> None:
    world = Pendulum(8)
    units = world.sample(3)
    for ask in (lambda: world.counterfactual(units, do), lambda: world.sample(3, do=do)):
        with pytest.raises(CounterfactoryError) as caught:
            ask()
        parts = told(caught.value)
        assert what in parts["what"] and given in parts["given"] and expected in parts["expected"]


@pytest.mark.parametrize("n", [0, -4])
def test_what_cannot_be_drawn_is_told_in_four_parts(n: int) -> None:
    world = Pendulum(8)
    for ask in (world.sample, world.tensors, world.dataset):
        with pytest.raises(CounterfactoryError, match="no units to draw") as caught:
            ask(n)
        assert told(caught.value)["given"] == str(n)


@pytest.mark.parametrize(
    ("name", "options", "what", "part"),
    [
        ("pendulm", {}, "unknown world", "did you mean 'pendulum'"),
        ("mnist", {}, "unknown world", "one of pendulum"),
        ("pendulum", {"size": 3}, "does not take these options", "'size'"),
        ("pendulum", {"split": "test"}, "does not take these options", "'split'"),
    ],
)
def test_what_cannot_be_loaded_is_told_in_four_parts(name: str, options: dict, what: str, part: str) -> None:
    with pytest.raises(CounterfactoryError, match=what) as caught:
        load(name, **options)
    parts = told(caught.value)
    assert part in parts["expected"] + parts["try"]


def test_a_world_without_a_reader_says_so() -> None:
    units = Pendulum(8).sample(2)
    with pytest.raises(CounterfactoryError, match="the world 'pendulum' cannot read causes") as caught:
        World.read(Pendulum(8), units.observation, units)
    assert "oracle" in told(caught.value)["try"]


@pytest.mark.parametrize("name", WORLDS)
def test_every_world_says_what_its_causes_are_measured_in(name: str) -> None:
    world = load(name)
    assert set(world.graph.nodes) == set(world.ranges) == set(world.units)
    assert world.name == name and all(low < high for low, high in world.ranges.values())


def test_the_stream_shares_no_unit_with_samples_of_small_seeds() -> None:
    world = load("pendulum", image_size=16)
    stream = next(iter(DataLoader(world, batch_size=256)))["labels"]
    assert not any(torch.equal(stream, world.sample(256, seed=seed).factors) for seed in range(8))
