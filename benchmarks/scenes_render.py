"""Images per second of the scenes2d renderer and of a plain matplotlib renderer of the same scenes, on one thread.

    OMP_NUM_THREADS=1 python benchmarks/scenes_render.py [matplotlib images] [our images]

The matplotlib renderer opens one figure a scene and is given our finished backdrop, so that only shadows, reflections,
objects, water and strokes are compared. It paints shapes in flat facets instead of smooth light, so the pictures agree
up to the light on the objects; the last line says how well.
"""

import sys
import time
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch, PathPatch, Rectangle
from matplotlib.path import Path
from matplotlib.transforms import Affine2D, Transform

from counterfactory.worlds.scenes2d import SETTINGS, STYLES, Scenes, render, sample
from counterfactory.worlds.scenes2d.backdrops import MIRROR, VARIANTS, WATER, WATER_LINE, backdrops
from counterfactory.worlds.scenes2d.figures import place_objects
from counterfactory.worlds.scenes2d.looks import PALETTE, Style, style

FACE = 0.44


def star() -> Path:
    outer = 2 / (1 + np.cos(np.pi / 5))
    angle = np.arange(10) * np.pi / 5
    radius = np.where(np.arange(10) % 2, 0.47, 1.0) * outer
    return Path(np.stack([radius * np.sin(angle), outer - 1 - radius * np.cos(angle)], 1))


def cone() -> Path:
    t = np.linspace(0, np.pi, 16)
    base = np.stack([0.86 * np.cos(t), 0.76 + 0.24 * np.sin(t)], 1)
    return Path(np.concatenate([[(0, -1)], base]))


def ring() -> Path:
    outer = Path.circle(radius=1.0)
    inner = Path.circle(radius=0.38)
    return Path.make_compound_path(outer, Path(np.asarray(inner.vertices)[::-1], inner.codes))


a = 0.36
OUTLINES = (
    Path.circle(),
    Path([(-1, -FACE), (-FACE, -1), (1, -1), (1, FACE), (FACE, 1), (-1, 1)]),
    cone(),
    star(),
    ring(),
    Path([(-a, -1), (a, -1), (a, -a), (1, -a), (1, a), (a, a), (a, 1), (-a, 1), (-a, a), (-1, a), (-1, -a), (-a, -a)]),
    Path([(0, -1), (1, 0), (0, 1), (-1, 0)]),
)
TOP = Path([(-1, -FACE), (-FACE, -1), (1, -1), (FACE, -FACE)])
RIGHT = Path([(FACE, -FACE), (1, -1), (1, FACE), (FACE, 1)])
BAR = Path([(-0.13, -0.48), (0.13, -0.48), (0.13, 0.2), (-0.13, 0.2)])


def closed(path: Path) -> Path:
    """A copy whose outline is closed, so that its edge is drawn all round."""
    if path.codes is not None:
        return path
    corners = np.asarray(path.vertices)
    vertices = np.concatenate([corners, corners[:1]])
    return Path(vertices, [Path.MOVETO] + [Path.LINETO] * (len(vertices) - 2) + [Path.CLOSEPOLY])


def on_top(ax: Axes, artist: Artist, clip: tuple[Path, Transform] | None = None) -> None:
    """Put an artist over all earlier ones (by default matplotlib draws every image below every patch)."""
    artist.set_zorder(10 + len(ax.get_children()))
    if isinstance(artist, Patch):
        ax.add_patch(artist)
    if clip is not None:
        artist.set_clip_path(*clip)


def paint_object(
    ax: Axes,
    path: Path,
    place: Affine2D,
    colour: np.ndarray,
    light: float,
    manner: Style,
    alpha: float,
    clip: Path | None,
) -> None:
    """One object or reflection, as flat facets."""
    to_data = place + ax.transData

    def patch(shape: Path, fill: np.ndarray | str, **how: Any) -> None:
        drawn = PathPatch(closed(shape), facecolor=fill, transform=to_data, alpha=alpha, **how)
        on_top(ax, drawn, None if clip is None else (clip, ax.transData))

    width, dark = manner.rim
    patch(path, np.clip(colour * 0.97, 0, 1), edgecolor=tuple(colour * (1 - dark)), linewidth=0.6 * width)
    shape = next(i for i, p in enumerate(OUTLINES) if p is path)
    if shape == 1:
        patch(TOP, np.clip(colour * 1.15, 0, 1), linewidth=0)
        patch(RIGHT, np.clip(colour * (0.86 + 0.24 * light), 0, 1), linewidth=0)
    if shape == 6:
        mark = "0.92" if colour.mean() < 0.3 else "0.08"
        patch(BAR, mark, linewidth=0)
        patch(Path.circle((0, 0.46), 0.14), mark, linewidth=0)


def plain(scenes: Scenes, i: int) -> np.ndarray:
    """One scene with matplotlib, [64, 64, 3] from 0 to 255."""
    spec, row = scenes[i], scenes[i : i + 1]
    fig = Figure(figsize=(0.64, 0.64), dpi=100)
    canvas = FigureCanvasAgg(fig)
    ax = fig.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, 64), ylim=(64, 0))
    ax.axis("off")
    manner, back = style(spec.style), backdrops(1)
    field = STYLES.index(spec.style) * VARIANTS + int(row["backdrop"][0] * VARIANTS)
    which = (SETTINGS.index(spec.setting) * 2 + ("left", "right").index(spec.light)) * len(STYLES) * VARIANTS + field
    ax.imshow(back.pictures[:, which].reshape(3, 64, 64).transpose(1, 2, 0), extent=(0, 64, 64, 0))
    left, top, right, bottom = MIRROR
    pane = Path([(left, top), (right, top), (right, bottom), (left, bottom)])
    consequences = row.consequences()
    objects = [place_objects(row, k, consequences[:, 2 + k]) for k in (1, 2) if k == 1 or spec.objects == "two"]
    for f in objects if spec.setting in ("table", "grass") else ():
        half, x, contact = float(f.half[0]), float(f.x[0]), float(f.y[0] + f.half[0])
        lean = 0.80 if spec.light == "left" else -0.80
        lay = Affine2D.from_values(half, 0, -half * lean, -half * 0.34, x + half * lean, contact + half * 0.34)
        shape = OUTLINES[int(f.shape[0])]
        on_top(ax, PathPatch(shape, facecolor="black", alpha=0.42, linewidth=0, transform=lay + ax.transData))
    for mirrored in (True, False):
        if mirrored and spec.setting != "mirror":
            continue
        for f in objects:
            half, x, y, light = float(f.half[0]), float(f.x[0]), float(f.y[0]), float(f.side[0])
            pigment = np.array(list(PALETTE.values())[int(f.colour[0])]) * float(f.tint[0])
            colour = np.clip(pigment * manner.gain + manner.lift, 0, 1)
            path = OUTLINES[int(f.shape[0])]
            sign = -1 if mirrored else 1
            place = Affine2D().scale(half, sign * half).translate(x, y + 2 * half * mirrored)
            paint_object(ax, path, place, colour, light, manner, 0.55 if mirrored else 1.0, pane if mirrored else None)
            inside = closed(path), place + ax.transData
            if spec.setting == "water":
                water = Rectangle((x - 14, WATER_LINE), 28, 64, color=np.array(WATER) * 1.15, alpha=0.30, linewidth=0)
                on_top(ax, water, inside)
            for k in range(2):
                if manner.on_object[k]:
                    opacity = back.strokes[k, field].reshape(64, 64) * manner.on_object[k] * (0.55 if mirrored else 1.0)
                    layer = np.dstack([np.broadcast_to(manner.paints[k], (64, 64, 3)), opacity])
                    on_top(ax, ax.imshow(layer, extent=(0, 64, 64, 0)), inside)
    if spec.setting == "water":
        for i, strength in enumerate((0.55, 0.20)):
            line = Rectangle((0, WATER_LINE + i), 64, 1, color="0.97", alpha=strength, linewidth=0, antialiased=False)
            on_top(ax, line)
    canvas.draw()
    picture = np.asarray(canvas.buffer_rgba())[..., :3] * (0.90 + 0.10 * row["exposure"][0])
    return np.clip(picture, 0, 255).round().astype(np.uint8)


def main(few: int = 200, many: int = 8192) -> None:
    scenes = sample(many, seed=0)
    render(scenes[:64])  # draws the backdrops, which are kept
    plain(scenes, 0)
    start = time.process_time()
    ours = render(scenes).images
    fast = many / (time.process_time() - start)
    start = time.process_time()
    theirs = np.stack([plain(scenes, i) for i in range(few)])
    slow = few / (time.process_time() - start)
    difference = np.abs(ours[:few].astype(float) - theirs).mean() / 255
    print(f"scenes2d     {fast:8.0f} images/s   ({many} scenes, one thread, with masks and boxes)")
    print(f"matplotlib   {slow:8.0f} images/s   ({few} scenes, one figure at a time)")
    print(f"ratio        {fast / slow:8.0f} x")
    print(f"agreement    {100 * difference:8.2f} %  mean absolute difference of the two renderings, of the full range")


if __name__ == "__main__":
    main(*(int(arg) for arg in sys.argv[1:]))
