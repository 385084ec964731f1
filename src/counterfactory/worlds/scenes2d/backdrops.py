"""The backdrop of every setting, light and style, drawn once a process and then only copied.

Lengths are pixels of the 64 x 64 picture, y runs down. All settings share the contact line y = `CONTACT`, so that an
intervention on the setting leaves an object where it is.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from counterfactory.worlds.scenes2d.looks import strokes, style_table
from counterfactory.worlds.scenes2d.sampling import stream
from counterfactory.worlds.scenes2d.spec import SETTINGS, SIDES, STYLES

SIZE = 64
CONTACT = 41.0  # where objects stand; in water they stand on the ground
WATER_LINE, WATER_GROUND = 26.0, 55.0
MIRROR = (4.0, 36.0, 60.0, 61.0)  # left, top, right, bottom of the glass
WATER = (0.16, 0.50, 0.66)
VARIANTS = 4  # different textures of every backdrop


class Backdrops(NamedTuple):
    """Everything that does not depend on the objects.

    Attributes:
        pictures: [3, settings * sides * styles * VARIANTS, pixels], in that order of the axes.
        strokes: stroke fields of the styles, [2, styles * VARIANTS, pixels].
        glass: coverage of the mirror, [pixels].
        x, y: pixel centres, [pixels].
    """

    pictures: Float[np.ndarray, "3 b p"]
    strokes: Float[np.ndarray, "2 t p"]
    glass: Float[np.ndarray, " p"]
    x: Float[np.ndarray, " p"]
    y: Float[np.ndarray, " p"]


def _noise(draw: np.random.Generator, scale: int, wide: float, high: float) -> np.ndarray:
    """Smooth noise in [-1, 1] on the canvas, stretched `wide` by `high` pixels."""
    from scipy.ndimage import gaussian_filter

    field = gaussian_filter(draw.standard_normal((SIZE, SIZE)), (high, wide), mode="wrap")
    return np.clip(field / (2 * field.std()), -1, 1).repeat(scale, 0).repeat(scale, 1)


def _mix(picture: np.ndarray, colour: tuple[float, float, float], cover: np.ndarray) -> np.ndarray:
    return picture + cover * (np.array(colour)[:, None, None] - picture)


def _wall(colour: tuple[float, float, float], y: np.ndarray) -> np.ndarray:
    return np.array(colour)[:, None, None] * (1.04 - 0.12 * y / SIZE)


def glass(x: np.ndarray, y: np.ndarray, inset: float = 0.0) -> np.ndarray:
    """Coverage of the mirror's rounded pane, shrunk by `inset` pixels."""
    left, top, right, bottom = MIRROR
    round_ = 5.0
    dx = np.abs(x - (left + right) / 2) - (right - left) / 2 + round_ + inset
    dy = np.abs(y - (top + bottom) / 2) - (bottom - top) / 2 + round_ + inset
    distance = np.hypot(np.maximum(dx, 0), np.maximum(dy, 0)) + np.minimum(np.maximum(dx, dy), 0) - round_
    return np.clip(0.5 - distance, 0, 1)


def _setting(name: str, x: np.ndarray, y: np.ndarray, draw: np.random.Generator, scale: int) -> np.ndarray:
    """The plain backdrop of a setting, [3, h, w]."""
    if name == "table":
        picture = _wall((0.88, 0.83, 0.75), y)
        fibre = _noise(draw, scale, 9.0, 0.7)
        top = np.array((0.68, 0.45, 0.26))[:, None, None] * (
            1.02 + 0.07 * fibre - 0.10 * (np.abs((y - 35) % 8 - 4) > 3.4)
        )
        picture = np.where(y > 35, top, picture)
        picture = np.where(y > 58, np.array((0.42, 0.26, 0.14))[:, None, None] * (1 + 0.04 * fibre), picture)
        return _mix(picture, (0.32, 0.20, 0.11), (np.abs(y - 35.5) < 0.6) * 0.5)
    if name == "grass":
        picture = np.array((0.56, 0.78, 0.95))[:, None, None] + np.array((0.30, 0.16, 0.03))[:, None, None] * (y / 36)
        picture = _mix(picture, (1.0, 1.0, 1.0), np.clip(_noise(draw, scale, 5.0, 2.0) * 1.5 - 0.5, 0, 0.8))
        blades = _noise(draw, scale, 0.6, 1.8)
        edge = 34.0 + 1.6 * _noise(draw, scale, 0.7, 8.0)
        field = np.array((0.42, 0.66, 0.24))[:, None, None] * (1.0 + 0.22 * blades) * (1.08 - 0.25 * (y - 34) / 30)
        return np.where(y > edge, field, picture)
    if name == "mirror":
        picture = _wall((0.80, 0.77, 0.82), y)
        floor = np.array((0.52, 0.44, 0.42))[:, None, None] * (1 + 0.04 * _noise(draw, scale, 2.0, 2.0))
        picture = np.where(y > 31, floor, picture)
        picture = _mix(picture, (0.80, 0.64, 0.25), glass(x, y, -2.6))
        picture = _mix(picture, (0.36, 0.27, 0.10), glass(x, y, -0.9))
        pane = np.array((0.78, 0.88, 0.93))[:, None, None] * (1.06 - 0.12 * (y - 36) / 25)
        shift = draw.uniform(0, 20)
        streak = np.clip(2.2 - np.abs((x + 0.9 * y + shift) % 31 - 8), 0, 1) + np.clip(
            0.9 - np.abs((x + 0.9 * y + shift) % 31 - 13), 0, 1
        )
        pane = pane + 0.16 * streak
        return picture + glass(x, y) * (pane - picture)
    picture = np.array((0.86, 0.91, 0.95))[:, None, None] * (1.0 + 0.02 * _noise(draw, scale, 6.0, 2.0))
    deep = (y - WATER_LINE) / (WATER_GROUND - WATER_LINE)
    water = np.array(WATER)[:, None, None] * (1.42 - 0.42 * deep + 0.05 * _noise(draw, scale, 5.0, 0.9))
    picture = np.where(y > WATER_LINE, water, picture)
    floor = WATER_GROUND - 1.5 + 1.2 * _noise(draw, scale, 5.0, 20.0)
    sand = np.array((0.66, 0.66, 0.50))[:, None, None] * (1.0 + 0.10 * _noise(draw, scale, 0.6, 0.6))
    return np.where(y > floor, sand, picture)


def _glow(x: np.ndarray, y: np.ndarray, side: str) -> np.ndarray:
    """The glow of the light in the upper corner of its side, in [0, 1]."""
    across = x if side == "left" else SIZE - x
    return np.minimum(np.clip(1.15 - np.hypot(across + 1, y + 1) / 21, 0, 1) * 1.6, 1) ** 1.3


def _lit(picture: np.ndarray, x: np.ndarray, side: str) -> np.ndarray:
    """Brightness that falls across the picture, away from the light."""
    return picture * (1.04 - 0.17 * (x if side == "left" else SIZE - x) / SIZE)


def _paper(picture: np.ndarray, scale: int, draw: np.random.Generator) -> np.ndarray:
    """A pen drawing on paper of the backdrop: faint washes, and ink where the smoothed brightness changes."""
    from scipy.ndimage import gaussian_filter, sobel

    grey = gaussian_filter(picture.mean(0), 0.8 * scale)
    ink = np.clip(np.hypot(sobel(grey, 0), sobel(grey, 1)) * scale * 1.6 - 0.22, 0, 0.85)
    paper = np.array((0.97, 0.94, 0.85))[:, None, None] * (1 + 0.015 * _noise(draw, scale, 1.0, 1.0))
    return _mix(paper + 0.17 * (picture - 0.75), (0.16, 0.16, 0.22), ink)


def _shrink(fine: np.ndarray) -> np.ndarray:
    """The last two axes at half the size, by averaging."""
    *rest, h, w = fine.shape
    return fine.reshape(*rest, h // 2, 2, w // 2, 2).mean((-3, -1))


@lru_cache(maxsize=2)
def backdrops(scale: int) -> Backdrops:
    """All backdrops on a grid of `scale` x `scale` samples a pixel, once a process (0.1 s and 9 MB for scale 1).

    They are drawn twice as fine and averaged down, for strokes are narrower than two pixels.
    """
    fine, side = 2 * scale, SIZE * scale
    centre = (np.arange(SIZE * fine) + 0.5) / fine
    x, y = np.meshgrid(centre, centre)
    table = {name: column.astype(float) for name, column in style_table().items()}
    fields = np.zeros((2, len(STYLES), VARIANTS, side, side), np.float32)
    pictures = np.zeros((3, len(SETTINGS), len(SIDES), len(STYLES), VARIANTS, side, side), np.float32)
    for v in range(VARIANTS):
        marks = [strokes(name, x, y, v / VARIANTS) for name in STYLES]
        fields[:, :, v] = _shrink(np.stack(marks, axis=1))
        for i, setting in enumerate(SETTINGS):
            plain = _setting(setting, x, y, stream(v, f"backdrop {setting}"), fine)
            for j, light in enumerate(SIDES):
                lit, glow = _lit(plain, x, light), _glow(x, y, light)
                for s, name in enumerate(STYLES):
                    if name == "cy reed":
                        base = _paper(lit, fine, stream(v, "paper"))
                    else:
                        base = lit * table["gain"][s][:, None, None] + table["lift"][s][:, None, None]
                    painted = base
                    for k in range(2):
                        paint = table["paints"][s, k][:, None, None]
                        painted = painted + table["on_ground"][s, k] * marks[s][k] * (paint - base)
                    pictures[:, i, j, s, v] = _shrink(np.clip(_mix(painted, (1.0, 0.95, 0.62), 0.9 * glow), 0, 1))
    flat = [plane.astype(np.float32).ravel() for plane in (_shrink(glass(x, y)), _shrink(x), _shrink(y))]
    return Backdrops(pictures.reshape(3, -1, side * side), fields.reshape(2, -1, side * side), *flat)
