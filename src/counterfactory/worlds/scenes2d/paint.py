"""Paint tables of figures on canvases: coverage from signed distances, then pigment, light, water and style.

A canvas is [3, n, pixels] in float32. Distances are only evaluated in a window around a figure; figures are sorted by
shape, so that every shape is one call.
"""

from itertools import pairwise

import numpy as np
from jaxtyping import Float, Int

from counterfactory.worlds.scenes2d.backdrops import SIZE, WATER, WATER_LINE, Backdrops
from counterfactory.worlds.scenes2d.figures import Figures
from counterfactory.worlds.scenes2d.looks import grain, individual, palette_table, second_share, style_table
from counterfactory.worlds.scenes2d.sdf import DISTANCES, LIGHTS
from counterfactory.worlds.scenes2d.spec import SHADOWS

SLAB = (38, 54)
"""First and last row (exclusive) that a shadow can reach."""

_WINDOW = 27  # side of the square in which a figure is drawn
_OPACITY = np.float32(0.55)  # of a reflection
_LEAN, _SQUASH = np.float32(0.80), np.float32(0.34)  # a shadow's way to the side and to the front, per unit of height
_RELIEF, _TINT = np.float32(0.10), np.float32(0.30)  # strength of the material's grain, and of the water's colour


def cast(shade: Float[np.ndarray, "n s"], figures: Figures, shadow: Int[np.ndarray, " m"], scale: int) -> None:
    """Add the figures' shadows to `shade`, the darkness of the rows of `SLAB`, in place.

    A shadow is the silhouette laid on the ground: a point at height h over the contact line falls `_LEAN` h to the side
    and `_SQUASH` h to the front.
    """
    keep = np.flatnonzero(shadow)
    keep = keep[np.argsort(figures.shape[keep], kind="stable")]
    f = figures.take(keep)
    y, x = np.divmod(np.arange(shade.shape[1], dtype=np.float32), np.float32(SIZE * scale))
    x, y = (x + 0.5) / scale, (y + 0.5) / scale + SLAB[0]
    half = f.half[:, None]
    height = (y - (f.y + f.half)[:, None]) / _SQUASH
    lean = np.where(shadow[keep] == SHADOWS.index("left"), -_LEAN, _LEAN)[:, None]
    distance = _by_shape(f.shape, (x - f.x[:, None] - lean * height) / half, 1.0 - height / half)
    cover = np.clip(0.5 - distance * half * 0.6, 0.0, 1.0) * (height > 0)
    shade[f.scene] = np.maximum(shade[f.scene], cover)


def paint(
    canvas: Float[np.ndarray, "3 n p"],
    figures: Figures,
    back: Backdrops,
    fields: Int[np.ndarray, " n"],
    wet: Float[np.ndarray, " n"],
    scale: int,
    flipped: bool,
) -> Float[np.ndarray, "n p"]:
    """Paint figures of different scenes on the canvas, in place; returns their coverage.

    Args:
        canvas: pictures so far.
        figures: at most one a scene.
        back: the backdrops, for pixel centres, glass and strokes.
        fields: which stroke fields of `back` each scene has.
        wet: 1 for scenes with water, else 0.
        scale: samples a pixel in each direction.
        flipped: draw upside down, through the glass, with the opacity of a reflection.
    """
    coverage = np.zeros(canvas.shape[1:], np.float32)
    if not len(figures.scene):
        return coverage
    f = figures.take(np.argsort(figures.shape, kind="stable"))
    side, width = SIZE * scale, _WINDOW * scale
    x0, y0 = (np.clip(np.floor(c - _WINDOW / 2 + 0.5), 0, SIZE - _WINDOW).astype(np.int64) * scale for c in (f.x, f.y))
    window = (np.arange(width)[:, None] * side + np.arange(width)).ravel()
    pixel = (y0 * side + x0)[:, None] + window
    y = back.y[pixel]
    half = f.half[:, None]
    u, v = (back.x[pixel] - f.x[:, None]) / half, (y - f.y[:, None]) / half
    if flipped:
        v = -v
    distance = _by_shape(f.shape, u, v) * half
    cover = np.clip(0.5 - distance * scale, 0.0, 1.0)
    colour = _pigment(f, u, v, distance, scale)
    _submerge(colour, (y > WATER_LINE) * (_TINT * wet[f.scene])[:, None])
    _stroke(colour, f.style, back, fields[f.scene, None] * back.x.size + pixel)
    np.clip(colour, 0.0, 1.0, out=colour)
    if flipped:
        cover *= back.glass[pixel]
    opacity = cover * _OPACITY if flipped else cover
    index = f.scene[:, None] * back.x.size + pixel
    for new, plane in zip(colour, canvas.reshape(3, -1), strict=True):
        under = plane[index]
        plane[index] = under + opacity * (new - under)
    coverage.ravel()[index] = cover
    return coverage


def _runs(shape: Int[np.ndarray, " m"]) -> list[tuple[int, slice]]:
    """Code and rows of every run of equal shapes in a sorted array."""
    edges = np.searchsorted(shape, np.arange(len(DISTANCES) + 1))
    return [(code, slice(int(lo), int(hi))) for code, (lo, hi) in enumerate(pairwise(edges)) if hi > lo]


def _by_shape(
    shape: Int[np.ndarray, " m"], u: Float[np.ndarray, "m p"], v: Float[np.ndarray, "m p"]
) -> Float[np.ndarray, "m p"]:
    """Signed distances of figures that are sorted by shape."""
    out = np.empty_like(u)
    for code, rows in _runs(shape):
        out[rows] = DISTANCES[code](u[rows], v[rows])
    return out


def _pigment(
    f: Figures,
    u: Float[np.ndarray, "m p"],
    v: Float[np.ndarray, "m p"],
    distance: Float[np.ndarray, "m p"],
    scale: int,
) -> Float[np.ndarray, "3 m p"]:
    """Colour of figures before water and strokes: pigment x light x grain, then gloss, printed mark and rim."""
    table = style_table()
    shade, gloss, mark = np.empty_like(u), np.zeros_like(u), np.zeros_like(u)
    for code, rows in _runs(f.shape):
        light = LIGHTS[code](u[rows], v[rows], f.side[rows, None])
        shade[rows] = light.shade
        if light.gloss is not None:
            gloss[rows] = light.gloss
        if light.mark is not None:
            mark[rows] = light.mark
    half, flat = f.half[:, None], table["flat"][f.style][:, None]
    relief = grain(f.material[:, None], u * half, v * half, f.grain[:, None])
    shade = (shade + flat * (0.97 - shade)) * (1.0 + _RELIEF * relief) * f.tint[:, None]
    base = palette_table()[f.colour]
    colour = base.T[:, :, None] * shade
    for i in np.flatnonzero(f.individual >= 0):  # few: personal objects are the exception
        row = slice(i, i + 1)
        texture = individual(int(f.individual[i]))
        share = second_share(texture, u[row], v[row], float(f.half[i]) * scale)
        first, second = (np.array(c, np.float32)[:, None, None] for c in texture.colours)
        colour[:, row] = (first + share * (second - first)) * shade[row]
    colour += gloss * (1.0 - flat) * (1.0 - colour)
    printed = np.where(base.mean(1) < 0.3, np.float32(0.92), np.float32(0.08))[:, None]  # light on black, else dark
    colour += mark * (printed - colour)
    width, dark = (column[:, None] for column in table["rim"][f.style].T)
    return colour * (1.0 - dark * np.clip(distance + width + 0.5, 0.0, 1.0))


def _submerge(colour: Float[np.ndarray, "3 m p"], opacity: Float[np.ndarray, "m p"]) -> None:
    """Tint what is under water, in place."""
    for plane, water in zip(colour, WATER, strict=True):
        plane += opacity * (np.float32(water * 1.15) - plane)


def _stroke(
    colour: Float[np.ndarray, "3 m p"], style: Int[np.ndarray, " m"], back: Backdrops, field: Int[np.ndarray, "m p"]
) -> None:
    """Apply styles in place: gain and lift, then the strokes that the canvas has at those places."""
    table = style_table()
    colour *= table["gain"][style].T[:, :, None]
    colour += table["lift"][style].T[:, :, None]
    base = colour.copy()
    for k in range(2):
        opacity = back.strokes[k].ravel()[field] * table["on_object"][style, k][:, None]
        colour += opacity * (table["paints"][style, k].T[:, :, None] - base)
