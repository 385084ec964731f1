"""Where objects, their reflections and their wrong versions go: scenes turned into tables of figures to draw.

Lengths are pixels of the 64 x 64 picture, y runs down.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from counterfactory.errors import CounterfactoryError, unknown
from counterfactory.worlds.scenes2d.backdrops import CONTACT, WATER_GROUND, WATER_LINE
from counterfactory.worlds.scenes2d.spec import DEPTHS, MATERIALS, SETTINGS, Scenes, columns, unlook

WRONG = ("reflection_missing", "reflection_offset", "shadow_side", "floating_iron", "sunken_wood", "riding_high")
"""Consequences that can be drawn wrong on purpose."""

_HALF = np.array((7.0, 11.0), np.float32)  # half height of small and large objects
_COLUMN_X = np.array((16.0, 32.0, 48.0), np.float32)
_IMMERSED = {DEPTHS.index("line"): 0.6, DEPTHS.index("high"): 0.1}  # share of the height under water
_SLIP = 7.0  # how far an offset reflection slips to one side


class Figures(NamedTuple):
    """Objects or reflections to draw, one row each.

    `scene` is the row of the picture, (x, y) the middle, `half` half the height, `side` -1 for light from the left and
    +1 from the right, `tint` a factor on the colour, `grain` the phase of the relief, `individual` a seed or -1.
    """

    scene: Int[np.ndarray, " m"]
    shape: Int[np.ndarray, " m"]
    colour: Int[np.ndarray, " m"]
    material: Int[np.ndarray, " m"]
    half: Float[np.ndarray, " m"]
    x: Float[np.ndarray, " m"]
    y: Float[np.ndarray, " m"]
    side: Float[np.ndarray, " m"]
    style: Int[np.ndarray, " m"]
    tint: Float[np.ndarray, " m"]
    grain: Float[np.ndarray, " m"]
    individual: Int[np.ndarray, " m"]

    def take(self, rows: np.ndarray) -> "Figures":
        """Some of the figures."""
        return Figures(*(part[rows] for part in self))


def wrong_codes(wrong: str | Sequence[str | None] | None, n: int) -> Int[np.ndarray, " n"]:
    """Index in `WRONG` of what each of `n` scenes breaks, -1 for nothing.

    Raises:
        CounterfactoryError: an unknown name, or neither one name nor `n`.
    """
    names = [wrong] * n if wrong is None or isinstance(wrong, str) else list(wrong)
    for name in names:
        if name is not None and name not in WRONG:
            raise unknown("wrong consequence", name, WRONG)
    if len(names) != n:
        raise CounterfactoryError(
            "'wrong' has the wrong number of values",
            given=len(names),
            expected=f"one name, or {n}",
            hint="give None where all is right",
        )
    return np.array([-1 if name is None else WRONG.index(name) for name in names], dtype=np.int64)


def spoil(
    scenes: Scenes, consequences: Int[np.ndarray, "n 5"], wrong: Int[np.ndarray, " n"]
) -> tuple[Int[np.ndarray, "n 5"], Float[np.ndarray, " n"]]:
    """The consequences with some of them made wrong, and how far reflections slip to the right."""
    out = consequences.copy()
    slip = np.where(wrong == WRONG.index("reflection_offset"), np.where(scenes["slip"] < 0.5, -_SLIP, _SLIP), 0.0)
    out[wrong == WRONG.index("reflection_missing"), :2] = 0
    out[:, 2] = np.where((wrong == WRONG.index("shadow_side")) & (out[:, 2] > 0), 3 - out[:, 2], out[:, 2])
    for k in (1, 2):
        level, iron = out[:, 2 + k], scenes[f"material_{k}"] == MATERIALS.index("iron")
        for what, which, new in (
            ("floating_iron", iron, "line"),
            ("sunken_wood", ~iron, "ground"),
            ("riding_high", True, "high"),
        ):
            level[(wrong == WRONG.index(what)) & which & (level > 0)] = DEPTHS.index(new)
    return out, slip.astype(np.float32)


def place_objects(scenes: Scenes, k: int, depth: Int[np.ndarray, " n"]) -> Figures:
    """Object `k` of the scenes that have it, standing, floating or sunken as `depth` says."""
    water = scenes["setting"] == SETTINGS.index("water")
    column = columns(scenes["objects"], scenes["place"], scenes["order"])[k - 1]
    half = _HALF[scenes[f"size_{k}"]]
    # the ground moves in half pixels, so that a reflection is an exact flip of whole pixels
    bottom = np.where(water, WATER_GROUND, CONTACT) + np.floor(7 * scenes[f"y_{k}"]) / 2 - 1.5
    for level, share in _IMMERSED.items():
        bottom = np.where(water & (depth == level), WATER_LINE + 2 * half * share, bottom)
    every = Figures(
        scene=np.arange(len(scenes)),
        shape=scenes[f"shape_{k}"],
        colour=scenes[f"colour_{k}"],
        material=scenes[f"material_{k}"],
        half=half,
        x=_COLUMN_X[column] + _jitter(scenes, k),
        y=(bottom - half).astype(np.float32),
        side=(2 * scenes["light"] - 1).astype(np.float32),
        style=scenes["style"],
        tint=(0.94 + 0.12 * scenes[f"tint_{k}"]).astype(np.float32),
        grain=scenes[f"grain_{k}"].astype(np.float32),
        individual=scenes.individuals[:, k - 1],
    )
    return every if k == 1 else every.take(np.flatnonzero(scenes["objects"]))


def place_reflections(
    objects: Figures, scenes: Scenes, k: int, looks: Int[np.ndarray, " n"], slip: Float[np.ndarray, " n"]
) -> Figures:
    """What mirrors show of objects `k`: the look of the code, standing upside down on the contact line."""
    shown = (looks > 0) & (scenes["setting"] == SETTINGS.index("mirror"))
    figures = objects.take(shown[objects.scene])
    shape, colour, size, column = unlook(looks[figures.scene])
    half = _HALF[size]
    x = _COLUMN_X[column] + (_jitter(scenes, k) + slip)[figures.scene]
    return figures._replace(shape=shape, colour=colour, half=half, x=x, y=figures.y + figures.half + half)


def _jitter(scenes: Scenes, k: int) -> Float[np.ndarray, " n"]:
    return (5 * scenes[f"x_{k}"] - 2.5).astype(np.float32)
