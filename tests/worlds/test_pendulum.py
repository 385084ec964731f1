"""The pendulum world: its geometry computed by hand, its noise, and its reader."""

import math

import pytest
import torch

from counterfactory.errors import CounterfactoryError
from counterfactory.worlds import load

WORLD = load("pendulum")
UNITS = WORLD.sample(400, seed=1)


def shadow(angle: float, light: float) -> tuple[float, float]:
    """Length and midpoint of the shadow, from similar triangles."""
    theta, phi = math.radians(angle), math.radians(light)
    ends = (10.0, 10.5), (10 + 9.5 * math.sin(theta), 10.5 - 9.5 * math.cos(theta))
    feet = [(-0.5 - (y - x * math.tan(phi))) / math.tan(phi) for x, y in ends]
    return max(3.0, abs(feet[0] - feet[1])), sum(feet) / 2


@pytest.mark.parametrize("angle", [-36.0, -7.5, 0.0, 20.0, 38.0])
@pytest.mark.parametrize("light", [54.0, 75.0, 91.0, 132.0])
def test_the_shadow_is_where_the_rays_meet_the_ground(angle: float, light: float) -> None:
    sample = load("pendulum_exact").sample(1, do={"angle": angle, "light": light})
    length, position = shadow(angle, light)
    assert float(sample["shadow_length"][0]) == pytest.approx(length, abs=1e-3)
    assert float(sample["shadow_position"][0]) == pytest.approx(position, abs=1e-3)


def test_the_shadow_has_noise_of_its_own_and_the_exact_variant_has_none() -> None:
    own = WORLD.scm.predict(torch.stack([UNITS.noise[n] for n in UNITS.names], 1) * torch.tensor([1, 1, 0, 0])).float()
    rest = UNITS.factors - own
    assert torch.equal(rest[:, :2], torch.zeros(400, 2))
    for column, half in ((2, 4.5), (3, 8.0)):
        noise = rest[:, column]
        assert float(noise.std()) == pytest.approx(0.3 * half, rel=0.1)
        assert abs(float(noise.mean())) < 0.15 * half and float(noise.abs().max()) <= 0.3 * half * math.sqrt(3) + 1e-4
    exact = load("pendulum_exact").sample(50, seed=2)
    assert not bool(exact.noise["shadow_length"].any())


def test_the_whole_picture_is_seen_and_read() -> None:
    read = WORLD.read(UNITS.observation)
    error = (read - UNITS.factors).abs()
    # angle and light to a tenth of a degree; a shadow that leaves the picture loses what is outside
    inside = (UNITS["shadow_position"] - UNITS["shadow_length"] / 2 > -0.9) & (
        UNITS["shadow_position"] + UNITS["shadow_length"] / 2 < 22.9
    )
    assert float(error[:, 0].mean()) < 0.2 and float(error[:, 1].mean()) < 0.2
    assert float(error[inside, 2].mean()) < 0.25 and float(error[inside, 3].mean()) < 0.1
    assert float(UNITS.observation.min()) >= 0 and float(UNITS.observation.max()) <= 1


def test_each_do_moves_its_own_ink_only() -> None:
    for name, value, untouched in (("shadow_length", 9.0, slice(0, 26)), ("light", 80.0, slice(8, 20))):
        moved = WORLD.counterfactual(UNITS, {name: value})
        change = (moved.observation - UNITS.observation).abs().amax(1)
        assert bool(change.any()) and not bool(change[:, untouched].any()), name


@pytest.mark.parametrize("size", [16, 64])
def test_any_size_shows_the_same_scene(size: int) -> None:
    scene = load("pendulum", image_size=size).sample(3, seed=5)
    fine = load("pendulum", image_size=96).sample(3, seed=5)
    assert scene.observation.shape == (3, 3, size, size)
    shrunk = torch.nn.functional.interpolate(fine.observation, size=(size, size), mode="area")
    assert float((shrunk - scene.observation).abs().mean()) < 0.02


def test_values_outside_the_range_are_named() -> None:
    with pytest.raises(CounterfactoryError, match="the value for 'light' is outside its range") as caught:
        WORLD.counterfactual(UNITS, {"light": 10.0})
    assert "from 54 to 132.3 degrees" in caught.value.expected
