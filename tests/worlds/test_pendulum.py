"""The pendulum world: its geometry and its pictures computed again by hand, its noise, and its reader."""

import math

import numpy as np
import pytest
import torch

from counterfactory.errors import CounterfactoryError
from counterfactory.worlds.pendulum import Pendulum, PendulumExact

WORLD = Pendulum()
UNITS = WORLD.sample(1000, seed=1)


def shadow(angle: float, light: float) -> tuple[float, float]:
    """Length and midpoint of the shadow: lines of slope tan(light) followed down to y = -1/2."""
    theta, slope = math.radians(angle), math.tan(math.radians(light))
    ends = (10.0, 10.5), (10 + 9.5 * math.sin(theta), 10.5 - 9.5 * math.cos(theta))
    feet = [(-0.5 - (y - x * slope)) / slope for x, y in ends]
    return max(3.0, abs(feet[0] - feet[1])), sum(feet) / 2


@pytest.mark.parametrize("angle", [-36.0, -7.5, 0.0, 20.0, 38.0])
@pytest.mark.parametrize("light", [54.0, 75.0, 91.0, 132.0])
def test_the_shadow_is_where_the_rays_meet_the_ground(angle: float, light: float) -> None:
    sample = PendulumExact(8).sample(1, do={"angle": angle, "light": light})
    length, position = shadow(angle, light)
    assert float(sample["shadow_length"][0]) == pytest.approx(length, abs=1e-4)
    assert float(sample["shadow_position"][0]) == pytest.approx(position, abs=1e-4)


@pytest.mark.parametrize(
    ("angle", "light", "length", "position"),
    [
        (0.0, 90.0, 3.0, 10.0),  # a hanging pendulum under the sun at noon: the least length, right below
        (30.0, 90.0, 4.75, 12.375),  # sin 30 = 1/2
        (30.0, 63.43494882, 8.86362067, 8.93181033),  # tan(light) = 2
        (-30.0, 116.56505118, 8.86362067, 11.06818967),  # its mirror image about x = 10
        (0.0, 116.56505118, 4.75, 13.125),
    ],
)
def test_shadows_worked_by_hand(angle: float, light: float, length: float, position: float) -> None:
    sample = PendulumExact(8).sample(1, do={"angle": angle, "light": light})
    assert sample.factors[0].tolist() == pytest.approx([angle, light, length, position], abs=1e-4)


def test_the_shadow_has_noise_of_its_own() -> None:
    formula = torch.tensor([shadow(a, b) for a, b in UNITS.factors[:, :2].tolist()])
    rest = UNITS.factors[:, 2:] - formula
    for column, (name, half) in enumerate({"shadow_length": 4.5, "shadow_position": 8.0}.items()):
        assert torch.allclose(rest[:, column], UNITS.noise[name], atol=1e-4)
        own = rest[:, column] / half
        assert float(own.std()) == pytest.approx(0.3, rel=0.05) and abs(float(own.mean())) < 0.03
        assert float(own.abs().max()) <= 0.3 * math.sqrt(3) + 1e-4
    unrelated = torch.corrcoef(torch.cat([UNITS.factors[:, :2], rest], 1).T) - torch.eye(4)
    assert float(unrelated.abs().max()) < 0.1


def test_the_exact_variant_has_a_shadow_that_the_roots_determine() -> None:
    world = PendulumExact(8)
    a, b = world.sample(50, seed=2), world.sample(50, seed=3)
    roots = {"angle": a["angle"], "light": a["light"]}
    other = world.counterfactual(b, roots)  # other units, the same roots: the same shadow and the same picture
    assert torch.equal(other.factors, a.factors) and torch.equal(other.observation, a.observation)
    noisy = Pendulum(8)
    apart = noisy.counterfactual(noisy.sample(50, seed=3), roots)["shadow_length"] - a["shadow_length"]
    assert float(apart.abs().mean()) > 0.5


def test_all_units_lie_in_the_ranges() -> None:
    factors = WORLD.scm.predict(torch.stack(list(WORLD.exogenous(20_000, seed=0).values()), 1))
    for name, column in zip(WORLD.graph.nodes, factors.T, strict=True):
        low, high = WORLD.ranges[name]
        assert low <= float(column.min()) and float(column.max()) <= high


def by_hand(factors: np.ndarray, size: int, fine: int = 8) -> np.ndarray:
    """Hard-edged shapes on a grid `fine` times finer, averaged to pixels; [n, size, size, 3]."""
    side = (np.arange(size * fine) + 0.5) * 24 / (size * fine)
    x, y = np.meshgrid(-1 + side, -1.75 + side[::-1])
    pictures = []
    for angle, light, length, position in factors:
        theta = math.radians(angle)
        sun_x = 10 + (20.5 - 10.5) / math.tan(math.radians(light))  # the ray through the pivot, up in the sky
        end_x, end_y = 10 + 8 * math.sin(theta), 10.5 - 8 * math.cos(theta)
        along = np.clip(((x - 10) * (end_x - 10) + (y - 10.5) * (end_y - 10.5)) / 64, 0, 1)
        to_rod = (x - 10 - along * (end_x - 10)) ** 2 + (y - 10.5 - along * (end_y - 10.5)) ** 2
        picture = np.ones((*x.shape, 3))
        picture[(x - sun_x) ** 2 + (y - 20.5) ** 2 < 9] = 1.0, 0.75, 0.05
        picture[to_rod < 0.25] = 0.15, 0.15, 0.25
        picture[(x - end_x) ** 2 + (y - end_y) ** 2 < 2.25] = 0.85, 0.15, 0.15
        picture[(abs(x - position) < length / 2) & (abs(y + 0.5) < 0.6)] = 0.15, 0.15, 0.25
        pictures.append(picture.reshape(size, fine, size, fine, 3).mean((1, 3)))
    return np.stack(pictures)


@pytest.mark.parametrize(("size", "most"), [(16, 0.006), (32, 0.002), (64, 0.001)])
def test_pictures_are_the_shapes_seen_through_pixels(size: int, most: float) -> None:
    drawn = Pendulum(size).sample(20, seed=5)
    assert drawn.observation.shape == (20, 3, size, size)
    truth = by_hand(drawn.factors.double().numpy(), size)
    assert np.abs(drawn.observation.permute(0, 2, 3, 1).numpy() - truth).mean() < most


def test_each_do_moves_its_own_ink_only() -> None:
    for name, value, untouched in (("shadow_length", 9.0, slice(0, 26)), ("light", 80.0, slice(8, 26))):
        moved = WORLD.counterfactual(UNITS, {name: value})
        change = (moved.observation != UNITS.observation).any(1)
        assert bool(change.any((1, 2)).all()) and not bool(change[:, untouched].any()), name


def errors(world: Pendulum, do: dict) -> tuple[torch.Tensor, torch.Tensor]:
    """Errors of the reader, and which units have their whole shadow in the picture."""
    drawn = world.counterfactual(world.sample(1000, seed=1), do)
    left, right = (drawn["shadow_position"] + side * drawn["shadow_length"] / 2 for side in (-1, 1))
    return (world.read(drawn.observation) - drawn.factors).abs(), (left > -1) & (right < 23)


@pytest.mark.parametrize("do", [{}, {"angle": 20.0}, {"shadow_length": 9.0}, {"light": 70.0, "shadow_position": 14.0}])
def test_the_reader_recovers_the_causes(do: dict) -> None:
    """At 32 pixels, one of which is 0.75 units: to 0.3 degrees and 0.35 units at worst, where all is in view."""
    error, whole = errors(WORLD, do)
    light = WORLD.counterfactual(UNITS, do)["light"]
    assert float(whole.float().mean()) > 0.9
    assert float(error[:, 0].max()) < 0.3
    assert float(error[light < 128, 1].max()) < 0.3 and float(error[:, 1].max()) < 1.3  # beyond, the sun is cut off
    assert float(error[whole, 2].max()) < 0.35 and float(error[whole, 3].max()) < 0.2


def test_the_reader_is_sharper_on_a_finer_picture() -> None:
    coarse, fine = (errors(Pendulum(size), {})[0].mean(0) for size in (16, 64))
    assert bool((fine < 0.5 * coarse).all())


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"image_size": 0}, "cannot be drawn at that size"),
        ({"image_size": 7}, "cannot be drawn at that size"),
        ({"shadow_noise": -0.3}, "noise has a bad size"),
        ({"shadow_noise": float("nan")}, "noise has a bad size"),
        ({"shadow_noise": math.inf}, "noise has a bad size"),
    ],
)
def test_bad_options_are_told_in_four_parts(options: dict, what: str) -> None:
    with pytest.raises(CounterfactoryError, match=what) as caught:
        Pendulum(**options)
    assert caught.value.parts()["given"] == str(next(iter(options.values()))) and all(caught.value.parts().values())
