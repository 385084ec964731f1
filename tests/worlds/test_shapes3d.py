"""The shapes3d world: rays against a march through signed distances, pictures read back, one cause at a time."""

import numpy as np
import pytest
import torch

from counterfactory.worlds import load
from counterfactory.worlds.shapes3d import LEVELS, SHAPES, _meets, _normal, _sizes, trace

WORLD = load("shapes3d")
CAUSES = list(LEVELS)


def distance(shape: int, scale: float, p: np.ndarray) -> np.ndarray:
    """Signed distance to the object, from the definitions of the shapes."""
    radius, height, straight = _sizes(shape, scale)
    p = p - [0, height, 0]
    if shape == 0:
        q = np.abs(p) - radius
        return np.linalg.norm(np.maximum(q, 0), axis=-1) + np.minimum(q.max(-1), 0)
    if shape == 1:
        q = np.stack([np.hypot(p[..., 0], p[..., 2]) - radius, np.abs(p[..., 1]) - height], -1)
        return np.linalg.norm(np.maximum(q, 0), axis=-1) + np.minimum(q.max(-1), 0)
    axis = np.clip(p[..., 1], -straight, straight)
    return np.linalg.norm(p - axis[..., None] * [0, 1, 0], axis=-1) - radius


@pytest.mark.parametrize("shape", range(4))
def test_rays_meet_the_object_where_a_march_through_its_distances_does(shape: int) -> None:
    rng = np.random.default_rng(shape)
    eye, scale = np.array([1.5, 3.0, 4.0]), 1.1
    aim = rng.uniform([-1.6, -0.2, -1.2], [1.6, 2.8, 1.2], (2000, 3))
    rays = (aim - eye) / np.linalg.norm(aim - eye, axis=1, keepdims=True)
    t = np.zeros(2000)
    for _ in range(400):
        t += distance(shape, scale, eye + t[:, None] * rays)
    marched = np.where(distance(shape, scale, eye + t[:, None] * rays) < 1e-9, t, np.inf)
    found = _meets(shape, scale, eye, rays)
    sure = np.abs(distance(shape, scale, eye + np.minimum(t, 50)[:, None] * rays)) < 1e-9
    agree = np.isfinite(found) == np.isfinite(marched)
    assert agree.mean() > 0.998 and 0.2 < np.isfinite(found).mean() < 0.9  # rays that graze an edge may differ
    both = np.isfinite(found) & sure
    assert np.abs(found[both] - t[both]).max() < 1e-6

    at = eye + found[both, None] * rays[both]
    step = 1e-6 * np.eye(3)
    slope = np.stack([distance(shape, scale, at + e) - distance(shape, scale, at - e) for e in step], 1) / 2e-6
    smooth = np.abs(np.linalg.norm(slope, axis=1) - 1) < 1e-3  # on an edge there is no gradient
    assert smooth.mean() > 0.98
    assert np.abs(_normal(shape, scale, at) - slope)[smooth].max() < 1e-3


def test_every_geometry_in_any_colours_is_read_back() -> None:
    geometries = torch.cartesian_prod(*(torch.arange(float(LEVELS[cause])) for cause in CAUSES[3:]))
    hues = torch.randint(10, (480, 3), generator=torch.Generator().manual_seed(0)).float()
    factors = torch.cat([hues, geometries], 1)
    pictures = WORLD.render(factors, {})
    assert torch.equal(WORLD.read(pictures), factors)
    noisy = pictures + 0.004 * torch.randn(pictures.shape, generator=torch.Generator().manual_seed(1))
    assert torch.equal(WORLD.read(noisy), factors)
    assert float(pictures.min()) >= 0 and float(pictures.max()) <= 1


def test_the_grid_is_that_of_3d_shapes() -> None:
    assert WORLD.grid.shape == (480_000, 6) and torch.equal(WORLD.grid[17], torch.tensor([0, 0, 0, 0, 1, 2.0]))
    assert len(WORLD.grid.unique(dim=0)) == 480_000
    drawn = WORLD.exogenous(20_000, seed=0)
    for cause, n in LEVELS.items():
        counts = torch.bincount(drawn[cause].long(), minlength=n)
        assert len(counts) == n and float((counts / 20_000 - 1 / n).abs().max()) < 0.02


def test_the_lowest_row_is_floor_the_highest_is_wall_and_the_object_is_seen_whole() -> None:
    for size in (16, 32):
        for shape in range(4):
            for angle in (-30.0, 0.0, 30.0):
                floor, wall, thing, gloss = trace(size, 1.25, shape, angle)
                assert not bool(wall[-1].any() | thing[-1].any()) and not bool(floor[0].any() | thing[0].any())
                assert not bool(thing[:, 0].any() | thing[:, -1].any()) and float((thing > 0).float().mean()) > 0.05
                assert float((floor + wall + thing + gloss).max()) <= 1


def test_a_round_object_has_the_same_outline_from_every_side_and_a_cube_has_not() -> None:
    for shape, name in enumerate(SHAPES):
        there, front = (trace(32, 1.0, shape, angle)[2] > 0 for angle in (-30.0, 0.0))
        assert torch.equal(there, front) == (name != "cube")


def test_a_bigger_object_covers_more_and_throws_a_larger_shadow() -> None:
    small, large = (trace(32, scale, 2, 0.0) for scale in (0.75, 1.25))
    assert float(large[2].sum()) > 2 * float(small[2].sum())
    room = trace(32, 0.01, 2, 0.0)[0]  # next to nothing stands in it
    dark = [float(((part[0] < 0.8 * room) & (part[2] == 0)).sum()) for part in (small, large)]
    assert dark[1] > 1.5 * dark[0] > 0


@pytest.mark.parametrize("cause", CAUSES)
def test_a_counterfactual_changes_one_cause(cause: str) -> None:
    units = WORLD.sample(24, seed=1)
    moved = WORLD.counterfactual(units, {cause: 2.0})
    expected = units.factors.clone()
    expected[:, CAUSES.index(cause)] = 2.0
    assert torch.equal(WORLD.read(moved.observation), expected)
    same = units[cause] == 2
    assert torch.equal(moved.observation[same], units.observation[same])


def test_a_colour_changes_only_what_it_paints() -> None:
    units = WORLD.sample(16, seed=2)
    moved = WORLD.counterfactual(units, {"wall_hue": (units["wall_hue"] + 5) % 10})
    changed = (moved.observation != units.observation).any(1)
    for i, (scale, shape, angle) in enumerate(units.factors[:, 3:].tolist()):
        wall = trace(32, 0.75 + 0.5 * scale / 7, int(shape), -30 + 60 * angle / 14)[1]
        assert torch.equal(changed[i], wall > 0)


def test_a_picture_does_not_depend_on_its_batch_and_lies_between_its_neighbours() -> None:
    units = WORLD.sample(300, seed=3)
    assert torch.equal(WORLD.render(units.factors[7:8], {}), units.observation[7:8])
    low, middle, high = (WORLD.counterfactual(units, {"scale": at}).observation[:8] for at in (3.0, 3.5, 4.0))
    step, below, above = ((a - b).flatten(1).norm(dim=1) for a, b in ((high, low), (middle, low), (high, middle)))
    assert bool(((below < step) & (above < step)).all())
