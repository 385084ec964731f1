"""Colours, styles, grain of the materials, and the two-colour textures of personal objects.

A style maps a colour c at pixel p to   b + k [P(p) (t - b)] + k' [P'(p) (t' - b)],   b = gain * c + lift,
where P, P' are the strokes of the style, fixed on the canvas, and t, t' the paints that they leave.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int

from counterfactory.errors import CounterfactoryError, unknown
from counterfactory.worlds.scenes2d.sampling import stream
from counterfactory.worlds.scenes2d.sdf import wave
from counterfactory.worlds.scenes2d.spec import COLOURS, STYLES

Colour = tuple[float, float, float]
PALETTE: dict[str, Colour] = {
    "red": (0.87, 0.13, 0.14),
    "green": (0.13, 0.62, 0.22),
    "blue": (0.14, 0.32, 0.88),
    "yellow": (0.98, 0.87, 0.14),
    "purple": (0.56, 0.20, 0.72),
    "orange": (0.97, 0.52, 0.08),
    "white": (0.95, 0.95, 0.95),
    "black": (0.13, 0.13, 0.15),
}
"""Red, green, blue in [0, 1] of every colour word, before light and style."""
_EXTRA: tuple[Colour, ...] = ((0.95, 0.55, 0.72), (0.10, 0.60, 0.62), (0.48, 0.30, 0.16), (0.62, 0.85, 0.25))
PATTERNS = ("stripes", "checks", "dots", "rings", "diamonds", "zigzag", "halves")


@dataclass(frozen=True)
class Style:
    """How a style paints; colours are in [0, 1].

    Attributes:
        name: one of `STYLES`.
        gain, lift: the overall change of every colour.
        paints: colours that the two kinds of strokes leave.
        on_ground: opacity of the strokes on the backdrop.
        on_object: opacity of the strokes on objects, lower so that their colours stay readable.
        rim: width in pixels and darkness of the line around an object.
        flat: 0 keeps the light on the shapes, 1 paints them flat.
    """

    name: str
    gain: Colour = (1.0, 1.0, 1.0)
    lift: Colour = (0.0, 0.0, 0.0)
    paints: tuple[Colour, Colour] = ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0))
    on_ground: tuple[float, float] = (0.0, 0.0)
    on_object: tuple[float, float] = (0.0, 0.0)
    rim: tuple[float, float] = (1.0, 0.45)
    flat: float = 0.0


_STYLES = {
    s.name: s
    for s in (
        Style("plain"),
        Style(
            "ada moss",
            (1.0, 0.93, 0.80),
            (0.03, 0.01, 0.0),
            ((0.32, 0.14, 0.05), (1.0, 0.86, 0.62)),
            (0.55, 0.25),
            (0.42, 0.22),
        ),
        Style(
            "bo finch",
            (0.97, 0.97, 0.97),
            (0.0, 0.0, 0.0),
            ((0.96, 0.95, 0.90), (0.0, 0.0, 0.0)),
            (0.75, 0.12),
            (0.42, 0.0),
            (1.0, 0.45),
        ),
        Style(
            "cy reed",
            (0.96, 0.96, 0.94),
            (0.03, 0.03, 0.02),
            ((0.97, 0.94, 0.84), (0.2, 0.2, 0.25)),
            (0.0, 0.0),
            (0.0, 0.0),
            (1.35, 0.95),
            0.6,
        ),
        Style(
            "di vale",
            (0.98, 0.98, 1.0),
            (0.0, 0.0, 0.0),
            ((0.12, 0.22, 0.62), (0.99, 0.88, 0.35)),
            (0.75, 0.65),
            (0.26, 0.22),
            (1.2, 0.6),
        ),
    )
}


def style(name: str) -> Style:
    """How the style `name` paints; raises `CounterfactoryError` for an unknown style."""
    if name not in _STYLES:
        raise unknown("style", name, STYLES)
    return _STYLES[name]


@dataclass(frozen=True)
class Texture:
    """The look of one personal object: two colours in a pattern.

    Attributes:
        seed: which individual it is.
        pattern: one of `PATTERNS`.
        colours: the two colours, each [0, 1]^3.
        period: length of the pattern, in half heights of the object.
        turn: cosine and sine of the pattern's angle.
    """

    seed: int
    pattern: str
    colours: tuple[Colour, Colour]
    period: float
    turn: tuple[float, float]


@lru_cache(maxsize=4096)
def individual(seed: int) -> Texture:
    """The texture of a personal object; the same seed is the same individual in every scene.

    Raises:
        CounterfactoryError: a negative seed.
    """
    if seed < 0:
        raise CounterfactoryError(
            "no such individual", given=seed, expected="a seed of at least 0", hint="individual(0)"
        )
    draw = stream(seed, "individual")
    paints = [*PALETTE.values(), *_EXTRA]
    first, second = (int(i) for i in draw.permutation(len(paints))[:2])
    pattern = PATTERNS[int(draw.integers(len(PATTERNS)))]
    angle, period = float(draw.uniform(0, np.pi)), float(draw.uniform(0.5, 0.9))
    return Texture(seed, pattern, (paints[first], paints[second]), period, (math.cos(angle), math.sin(angle)))


def second_share(
    texture: Texture, u: Float[np.ndarray, "m p"], v: Float[np.ndarray, "m p"], sharp: float
) -> Float[np.ndarray, "m p"]:
    """Share of the second colour at (u, v); `sharp` is the number of pixels in half an object's height."""
    c, s = texture.turn
    x, y = (c * u + s * v) / texture.period, (c * v - s * u) / texture.period
    kind = texture.pattern
    if kind == "stripes":
        f = wave(x)
    elif kind == "checks":
        f = 2.0 * wave(x / 1.5) * wave(y / 1.5)
    elif kind == "dots":
        dx, dy = x - np.floor(x) - 0.5, y - np.floor(y) - 0.5
        f = 4.0 * (0.33 - np.sqrt(dx * dx + dy * dy))
    elif kind == "rings":
        f = wave(np.sqrt(x * x + y * y))
    elif kind == "diamonds":
        f = wave(np.abs(x) + np.abs(y))
    elif kind == "zigzag":
        f = wave(x + 0.35 * wave(y))
    else:
        f = 4.0 * x
    return np.clip(0.5 + f * (sharp * texture.period / 4.0), 0.0, 1.0)


def grain(
    material: Int[np.ndarray, "m 1"],
    x: Float[np.ndarray, "m p"],
    y: Float[np.ndarray, "m p"],
    phase: Float[np.ndarray, "m 1"],
) -> Float[np.ndarray, "m p"]:
    """Slight relief of the materials, in [-1, 1]: wavy fibres in wood, speckles in iron. Lengths are pixels."""
    iron = material.astype(np.float32)
    # two crossed triangle waves whose frequencies depend on the material: one evaluation serves both
    a = wave(x * (0.055 + 0.255 * iron) + y * (0.03 + 0.14 * iron) + 7.0 * phase)
    b = wave(x * (-0.19 * iron) + y * 0.29 + a * (0.55 - 0.55 * iron) + 3.0 * phase)
    return b + iron * ((a * b > 0.30) * np.float32(1.25) - 0.25 - b)


def strokes(
    name: str, x: Float[np.ndarray, "h w"], y: Float[np.ndarray, "h w"], shift: float
) -> Float[np.ndarray, "2 h w"]:
    """The two stroke fields P, P' of a style on the canvas, in [0, 1]; `shift` in [0, 1) moves them."""
    zero = np.zeros_like(x)
    if name == "ada moss":  # hatching from lower left to upper right, 5 pixels apart, each stroke with a light flank
        t = (x + y) / 5.0 + shift + 0.08 * wave((x - y) / 23.0 + shift)
        return np.stack([np.clip(wave(t) * 2.2 - 0.6, 0, 1), np.clip(wave(t + 0.5) * 2.2 - 0.8, 0, 1)])
    if name == "bo finch":  # dots on a staggered grid of 4 pixels: P is the paper between them, P' the ink in them
        row = np.floor(y / 4.0 + shift)
        dx = (x / 4.0 + shift + 0.5 * (row % 2)) % 1.0 - 0.5
        dy = (y / 4.0 + shift) % 1.0 - 0.5
        distance = 4.0 * np.sqrt(dx * dx + dy * dy)
        return np.stack([np.clip(distance - 1.15, 0, 1), np.clip(0.6 - distance, 0, 1)])
    if name == "di vale":  # arms of spirals around three eyes: blue valleys, yellow crests
        value = zero
        weight = zero + 1e-3
        for ex, ey, turn in (
            (15.0 + 9 * shift, 13.0, 1.0),
            (49.0 - 7 * shift, 20.0, -1.0),
            (30.0, 52.0 + 5 * shift, 1.0),
        ):
            r2 = (x - ex) ** 2 + (y - ey) ** 2
            arm = np.cos(2 * np.pi * np.sqrt(r2) / 8.0 + turn * 2 * np.arctan2(y - ey, x - ex))
            value, weight = value + arm / (r2 + 30.0), weight + 1.0 / (r2 + 30.0)
        s = value / weight
        return np.stack([np.clip(-s * 1.3, 0, 1), np.clip(s * 1.3, 0, 1)])
    return np.stack([zero, zero])


@lru_cache(maxsize=1)
def style_table() -> dict[str, np.ndarray]:
    """The styles as arrays, one row a style."""
    rows = [_STYLES[name] for name in STYLES]
    return {
        f: np.array([getattr(s, f) for s in rows], np.float32)
        for f in ("gain", "lift", "paints", "on_ground", "on_object", "rim", "flat")
    }


@lru_cache(maxsize=1)
def palette_table() -> Float[np.ndarray, "c 3"]:
    """The palette as an array, one row a colour word."""
    return np.array([PALETTE[name] for name in COLOURS], np.float32)
