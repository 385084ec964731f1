"""The shapes3d world: one object in a room, six independent causes on an exact grid of 480,000 pictures.

The causes and their levels are those of the 3D Shapes data (Burgess and Kim 2018), drawn here and not downloaded:
hue of the floor, of the walls and of the object, the object's scale and shape, and from where the room is seen.

A picture is linear in its three colours: with the shares F, W, O and the gloss S of a geometry (scale, shape,
orientation), which one ray a subpixel and one shadow ray towards the light find in closed form,

    picture = F floor + W wall + O object + S white

so the 480 geometries are traced once and all pictures are sums of them. Between the levels, do() may ask for any value
but of the shape, which is rounded.
"""

from functools import cached_property, lru_cache
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from counterfactory.causal import SCM, CausalGraph, Empirical
from counterfactory.worlds.base import Sample, World
from counterfactory.worlds.sprites import hue_to_rgb

LEVELS = {"floor_hue": 10, "wall_hue": 10, "object_hue": 10, "scale": 8, "shape": 4, "orientation": 15}
SHAPES = ("cube", "cylinder", "sphere", "capsule")
SCALES, ANGLES = (0.75, 1.25), (-30.0, 30.0)  # of the lowest and the highest level; degrees around the object

Rays = Float[np.ndarray, "p 3"]
_GRAPH = CausalGraph(LEVELS)
_SUB = 3  # subpixels along a side of a pixel
_EYE, _HEIGHT, _AIM = 8.0, 3.2, 1.0  # distance and height of the camera, and the height it looks at
_VIEW = 0.31  # half the width of what it sees, at distance 1
_ROOM = 4.0  # from the object to each wall
_LIGHT = np.array([-0.4, 0.75, 0.6]) / np.linalg.norm([-0.4, 0.75, 0.6])  # towards it
_AMBIENT, _GLOSS = 0.45, 0.2


class Shapes3D(World):
    """One object in a room.

    Args:
        image_size: side of the square picture, in pixels.

    Example:
        >>> world = Shapes3D()
        >>> drawn = world.sample(4, seed=0)
        >>> turned = world.counterfactual(drawn, {"orientation": 14.0})
        >>> bool((world.read(turned.observation) == turned.factors).all())
        True
    """

    name = "shapes3d"
    ranges: ClassVar = {cause: (0.0, n - 1.0) for cause, n in LEVELS.items()}
    units: ClassVar = {
        cause: "level" if cause != "shape" else "(" + ", ".join(f"{i} {word}" for i, word in enumerate(SHAPES)) + ")"
        for cause in LEVELS
    }

    def __init__(self, image_size: int = 32) -> None:
        self.image_size = image_size
        self.scm = SCM(_GRAPH, {}, {cause: Empirical(torch.arange(float(n))) for cause, n in LEVELS.items()})

    def render(self, factors: Float[Tensor, "n f"], noise: dict[str, Tensor]) -> Float[Tensor, "n 3 h w"]:
        """Each geometry traced once, and coloured."""
        known, which = factors[:, 3:].unique(dim=0, return_inverse=True)
        shares = torch.stack([trace(self.image_size, *place) for place in physical(known)])
        blocks = zip(factors.split(128), which.split(128), strict=True)  # that stay in the cache
        return torch.cat([_paint(_colours(part), shares[i]) for part, i in blocks])

    @cached_property
    def grid(self) -> Float[Tensor, "g f"]:
        """The causes of every picture there is on the levels."""
        return torch.cartesian_prod(*(torch.arange(float(n)) for n in LEVELS.values()))

    @cached_property
    def _geometries(self) -> tuple[Float[Tensor, "g 3"], Float[Tensor, "g 4 p"], Float[Tensor, "g 4 4"]]:
        """Levels, shares and products of shares of all geometries."""
        levels = torch.cartesian_prod(*(torch.arange(float(LEVELS[cause])) for cause in _GRAPH.nodes[3:]))
        shares = torch.stack([trace(self.image_size, *place) for place in physical(levels)]).flatten(2)
        return levels, shares, shares @ shares.mT

    def read(self, observation: Float[Tensor, "n 3 h w"], like: Sample | None = None) -> Float[Tensor, "n f"]:
        """The causes on the grid: floor and wall hue from the lowest and the highest row, the rest by least squares."""
        return torch.cat([self._read(part) for part in observation.split(256)])

    def _read(self, x: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n f"]:
        levels, shares, products = self._geometries
        wheel = hue_to_rgb(torch.arange(10) / 10)
        straight = wheel / wheel.norm(dim=1, keepdim=True)
        floor, wall = ((x[:, :, row].mean(2) @ straight.T).argmax(1).float() for row in (-1, 0))
        # |x - sum_k share_k colour_k|^2 less |x|^2, for every object hue o and geometry g
        hues = torch.stack([floor, wall, floor], 1)[:, None].repeat(1, 10, 1)
        hues[..., 2] = torch.arange(10)
        colours = _colours(hues.flatten(0, 1)).view(len(x), 10, 4, 3)
        along = torch.einsum("ncp,gkp->ngkc", x.flatten(2), shares)
        square = torch.einsum("nokc,nolc,gkl->nog", colours, colours, products)
        best = (square - 2 * torch.einsum("nokc,ngkc->nog", colours, along)).flatten(1).argmin(1)
        hue, geometry = best // len(levels), best % len(levels)
        return torch.cat([torch.stack([floor, wall, hue], 1), levels[geometry]], 1)


def _colours(factors: Float[Tensor, "n f"]) -> Float[Tensor, "n 4 3"]:
    """The colours of floor, wall and object, and white."""
    hues = torch.stack([hue_to_rgb(factors[:, i] / 10) for i in range(3)], 1)
    return torch.cat([hues, torch.ones_like(hues[:, :1])], 1)


def _paint(colours: Float[Tensor, "n 4 3"], shares: Float[Tensor, "n 4 h w"]) -> Float[Tensor, "n 3 h w"]:
    """The sum of four terms, one after the other, so that a picture does not depend on the batch it is drawn in."""
    out = colours[:, 0, :, None, None] * shares[:, 0, None]
    for k in range(1, 4):
        out.addcmul_(colours[:, k, :, None, None], shares[:, k, None])
    return out


def physical(levels: Float[Tensor, "g 3"]) -> list[tuple[float, int, float]]:
    """Scale, shape and orientation in degrees, of their levels."""
    spans = (SCALES, LEVELS["scale"]), (ANGLES, LEVELS["orientation"])
    scale, angle = (
        low + (high - low) * levels[:, i].double() / (n - 1) for i, ((low, high), n) in zip((0, 2), spans, strict=True)
    )
    return list(zip(scale.tolist(), levels[:, 1].round().int().tolist(), angle.tolist(), strict=True))


# -- tracing -----------------------------------------------------------------------------------------------------------
# x to the right, y up, z towards the camera at orientation 0; the object stands on the floor y = 0 at the origin


@lru_cache(maxsize=1024)
def trace(image_size: int, scale: float, shape: int, orientation: float) -> Float[Tensor, "4 h w"]:
    """Shares of the colours of floor, wall and object, and of white, in every pixel of one geometry."""
    eye, rays = _camera(image_size * _SUB, np.radians(orientation))
    surface, where, normal = _room(eye, rays)
    near = _meets(shape, scale, eye, rays)
    hit = near < np.inf
    at = eye + np.where(hit, near, 0.0)[:, None] * rays
    normal = np.where(hit[:, None], _normal(shape, scale, at), normal)
    lit = ~np.isfinite(_meets(shape, scale, where, np.broadcast_to(_LIGHT, where.shape))) | hit
    shade = _AMBIENT + (1 - _AMBIENT) * np.maximum(normal @ _LIGHT, 0) * lit
    mirrored = 2 * (normal @ _LIGHT)[:, None] * normal - _LIGHT
    gloss = _GLOSS * np.maximum(-(mirrored * rays).sum(1), 0) ** 24
    shares = np.zeros((4, len(rays)))
    shares[0] = ~hit & (surface == 0)
    shares[1] = ~hit & (surface > 0)
    shares[:2] *= shade * _corners(where, surface)
    shares[2:] = hit * np.stack([(1 - _GLOSS) * shade, gloss])
    pixels = shares.reshape(4, image_size, _SUB, image_size, _SUB).mean((2, 4))
    return torch.from_numpy(pixels.astype(np.float32))


def _camera(side: int, angle: float) -> tuple[Float[np.ndarray, " 3"], Rays]:
    """The eye, and unit rays through the subpixels, row by row from the top."""
    eye = np.array([_EYE * np.sin(angle), _HEIGHT, _EYE * np.cos(angle)])
    ahead = np.array([0.0, _AIM, 0.0]) - eye
    ahead /= np.linalg.norm(ahead)
    right = np.array([np.cos(angle), 0.0, -np.sin(angle)])
    step = ((np.arange(side) + 0.5) * 2 / side - 1) * _VIEW
    rays = ahead + step[None, :, None] * right - step[:, None, None] * np.cross(right, ahead)
    rays = rays.reshape(-1, 3)
    return eye, rays / np.linalg.norm(rays, axis=1, keepdims=True)


def _room(eye: Float[np.ndarray, " 3"], rays: Rays) -> tuple[np.ndarray, Rays, Rays]:
    """Which plane a ray meets (0 floor, 1 back, 2 left, 3 right), where, and the plane's normal."""
    normals = np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0], [-1, 0, 0]], float)
    offsets = np.array([0, -_ROOM, -_ROOM, -_ROOM])
    towards = rays @ normals.T
    with np.errstate(divide="ignore"):
        t = np.where(towards < 0, (offsets - normals @ eye) / towards, np.inf)
    surface = t.argmin(1)
    return surface, eye + t.min(1)[:, None] * rays, normals[surface]


def _corners(where: Rays, surface: np.ndarray) -> Float[np.ndarray, " p"]:
    """Less light near the edges where floor and walls meet."""
    apart = np.stack([where[:, 1], where[:, 2] + _ROOM, where[:, 0] + _ROOM, _ROOM - where[:, 0]], 1)
    apart[np.arange(len(where)), surface] = np.inf
    return 1 - 0.4 * np.exp(-apart.min(1) / 0.5)


def _sizes(shape: int, scale: float) -> tuple[float, float, float]:
    """Radius (half the width), half the height, and half the straight part of the height."""
    radius, straight = ((0.85, 0.85), (0.85, 0.9), (1.0, 0.0), (0.62, 0.6))[shape]
    height = straight + (radius if shape >= 2 else 0.0)
    return radius * scale, height * scale, straight * scale


def _meets(shape: int, scale: float, start: Float[np.ndarray, "*p 3"], rays: Rays) -> Float[np.ndarray, " p"]:
    """Distance along each ray to the object, infinite where it passes by."""
    radius, height, straight = _sizes(shape, scale)
    o = start - np.array([0.0, height, 0.0])
    if shape == 0:
        return _entry([_slab(o, rays, axis, radius) for axis in range(3)])
    side = [_ball(o, rays, (0, 2), radius), _slab(o, rays, 1, straight)]
    if shape == 1:
        return _entry(side)
    ends = [_entry([_ball(o - np.array([0.0, end, 0.0]), rays, (0, 1, 2), radius)]) for end in (straight, -straight)]
    return np.minimum.reduce([*ends, _entry(side)] if straight else ends)


Span = tuple[Float[np.ndarray, " p"], Float[np.ndarray, " p"]]


def _slab(o: np.ndarray, rays: Rays, axis: int, half: float) -> Span:
    """Where rays enter and leave |coordinate| <= half."""
    with np.errstate(divide="ignore", invalid="ignore"):
        a, b = (-half - o[..., axis]) / rays[:, axis], (half - o[..., axis]) / rays[:, axis]
    return np.minimum(a, b), np.maximum(a, b)


def _ball(o: np.ndarray, rays: Rays, axes: tuple[int, ...], radius: float) -> Span:
    """Where rays enter and leave a ball, or with two axes an endless cylinder: the roots of a quadratic."""
    o, d = o[..., axes], rays[:, axes]
    a, b, c = (d * d).sum(1), (o * d).sum(-1), (o * o).sum(-1) - radius * radius
    root = np.sqrt(np.maximum(b * b - a * c, 0))
    apart = b * b < a * c
    return np.where(apart, np.inf, (-b - root) / a), np.where(apart, -np.inf, (-b + root) / a)


def _entry(spans: list[Span]) -> Float[np.ndarray, " p"]:
    """Where a ray enters all of them at once."""
    enter = np.maximum.reduce([a for a, _ in spans])
    leave = np.minimum.reduce([b for _, b in spans])
    return np.where((enter < leave) & (enter > 1e-6), enter, np.inf)


def _normal(shape: int, scale: float, at: Rays) -> Rays:
    """Outward unit normal at points of the object's surface."""
    radius, height, straight = _sizes(shape, scale)
    p = at - np.array([0.0, height, 0.0])
    if shape == 0:
        outer = np.abs(p).argmax(1)[:, None] == np.arange(3)
        return np.where(outer, np.sign(p), 0.0)
    round_: Bool[np.ndarray, "p 1"] = np.full((len(p), 1), True)
    if shape == 1:
        round_ = (np.hypot(p[:, 0], p[:, 2]) / radius > np.abs(p[:, 1]) / height)[:, None]
        straight = np.inf
    q = p - np.array([0.0, 1.0, 0.0]) * np.clip(p[:, 1:2], -straight, straight)
    q /= np.maximum(np.linalg.norm(q, axis=1, keepdims=True), 1e-9)
    return np.where(round_, q, np.array([0.0, 1.0, 0.0]) * np.sign(p[:, 1:2]))
