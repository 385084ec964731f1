"""The sprites world: one coloured shape on a dark ground, five independent causes on an exact grid.

x, y: place in the picture; size; hue: colour on the wheel; shape: disc, square or triangle. Each cause takes whole
levels, all of them equally likely, and no cause has an effect on another: the grid that disentanglement is studied on,
after dSprites (Matthey et al. 2017), drawn here and not downloaded. Between the levels, do() may ask for any value but
of the shape, which is rounded.
"""

from functools import cached_property
from itertools import product
from math import prod
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from counterfactory.causal import SCM, CausalGraph, Empirical, Uniform
from counterfactory.errors import CounterfactoryError
from counterfactory.worlds.base import Sample, World

LEVELS = {"x": 6, "y": 6, "size": 4, "hue": 6, "shape": 3}
_SMALL, _LARGE = 0.16, 0.30  # half the width of the smallest and the largest shape, in units of half the picture
_REACH = 0.6  # how far from the middle a shape can be
_GROUND = 0.1
_MOST = 50_000  # pictures that are kept in memory to read others by


class Sprites(World):
    """The sprites world.

    Args:
        image_size: side of the square picture, in pixels.
        x, y, size, hue, shape: number of levels of each cause, at least 2.
        continuous: draw x, y, size and hue evenly between their lowest and highest level, and not on the levels alone.

    Raises:
        CounterfactoryError: fewer than two levels, or more shapes than there are.

    Example:
        >>> world = Sprites(hue=12)
        >>> drawn = world.sample(4, seed=0)
        >>> bool((world.read(drawn.observation) == drawn.factors).all())
        True
    """

    name = "sprites"
    ranges: ClassVar = {cause: (0.0, n - 1.0) for cause, n in LEVELS.items()}
    units: ClassVar = dict.fromkeys(LEVELS, "level")

    def __init__(
        self,
        image_size: int = 32,
        x: int = LEVELS["x"],
        y: int = LEVELS["y"],
        size: int = LEVELS["size"],
        hue: int = LEVELS["hue"],
        shape: int = LEVELS["shape"],
        continuous: bool = False,
    ) -> None:
        self.image_size, self.continuous = image_size, continuous
        self.levels = _checked({"x": x, "y": y, "size": size, "hue": hue, "shape": shape})
        self.ranges = {cause: (0.0, n - 1.0) for cause, n in self.levels.items()}  # type: ignore[misc]
        noise = {
            cause: Uniform(0.0, n - 1.0) if continuous and cause != "shape" else Empirical(torch.arange(float(n)))
            for cause, n in self.levels.items()
        }
        self.scm = SCM(CausalGraph(LEVELS), {}, noise)
        centre = (torch.arange(image_size) + 0.5) * 2 / image_size - 1
        self._u, self._v = centre[None, None, :], centre[None, :, None]

    def render(self, factors: Float[Tensor, "n f"], noise: dict[str, Tensor]) -> Float[Tensor, "n 3 h w"]:
        """Signed distance to the shape, one soft edge a pixel wide, in the colour of the hue."""
        return torch.cat([self._draw(part) for part in factors.split(512)])  # blocks that stay in the cache

    def _draw(self, factors: Float[Tensor, "n f"]) -> Float[Tensor, "n 3 h w"]:
        share = factors / torch.tensor([n - 1.0 for n in self.levels.values()])
        x, y, size, _, _ = (column[:, None, None] for column in share.unbind(1))
        half = _SMALL + (_LARGE - _SMALL) * size
        u, v = (self._u - (2 * x - 1) * _REACH) / half, (self._v - (2 * y - 1) * _REACH) / half
        disc = torch.hypot(u, v) - 1
        square = torch.maximum(u.abs(), v.abs()) - 0.88
        triangle = torch.maximum(0.88 * u.abs() - 0.475 * v - 0.475, v - 0.85)
        which = factors[:, 4].round().long()[:, None, None]
        distance = torch.where(which == 0, disc, torch.where(which == 1, square, triangle))
        cover = (0.5 - distance * half * self.image_size / 2).clamp(0, 1)[:, None]
        colour = hue_to_rgb(factors[:, 3] / self.levels["hue"])[:, :, None, None]
        return _GROUND + (colour - _GROUND) * cover

    @cached_property
    def grid(self) -> Float[Tensor, "g f"]:
        """The causes of every picture there is on the levels."""
        return torch.tensor(list(product(*(range(n) for n in self.levels.values())))).float()

    @cached_property
    def pictures(self) -> Float[Tensor, "g 3 h w"]:
        """Every picture there is on the levels, in the order of `grid`.

        Raises:
            CounterfactoryError: more than 50,000 of them.
        """
        if (count := prod(self.levels.values())) > _MOST:
            raise CounterfactoryError(
                "the grid has too many pictures to keep",
                given=f"{count:,} pictures from levels {self.levels}",
                expected=f"at most {_MOST:,}",
                hint="give some causes fewer levels; between them, do() takes any value",
            )
        return self.render(self.grid, {})

    def read(self, observation: Float[Tensor, "n 3 h w"], like: Sample | None = None) -> Float[Tensor, "n f"]:
        """The causes of the nearest picture of the grid: exact on its levels; between them, near in place alone."""
        known = self.pictures.flatten(1)
        nearest = [torch.cdist(part.flatten(1), known).argmin(1) for part in observation.split(256)]
        return self.grid[torch.cat(nearest)]


def hue_to_rgb(hue: Float[Tensor, " n"]) -> Float[Tensor, "n 3"]:
    """Bright colours around the wheel, hue in [0, 1)."""
    offset = torch.tensor([0.0, 2 / 3, 1 / 3])
    ramp = ((hue[:, None] + offset) % 1 * 6 - 3).abs() - 1
    return 0.15 + 0.8 * ramp.clamp(0, 1)


def _checked(levels: dict[str, int]) -> dict[str, int]:
    for cause, n in levels.items():
        most = LEVELS["shape"] if cause == "shape" else None
        if n < 2 or (most is not None and n > most):
            raise CounterfactoryError(
                f"'{cause}' cannot have that many levels",
                given=n,
                expected="2 or more" if most is None else f"2 to {most}",
                hint=f"the usual number is {LEVELS[cause]}",
            )
    return levels
