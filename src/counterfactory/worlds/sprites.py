"""The sprites world: one coloured shape on a dark ground, five independent causes on an exact grid.

x, y: place in the picture; size; hue: colour on the wheel; shape: disc, square or triangle. Each cause takes whole
levels, all of them equally likely, and no cause has an effect on another: the grid that disentanglement is studied on,
after dSprites (Matthey et al. 2017), drawn here and not downloaded. Between the levels, do() may ask for any value but
of the shape, which is rounded.
"""

from functools import cached_property
from itertools import product
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from counterfactory.causal import SCM, CausalGraph, Empirical
from counterfactory.worlds.base import Sample, World

LEVELS = {"x": 6, "y": 6, "size": 4, "hue": 6, "shape": 3}
_SMALL, _LARGE = 0.16, 0.30  # half the width of the smallest and the largest shape, in units of half the picture
_REACH = 0.6  # how far from the middle a shape can be
_GROUND = 0.1


class Sprites(World):
    """The sprites world.

    Args:
        image_size: side of the square picture, in pixels.

    Example:
        >>> world = Sprites()
        >>> drawn = world.sample(4, seed=0)
        >>> bool((world.read(drawn.observation) == drawn.factors).all())
        True
    """

    name = "sprites"
    ranges: ClassVar = {cause: (0.0, n - 1.0) for cause, n in LEVELS.items()}
    units: ClassVar = dict.fromkeys(LEVELS, "level")

    def __init__(self, image_size: int = 32) -> None:
        self.image_size = image_size
        levels = {cause: Empirical(torch.arange(float(n))) for cause, n in LEVELS.items()}
        self.scm = SCM(CausalGraph(LEVELS), {}, levels)
        centre = (torch.arange(image_size) + 0.5) * 2 / image_size - 1
        self._u, self._v = centre[None, None, :], centre[None, :, None]

    def render(self, factors: Float[Tensor, "n f"], noise: dict[str, Tensor]) -> Float[Tensor, "n 3 h w"]:
        """Signed distance to the shape, one soft edge a pixel wide, in the colour of the hue."""
        share = factors / torch.tensor([n - 1.0 for n in LEVELS.values()])
        x, y, size, _, _ = (column[:, None, None] for column in share.unbind(1))
        half = _SMALL + (_LARGE - _SMALL) * size
        u, v = (self._u - (2 * x - 1) * _REACH) / half, (self._v - (2 * y - 1) * _REACH) / half
        disc = torch.hypot(u, v) - 1
        square = torch.maximum(u.abs(), v.abs()) - 0.88
        triangle = torch.maximum(0.88 * u.abs() - 0.475 * v - 0.475, v - 0.85)
        which = factors[:, 4].round().long()[:, None, None]
        distance = torch.where(which == 0, disc, torch.where(which == 1, square, triangle))
        cover = (0.5 - distance * half * self.image_size / 2).clamp(0, 1)[:, None]
        colour = hue_to_rgb(factors[:, 3] / LEVELS["hue"])[:, :, None, None]
        return _GROUND + (colour - _GROUND) * cover

    @cached_property
    def grid(self) -> Float[Tensor, "g f"]:
        """The causes of every picture there is."""
        return torch.tensor(list(product(*(range(n) for n in LEVELS.values())))).float()

    @cached_property
    def pictures(self) -> Float[Tensor, "g 3 h w"]:
        """Every picture there is, in the order of `grid`."""
        return torch.cat([self.render(part, {}) for part in self.grid.split(512)])

    def read(self, observation: Float[Tensor, "n 3 h w"], like: Sample | None = None) -> Float[Tensor, "n f"]:
        """The causes of the nearest picture of the grid."""
        known = self.pictures.flatten(1)
        nearest = [torch.cdist(part.flatten(1), known).argmin(1) for part in observation.split(256)]
        return self.grid[torch.cat(nearest)]


def hue_to_rgb(hue: Float[Tensor, " n"]) -> Float[Tensor, "n 3"]:
    """Bright colours around the wheel, hue in [0, 1)."""
    offset = torch.tensor([0.0, 2 / 3, 1 / 3])
    ramp = ((hue[:, None] + offset) % 1 * 6 - 3).abs() - 1
    return 0.15 + 0.8 * ramp.clamp(0, 1)
