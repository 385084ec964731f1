"""The sprites world: an exact grid, read without error, whose causes do not touch each other."""

import pytest
import torch

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
