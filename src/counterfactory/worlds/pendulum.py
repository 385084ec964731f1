"""The pendulum world: a pendulum, a sun and the shadow that the sun throws; four causes, two mechanisms.

angle, light -> shadow_length, shadow_position. The geometry is that of the CausalVAE generator (Yang et al., 2021),
with theta the pendulum's angle and phi the angle of the light:

    foot(x, y)       = x - (y + 1/2) cot(phi)                     where the ray through (x, y) meets the ground y = -1/2
    end              = (10 + 9.5 sin theta, 10.5 - 9.5 cos theta)
    shadow_length    = max(3, |foot(10, 10.5) - foot(end)|) + noise
    shadow_position  = (foot(10, 10.5) + foot(end)) / 2     + noise

With `shadow_noise=0` both shadow variables are functions of angle and light. Then the picture can be drawn from the
two roots alone, and a model with no mechanism between causes looks as if it propagated. That variant is kept as a
documented trap (`pendulum_exact`); by default the shadow has noise of its own, in units of half its range.
"""

import math
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from counterfactory.causal import SCM, AdditiveNoise, CausalGraph, Deterministic, Uniform
from counterfactory.errors import CounterfactoryError
from counterfactory.worlds.base import Sample, World

_GRAPH = CausalGraph(
    ["angle", "light", "shadow_length", "shadow_position"],
    [(cause, effect) for effect in ("shadow_length", "shadow_position") for cause in ("angle", "light")],
)
_LEFT, _BOTTOM, _SPAN = -1.0, -1.75, 24.0  # the visible square, in world units
_BLOCK = 128 * 32**2  # pixels drawn at a time: what stays in the processor's cache
_SMALLEST = 8  # pixels a side; below, the rod is thinner than a third of a pixel
_GROUND, _SKY = -0.5, 20.5
_ROD, _BOB, _SUN, _SHADOW = 0.5, 1.5, 3.0, 0.6  # half width, radius, radius, half width
# 1 - colour of each ink on white paper; independent, so that a picture can be unmixed
_INK = torch.tensor(
    [[0.15, 0.85, 0.85], [0.0, 0.25, 0.95], [0.85, 0.85, 0.75]]
)  # bob red, sun yellow, rod and shadow dark


def _feet(angle: Tensor, light: Tensor) -> tuple[Tensor, Tensor]:
    """Where the rays through the pivot and through the pendulum's end meet the ground."""
    theta, cot = torch.deg2rad(angle), 1 / torch.tan(torch.deg2rad(light))
    end_x, end_y = 10 + 9.5 * torch.sin(theta), 10.5 - 9.5 * torch.cos(theta)
    return 10 - 11 * cot, end_x - (end_y + 0.5) * cot


def shadow_length(parents: Float[Tensor, "2 n"]) -> Float[Tensor, " n"]:
    """Length of the shadow for angle and light in degrees, at least 3."""
    pivot, end = _feet(parents[0], parents[1])
    return (pivot - end).abs().clamp(min=3.0)


def shadow_position(parents: Float[Tensor, "2 n"]) -> Float[Tensor, " n"]:
    """Midpoint of the shadow for angle and light in degrees."""
    pivot, end = _feet(parents[0], parents[1])
    return (pivot + end) / 2


class Pendulum(World):
    """The pendulum world.

    Args:
        image_size: side of the square picture, in pixels, at least 8.
        shadow_noise: standard deviation of the shadow's own noise, in units of half its range (4.5 and 8); from 0.39 on
            some lengths are negative, and drawn as 0.

    Raises:
        CounterfactoryError: a picture too small to show the scene, or noise that is negative or not finite.

    Example:
        >>> world = Pendulum()
        >>> sample = world.sample(2, seed=0)
        >>> moved = world.counterfactual(sample, do={"angle": 30.0})
        >>> bool((moved["light"] == sample["light"]).all())
        True
    """

    name = "pendulum"
    ranges: ClassVar = {
        "angle": (-36.0, 38.7),
        "light": (54.0, 132.3),
        "shadow_length": (0.5, 15.0),
        "shadow_position": (-2.5, 24.0),
    }
    units: ClassVar = {"angle": "degrees", "light": "degrees", "shadow_length": "units", "shadow_position": "units"}

    def __init__(self, image_size: int = 32, shadow_noise: float = 0.3) -> None:
        if not (isinstance(image_size, int) and image_size >= _SMALLEST):
            raise CounterfactoryError(
                "the pendulum cannot be drawn at that size",
                given=image_size,
                expected=f"a whole number of pixels, at least {_SMALLEST}",
                hint="image_size=32 shows all four causes",
            )
        if not (math.isfinite(shadow_noise) and shadow_noise >= 0):
            raise CounterfactoryError(
                "the shadow's noise has a bad size",
                given=shadow_noise,
                expected="a finite number, 0 or more",
                hint="0.3 is the default; 0 makes the shadow a function of angle and light",
            )
        self.image_size = image_size
        half_range = {"shadow_length": 4.5, "shadow_position": 8.0}
        spread = {
            name: shadow_noise * half * math.sqrt(3) for name, half in half_range.items()
        }  # sd of U(-a, a) is a / sqrt 3
        self.scm = SCM(
            _GRAPH,
            {"shadow_length": AdditiveNoise(shadow_length), "shadow_position": AdditiveNoise(shadow_position)},
            {name: Uniform(*self.ranges[name]) for name in ("angle", "light")}
            | {name: Uniform(-a, a) if a > 0 else Deterministic(0.0) for name, a in spread.items()},
        )
        self._pixel = _SPAN / image_size
        centre = (torch.arange(image_size) + 0.5) * self._pixel
        self._x, self._y = (centre + _LEFT)[None, None, :], (centre.flip(0) + _BOTTOM)[None, :, None]

    def render(self, factors: Float[Tensor, "n f"], noise: dict[str, Tensor]) -> Float[Tensor, "n 3 h w"]:
        """Draw with signed distances, one soft edge a pixel wide; later inks cover earlier ones."""
        return torch.cat([self._draw(block) for block in factors.split(max(1, _BLOCK // self.image_size**2))])

    def _draw(self, factors: Tensor) -> Tensor:
        angle, light, length, position = (column[:, None, None] for column in factors.unbind(1))
        theta = torch.deg2rad(angle)
        sin, cos = torch.sin(theta), torch.cos(theta)
        sun = self._disc(10 + 10 / torch.tan(torch.deg2rad(light)), torch.as_tensor(_SKY), _SUN)
        x, y = self._x - 10, self._y - 10.5
        along = (x * sin - y * cos).clamp(0.0, 8.0)  # nearest point of the rod, measured from the pivot
        rod = self._cover(_ROD - torch.hypot(x - along * sin, y + along * cos))
        bob = self._disc(10 + 8 * sin, 10.5 - 8 * cos, _BOB)
        half = length.clamp(min=0.0) / 2
        # a box, whose covered area is proportional to its length, so that the length can be read back
        shadow = self._cover(half - (self._x - position).abs()) * self._cover(_SHADOW - (self._y - _GROUND).abs())
        picture = torch.zeros(len(factors), 3, self.image_size, self.image_size)
        for cover, ink in ((sun, _INK[1]), (rod, _INK[2]), (bob, _INK[0]), (shadow, _INK[2])):
            picture = torch.lerp(picture, ink[:, None, None], cover[:, None])
        return 1 - picture

    def _disc(self, x: Tensor, y: Tensor, radius: float) -> Tensor:
        return self._cover(radius - torch.hypot(self._x - x, self._y - y))

    def _cover(self, inside: Tensor) -> Tensor:
        """Share of a pixel that a shape covers, from the signed distance of its centre to the edge."""
        return (inside / self._pixel + 0.5).clamp(0.0, 1.0)

    def read(self, observation: Float[Tensor, "n 3 h w"], like: Sample | None = None) -> Float[Tensor, "n f"]:
        """Measure the causes: unmix the inks, then centres of mass of bob, sun and shadow, and the shadow's mass."""
        ink = torch.einsum("nchw,ck->nkhw", 1 - observation, torch.linalg.inv(_INK)).clamp(0, 1)
        # a soft threshold keeps faint colour casts of generated pictures out of the sums
        bob, sun, dark = ((layer - 0.15).clamp(min=0) for layer in ink.unbind(1))
        ground = self._y < _GROUND + _SHADOW + self._pixel / 2
        bob_x, bob_y = self._centre(bob * (~ground & (self._y < 12)))
        sun_x, _ = self._centre(sun * (self._y > 14))
        shadow = dark * ground
        shadow_x, _ = self._centre(shadow)
        angle = torch.rad2deg(torch.atan2(bob_x - 10, 10.5 - bob_y))
        light = torch.rad2deg(torch.atan2(torch.full_like(sun_x, 10.0), sun_x - 10))
        column = (
            (self._cover(_SHADOW - (self._y - _GROUND).abs()) - 0.15).clamp(min=0).sum()
        )  # where the shadow is whole
        length = shadow.sum((1, 2)) * self._pixel / column
        return torch.stack([angle, light, length, shadow_x], dim=1)

    def _centre(self, mass: Tensor) -> tuple[Tensor, Tensor]:
        total = mass.sum((1, 2)).clamp(min=1e-6)
        return (mass * self._x).sum((1, 2)) / total, (mass * self._y).sum((1, 2)) / total


class PendulumExact(Pendulum):
    """The noise-free variant: the trap in which even an empty graph seems to propagate."""

    name = "pendulum_exact"

    def __init__(self, image_size: int = 32) -> None:
        super().__init__(image_size, shadow_noise=0.0)
