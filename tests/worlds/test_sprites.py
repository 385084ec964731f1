"""The sprites world: an exact grid, read without error, whose causes do not touch each other."""

import pytest
import torch

from counterfactory.errors import CounterfactoryError
from counterfactory.worlds import load
from counterfactory.worlds.sprites import LEVELS, hue_to_rgb

WORLD = load("sprites")


def test_all_pictures_of_the_grid_differ_and_are_read_back() -> None:
    assert len(WORLD.grid) == 6 * 6 * 4 * 6 * 3 == len(WORLD.pictures)
    some = torch.randperm(len(WORLD.grid), generator=torch.Generator().manual_seed(0))[:300]
    apart = torch.cdist(WORLD.pictures[some].flatten(1), WORLD.pictures.flatten(1))
    apart[torch.arange(300), some] = torch.inf
    assert float(apart.min()) > 0.3
    assert torch.equal(WORLD.read(WORLD.pictures[some]), WORLD.grid[some])
    noisy = (WORLD.pictures[some] + 0.01 * torch.randn(300, 3, 32, 32)).clamp(0, 1)
    assert torch.equal(WORLD.read(noisy), WORLD.grid[some])


def test_every_level_is_equally_likely_and_causes_are_independent() -> None:
    noise = WORLD.exogenous(20_000, seed=0)
    for cause, n in LEVELS.items():
        counts = torch.bincount(noise[cause].long(), minlength=n)
        assert len(counts) == n and float((counts / 20_000 - 1 / n).abs().max()) < 0.02
    table = torch.corrcoef(torch.stack([noise[c].double() for c in LEVELS]))
    assert float((table - torch.eye(5)).abs().max()) < 0.03


@pytest.mark.parametrize("cause", LEVELS)
def test_a_counterfactual_changes_one_cause(cause: str) -> None:
    units = WORLD.sample(40, seed=1)
    moved = WORLD.counterfactual(units, {cause: 1.0})
    expected = units.factors.clone()
    expected[:, list(LEVELS).index(cause)] = 1.0
    assert torch.equal(WORLD.read(moved.observation), expected)
    same = units[cause] == 1
    assert torch.equal(moved.observation[same], units.observation[same])


def test_the_whole_shape_is_seen_at_every_place() -> None:
    lit = (WORLD.pictures - 0.1).abs().amax(1) > 0.02
    assert not bool(lit[:, 0].any() | lit[:, -1].any() | lit[:, :, 0].any() | lit[:, :, -1].any())
    colours = hue_to_rgb(torch.arange(6) / 6)
    assert float(torch.cdist(colours, colours).add(10 * torch.eye(6)).min()) > 0.5


def test_other_levels_make_another_grid_that_is_read_as_exactly() -> None:
    world = load("sprites", image_size=16, x=3, y=9, size=2, hue=12, shape=2)
    assert len(world.grid) == 3 * 9 * 2 * 12 * 2 == len(world.pictures) and world.ranges["hue"] == (0, 11)
    assert torch.equal(world.read(world.pictures), world.grid)
    ends = world.counterfactual(world.sample(2, seed=0), {"x": 2.0, "y": 8.0, "size": 1.0, "shape": 1.0, "hue": 6.0})
    usual = load("sprites", image_size=16)
    same = usual.counterfactual(usual.sample(2, seed=0), {"x": 5.0, "y": 5.0, "size": 3.0, "shape": 1.0, "hue": 3.0})
    assert torch.allclose(ends.observation, same.observation, atol=1e-6)  # levels divide the same room
    assert WORLD.ranges["hue"] == (0, 5)


def test_continuous_causes_lie_between_the_levels_and_read_in_place() -> None:
    world = load("sprites", continuous=True)
    units = world.sample(200, seed=0)
    assert bool((units["shape"] == units["shape"].round()).all())
    for cause in ("x", "y", "size", "hue"):
        assert len(units[cause].unique()) == 200 and float(units[cause].min()) >= 0
        assert float(units[cause].max()) <= LEVELS[cause] - 1
    apart = (world.read(units.observation) - units.factors).abs()
    assert float(apart[:, :2].median(0).values.max()) <= 0.5
    moved = world.counterfactual(units, {"x": 2.5})
    assert torch.equal(moved.factors[:, 1:], units.factors[:, 1:]) and bool((moved["x"] == 2.5).all())


def test_what_cannot_be_a_grid() -> None:
    for options in ({"size": 1}, {"shape": 4}):
        with pytest.raises(CounterfactoryError, match="cannot have that many levels"):
            load("sprites", **options)
    with pytest.raises(CounterfactoryError, match="too many pictures to keep"):
        load("sprites", x=32, y=32, hue=20).read(WORLD.pictures[:2])
