"""Signed distances and light on the seven shapes, for whole batches of small windows.

Coordinates (u, v) run from -1 to 1 over the box of an object, u to the right and v down; a shape stands on v = 1.
Distances are in the same unit, negative inside. `side` is -1 where the light comes from the left and +1 from the right.
Only sums, products, square roots and triangle waves are used, so a picture does not depend on the batch it is drawn in.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

Array = Float[np.ndarray, "m p"]
Column = Float[np.ndarray, "m 1"]


class Light(NamedTuple):
    """How light falls on a shape: a factor on its colour, white gloss to add, and where a mark is printed on it."""

    shade: np.ndarray
    gloss: np.ndarray | None = None
    mark: np.ndarray | None = None


def wave(t: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Triangle wave of period 1 in [-1, 1], 1 at whole numbers."""
    return np.abs(t - np.floor(t) - 0.5) * 4.0 - 1.0


def _edge(points: list[tuple[float, float]]) -> list[tuple[float, float, float]]:
    """Outward unit normals and offsets of the edges of a convex polygon, listed clockwise on the screen (v down)."""
    out = []
    for (ax, ay), (bx, by) in zip(points, points[1:] + points[:1], strict=True):
        nx, ny = by - ay, ax - bx
        size = (nx * nx + ny * ny) ** 0.5
        out.append((nx / size, ny / size, (nx * ax + ny * ay) / size))
    return out


def _polygon(u: Array, v: Array, edges: list[tuple[float, float, float]]) -> Array:
    """Distance to a convex polygon: the largest distance to an edge's line (exact inside and along the edges)."""
    d = u * edges[0][0] + v * edges[0][1] - edges[0][2]
    for nx, ny, offset in edges[1:]:
        np.maximum(d, u * nx + v * ny - offset, out=d)
    return d


_FACE = 0.44  # the cube's front face is [-1, _FACE] x [-_FACE, 1]
_CUBE = _edge([(-1.0, -_FACE), (-_FACE, -1.0), (1.0, -1.0), (1.0, _FACE), (_FACE, 1.0), (-1.0, 1.0)])
_CONE = _edge([(0.0, -1.0), (0.86, 0.76), (-0.86, 0.76)])
_RING, _TUBE = 0.69, 0.31  # radius of the ring's middle line, and of its tube
_ARM = 0.36  # half width of the cross's arms
_STAR_OUT = 2.0 / 1.8090170  # a five-pointed star of height 2 has this circumradius
_STAR_V = -1.0 + _STAR_OUT  # its centre


def _ball(u: Array, v: Array) -> Array:
    return np.sqrt(u * u + v * v) - 1.0


def _cube(u: Array, v: Array) -> Array:
    return _polygon(u, v, _CUBE)


def _cone(u: Array, v: Array) -> Array:
    base = (np.sqrt((u / 0.86) ** 2 + ((v - 0.76) / 0.24) ** 2) - 1.0) * 0.35
    return np.minimum(_polygon(u, v, _CONE), base)


def _star(u: Array, v: Array) -> Array:
    """Five-pointed star by folding the plane onto one half arm (after Inigo Quilez)."""
    x, y = np.abs(u), _STAR_V - v
    for nx, ny in ((0.80901699, -0.58778525), (-0.80901699, -0.58778525)):
        fold = 2.0 * np.maximum(nx * x + ny * y, 0.0)
        x, y = x - fold * nx, y - fold * ny
    x, y = np.abs(x), y - _STAR_OUT
    bx, by = 0.47 * 0.58778525, 0.47 * 0.80901699 - 1.0  # from the tip towards the inner corner
    along = np.clip((x * bx + y * by) / (bx * bx + by * by), 0.0, _STAR_OUT)
    dx, dy = x - bx * along, y - by * along
    return np.sqrt(dx * dx + dy * dy) * np.sign(y * bx - x * by)


def _ring(u: Array, v: Array) -> Array:
    return np.abs(np.sqrt(u * u + v * v) - _RING) - _TUBE


def _cross(u: Array, v: Array) -> Array:
    x, y = np.abs(u), np.abs(v)
    return np.minimum(np.maximum(x - _ARM, y - 1.0), np.maximum(x - 1.0, y - _ARM))


def _hazard(u: Array, v: Array) -> Array:
    return (np.abs(u) + np.abs(v) - 1.0) * 0.70710678


DISTANCES: tuple[Callable[[Array, Array], Array], ...] = (_ball, _cube, _cone, _star, _ring, _cross, _hazard)
"""Signed distance of each shape, in the order of `SHAPES`."""


def _light_ball(u: Array, v: Array, side: Column) -> Light:
    z = np.sqrt(np.maximum(1.0 - u * u - v * v, 0.0))
    towards = u * (0.58 * side) - 0.55 * v + 0.60 * z
    return Light(0.62 + 0.48 * np.maximum(towards, 0.0), np.clip(towards * 6.0 - 5.2, 0.0, 1.0) * 0.7)


def _light_cube(u: Array, v: Array, side: Column) -> Light:
    outside = np.maximum(u - _FACE, -_FACE - v) > 0
    top = u + v < 0  # the edge between the top and the right face runs along u = -v
    return Light(np.where(outside, np.where(top, 1.18, 0.86 + 0.24 * side), 0.95))


def _light_cone(u: Array, v: Array, side: Column) -> Light:
    across = np.clip(u / np.maximum(0.49 * (v + 1.0), 0.1), -1.0, 1.0)
    return Light(
        0.88 + 0.30 * across * side,
        np.clip(across * side * 5.0 - 2.0, 0.0, 1.0) * np.clip(4.8 - across * side * 5.0, 0.0, 1.0) * 0.18,
    )


def _light_star(u: Array, v: Array, side: Column) -> Light:
    return Light(0.97 + 0.18 * u * side - 0.10 * v)


def _light_ring(u: Array, v: Array, side: Column) -> Light:
    radius = np.maximum(np.sqrt(u * u + v * v), 1e-3)
    slope = (radius - _RING) / (_TUBE * radius)
    towards = (u * (0.6 * side) - 0.55 * v) * slope + 0.55 * np.sqrt(np.maximum(1.0 - (slope * radius) ** 2, 0.0))
    return Light(0.66 + 0.50 * np.maximum(towards, 0.0), np.clip(towards * 5.0 - 3.4, 0.0, 1.0) * 0.35)


def _light_hazard(u: Array, v: Array, side: Column) -> Light:
    bar = np.maximum(np.abs(u) - 0.13, np.abs(v + 0.14) - 0.34)
    dot = np.sqrt(u * u + (v - 0.46) ** 2) - 0.14
    frame = -0.16 - _hazard(u, v)
    mark = np.clip(0.5 - np.minimum(np.minimum(bar, dot), frame) * 9.0, 0.0, 1.0)
    return Light(0.98 + 0.08 * u * side, mark=mark)


LIGHTS: tuple[Callable[[Array, Array, Column], Light], ...] = (
    _light_ball,
    _light_cube,
    _light_cone,
    _light_star,
    _light_ring,
    _light_star,
    _light_hazard,
)
"""Light on each shape, in the order of `SHAPES`."""
