"""Pictures per second of the pendulum renderer and of a plain matplotlib renderer of the same units, on one thread.

    OMP_NUM_THREADS=1 python benchmarks/pendulum_render.py [matplotlib pictures] [our pictures]

The matplotlib renderer opens one figure a unit and draws the same four shapes in the same order as vector graphics.
Time is processor time, the median of five rounds in which the two take turns; the last line says how well they agree.
"""

import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Circle, PathPatch, Rectangle
from matplotlib.path import Path

from counterfactory.worlds.pendulum import Pendulum

SIZE, ROUNDS = 32, 5
SUN, DARK, BOB = (1.0, 0.75, 0.05), (0.15, 0.15, 0.25), (0.85, 0.15, 0.15)


def plain(unit: np.ndarray) -> np.ndarray:
    """One unit with matplotlib, [32, 32, 3] in [0, 1]."""
    angle, light, length, position = unit
    fig = Figure(figsize=(SIZE / 100, SIZE / 100), dpi=100)
    canvas = FigureCanvasAgg(fig)
    ax = fig.add_axes((0, 0, 1, 1))
    ax.set(xlim=(-1, 23), ylim=(-1.75, 22.25))
    ax.axis("off")
    theta = np.radians(angle)
    bob = 10 + 8 * np.sin(theta), 10.5 - 8 * np.cos(theta)
    ax.add_patch(Circle((10 + 10 / np.tan(np.radians(light)), 20.5), 3.0, color=SUN, linewidth=0))
    rod = PathPatch(Path([(10, 10.5), bob]), edgecolor=DARK, linewidth=72 * SIZE / 100 / 24, capstyle="round")
    ax.add_patch(rod)
    ax.add_patch(Circle(bob, 1.5, color=BOB, linewidth=0))
    shadow = Rectangle((position - length / 2, -1.1), length, 1.2, color=DARK, linewidth=0)
    ax.add_patch(shadow)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3] / 255


def rate(draw: Callable[[], object], count: int) -> float:
    start = time.process_time()
    draw()
    return count / (time.process_time() - start)


def main(few: int = 100, many: int = 4096) -> None:
    torch.set_num_threads(1)
    world = Pendulum(SIZE)
    units = world.sample(many, seed=0)  # warms up
    rows = units.factors[:few].double().numpy()
    plain(rows[0])
    rates = [
        (
            rate(lambda: world.render(units.factors, units.noise), many),
            rate(lambda: [plain(row) for row in rows], few),
        )
        for _ in range(ROUNDS)
    ]
    fast, slow = np.median(rates, axis=0)
    theirs = np.stack([plain(row) for row in rows])
    difference = np.abs(units.observation[:few].permute(0, 2, 3, 1).numpy() - theirs).mean()
    print(f"pendulum     {fast:8.0f} pictures/s   ({many} units, one thread, {SIZE} x {SIZE} pixels)")
    print(f"matplotlib   {slow:8.0f} pictures/s   ({few} units, one figure at a time)")
    print(f"ratio        {fast / slow:8.0f} x")
    print(f"agreement    {100 * difference:8.2f} %  mean absolute difference of the two renderings, of the full range")


if __name__ == "__main__":
    main(*(int(arg) for arg in sys.argv[1:]))
