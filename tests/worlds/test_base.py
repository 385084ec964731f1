"""What holds in every world: do() cuts, counterfactuals keep the unit, and bad requests are refused."""

import pytest
import torch
from torch.utils.data import DataLoader

from counterfactory.causal import Add
from counterfactory.errors import CounterfactoryError
from counterfactory.worlds import WORLDS, World, load

SMALL = {"pendulum": {"image_size": 16}, "pendulum_exact": {"image_size": 16}}
CAUSAL = ("pendulum", "pendulum_exact", "morpho_digits")


@pytest.fixture(scope="module", params=CAUSAL)
def world(request) -> World:
    return load(request.param, **SMALL.get(request.param, {}))


def middle(world: World, name: str) -> float:
    low, high = world.ranges[name]
    return low + 0.4 * (high - low)


def test_the_same_seed_draws_the_same_units_whatever_is_done(world: World) -> None:
    first = world.graph.nodes[0]
    a, b, other = (
        world.sample(20, seed=3),
        world.sample(20, seed=3, do={first: middle(world, first)}),
        world.sample(20, seed=4),
    )
    assert all(torch.equal(a.noise[k], b.noise[k]) for k in a.noise)
    assert not torch.equal(a.factors, other.factors)
    assert torch.equal(a.observation, world.sample(20, seed=3).observation)


def test_doing_nothing_is_the_unit_itself_and_going_back_is_too(world: World) -> None:
    a = world.sample(30, seed=0)
    assert torch.equal(world.counterfactual(a, {}).observation, a.observation)
    for name in world.graph.nodes:
        there = world.counterfactual(a, {name: middle(world, name)})
        assert torch.allclose(there[name], torch.full((30,), middle(world, name)))
        low, high = world.ranges[name]
        known = (a[name] >= low) & (a[name] <= high)  # a rare unit in the tail of its noise may lie outside
        back = world.counterfactual(there, {name: a[name].clamp(low, high)})
        assert torch.allclose(back.factors[known], a.factors[known], atol=1e-4) and int(known.sum()) > 27
        assert torch.allclose(back.observation[known], a.observation[known], atol=1e-3)


def test_only_descendants_move(world: World) -> None:
    a = world.sample(30, seed=1)
    for name in world.graph.nodes:
        moved = world.counterfactual(a, {name: middle(world, name)})
        below = {name, *world.graph.descendants(name)}
        for other in world.graph.nodes:
            assert bool((moved[other] != a[other]).any()) == (other in below), (name, other)
        cut = world.counterfactual(a, {n: middle(world, n) for n in below})
        assert all(torch.allclose(cut[n], torch.full((30,), middle(world, n))) for n in below)  # parents have no say


def test_soft_interventions_go_through(world: World) -> None:
    a, name = world.sample(10, seed=2), world.graph.nodes[0]
    step = 0.01 * (world.ranges[name][1] - world.ranges[name][0])
    assert torch.allclose(world.counterfactual(a, {name: Add(step)})[name], a[name] + step, atol=1e-4)


def test_a_sample_is_read_by_name() -> None:
    a = load("pendulum", image_size=16).sample(4)
    assert torch.equal(a["light"], a.factors[:, 1]) and len(a) == 4
    with pytest.raises(CounterfactoryError, match="unknown cause"):
        a["lihgt"]


def test_workers_share_the_stream_without_a_unit_twice() -> None:
    world = load("pendulum", image_size=16)
    rows = []
    for batch in DataLoader(world, batch_size=64, num_workers=2):
        rows.append(batch["labels"])
        if len(rows) == 10:
            break
    seen = torch.cat(rows)
    assert len(torch.unique(seen, dim=0)) == len(seen) == 640
    again = next(iter(DataLoader(world, batch_size=64)))
    assert torch.equal(again["labels"], next(iter(DataLoader(world, batch_size=64)))["labels"])


def test_a_world_is_a_hugging_face_data_set() -> None:
    world = load("pendulum", image_size=16)
    table, drawn = world.dataset(5, seed=1), world.sample(5, seed=1)
    assert table.column_names == ["image", *world.graph.nodes] and len(table) == 5
    assert table[2]["angle"] == pytest.approx(float(drawn["angle"][2]))
    picture = torch.tensor(table[2]["image"]).permute(2, 0, 1) / 255
    assert float((picture - drawn.observation[2]).abs().max()) <= 0.5 / 255 + 1e-6


@pytest.mark.parametrize(
    ("do", "what"),
    [
        ({"angel": 1.0}, "unknown cause of the world 'pendulum'"),
        ({"angle": 99.0}, "the value for 'angle' is outside its range"),
        ({"angle": float("nan")}, "the value for 'angle' is outside its range"),
        ({"angle": torch.tensor([0.0, 1.0, 77.0])}, "the value for 'angle' is outside its range"),
    ],
)
def test_what_cannot_be_done(do: dict, what: str) -> None:
    world = load("pendulum", image_size=16)
    with pytest.raises(CounterfactoryError, match=what):
        world.counterfactual(world.sample(3), do)
    with pytest.raises(CounterfactoryError, match=what):
        world.sample(3, do=do)


def test_what_cannot_be_drawn() -> None:
    with pytest.raises(CounterfactoryError, match="no units to draw"):
        load("pendulum").sample(0)
    with pytest.raises(CounterfactoryError, match="unknown world") as caught:
        load("pendulm")
    assert "pendulum" in caught.value.hint
    with pytest.raises(CounterfactoryError, match="does not take these options"):
        load("pendulum", size=3)


@pytest.mark.parametrize("name", WORLDS)
def test_every_world_says_what_its_causes_are_measured_in(name: str) -> None:
    world = load(name)
    assert set(world.graph.nodes) <= set(world.ranges) and set(world.graph.nodes) <= set(world.units)
    assert world.name == name and all(low < high for low, high in world.ranges.values())
    assert (type(world).__doc__ or "").strip()
