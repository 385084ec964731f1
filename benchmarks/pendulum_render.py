"""Pictures a second of the pendulum world, beside matplotlib drawing the same scene one figure at a time.

python benchmarks/pendulum_render.py
"""

import time

import matplotlib
import numpy as np
import torch

from counterfactory.worlds import load
from counterfactory.worlds.pendulum import _BOB, _BOTTOM, _GROUND, _INK, _LEFT, _ROD, _SHADOW, _SKY, _SPAN, _SUN

matplotlib.use("Agg")
OURS, THEIRS, REPEATS = 4096, 64, 3


def colours() -> list[np.ndarray]:
    return [1 - ink.numpy() for ink in _INK]


def by_matplotlib(factors: np.ndarray, size: int) -> np.ndarray:
    """The same shapes as vector graphics, in the same order."""
    import matplotlib.pyplot as plt
    from matplotlib.patches import Circle, Rectangle

    bob_colour, sun_colour, dark = colours()
    out = np.empty((len(factors), size, size, 3))
    for n, (angle, light, length, position) in enumerate(factors):
        figure = plt.figure(figsize=(1, 1), dpi=size)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_xlim(_LEFT, _LEFT + _SPAN)
        axes.set_ylim(_BOTTOM, _BOTTOM + _SPAN)
        axes.axis("off")
        theta, phi = np.radians(angle), np.radians(light)
        end = 10 + 8 * np.sin(theta), 10.5 - 8 * np.cos(theta)
        axes.add_patch(Circle((10 + 10 / np.tan(phi), _SKY), _SUN, color=sun_colour, lw=0))
        width = 2 * _ROD / _SPAN * 72
        axes.plot([10, end[0]], [10.5, end[1]], color=dark, lw=width, solid_capstyle="round")
        axes.add_patch(Circle(end, _BOB, color=bob_colour, lw=0))
        corner = position - length / 2, _GROUND - _SHADOW
        axes.add_patch(Rectangle(corner, length, 2 * _SHADOW, color=dark, lw=0))
        figure.canvas.draw()
        out[n] = np.asarray(figure.canvas.buffer_rgba())[..., :3] / 255
        plt.close(figure)
    return out


def main() -> None:
    world = load("pendulum")
    drawn = world.sample(OURS, seed=0)
    few = drawn.factors[:THEIRS].numpy()
    ours, theirs = [], []
    for _ in range(REPEATS):
        start = time.perf_counter()
        picture = world.render(drawn.factors, drawn.noise)
        ours.append(OURS / (time.perf_counter() - start))
        start = time.perf_counter()
        reference = by_matplotlib(few, world.image_size)
        theirs.append(THEIRS / (time.perf_counter() - start))
    apart = float(np.abs(picture[:THEIRS].permute(0, 2, 3, 1).numpy() - reference).mean())
    fast, slow = np.median(ours), np.median(theirs)
    print(f"{torch.get_num_threads()} threads, {world.image_size} pixels")
    print(f"world.render: {fast:,.0f} pictures/s   matplotlib: {slow:,.1f} pictures/s   ratio {fast / slow:,.0f}")
    print(f"mean absolute difference of a pixel: {apart:.4f}")
    assert apart < 0.03, "the two draw different pictures"


if __name__ == "__main__":
    main()
