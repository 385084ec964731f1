"""Maps of effects over tokens and layers, as findings with a terminal form and a picture."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
from jaxtyping import Float

from counterfactory.errors import CounterfactoryError
from counterfactory.find.lm_trace.cells import Cells
from counterfactory.find.lm_trace.wiring import Wiring
from counterfactory.hooks import Site
from counterfactory.results import Estimate, Figure, Finding, Findings, Report

_STEPS = " ▁▂▃▄▅▆▇█"
_MOST_ROWS = 5_000  # of findings; the arrays hold all cells


class Map(Findings):
    """Findings whose arrays hold more than the rows; files keep the rows."""

    @classmethod
    def load(cls, path: Any, site: Any = Site) -> Findings:
        """Read what `save` wrote: the rows, as plain `Findings`."""
        return Findings.load(path, site)


@dataclass(frozen=True, eq=False, kw_only=True)
class LayerMap(Map):
    """Effects of one kind of state over tokens and layers. The arrays speak of all cells, whichever rows are shown.

    Attributes:
        effect: mean over draws, prompts or facts, [places, layers], or [places, layers, units] where a kind has units.
        each: the same by draw, prompt or fact, in front.
        words: what each place is called.
        layers: their numbers.
        kind: of the states.
        unit: what a unit is called, such as "head".
        units: their numbers.
    """

    effect: Float[np.ndarray, "t l *u"]
    each: Float[np.ndarray, "n t l *u"]
    words: tuple[str, ...]
    layers: tuple[int, ...]
    kind: str
    units: tuple[int, ...] = ()

    def at(self, place: int | str, layer: int) -> Any:
        """The effect at a place, by its number or word, in a layer: a number, or one for each unit.

        Raises:
            CounterfactoryError: there is no such place, or layer.
        """
        where = list(self.words).index(place) if isinstance(place, str) and place in self.words else place
        if isinstance(where, str) or not -len(self.words) <= where < len(self.words) or layer not in self.layers:
            raise CounterfactoryError(
                "not on this map",
                given=f"{place!r} in layer {layer}",
                expected=f"one of {', '.join(self.words)}; layers {self.layers[0]} to {self.layers[-1]}",
                hint="places count from 0",
            )
        return self.effect[where, self.layers.index(layer)]

    def by_layer(self) -> Float[np.ndarray, "t l"]:
        """The effects, of the strongest unit where there are several."""
        if self.effect.ndim == 2:
            return self.effect
        best = np.nan_to_num(np.abs(self.effect)).argmax(-1)
        return np.take_along_axis(self.effect, best[..., None], -1)[..., 0]

    # -- showing -------------------------------------------------------------------------------------------------------

    def report(self) -> Report:
        """One row a place: its effects by layer as bars, and the largest of them."""
        flat = self.by_layer()
        scale = float(np.nanmax(np.abs(flat))) or 1.0
        by_place = self.effect.reshape(len(self.words), -1)
        rows, wide = [], max(1, len(self.units))
        for i, word in enumerate(self.words):
            if np.isnan(by_place[i]).all():
                continue
            top = int(np.nanargmax(np.abs(by_place[i])))
            where = f"layer {self.layers[top // wide]}" + (f", {self.units[top % wide]}" if self.units else "")
            sample = self.each.reshape(len(self.each), len(self.words), -1)[:, i, top]
            bars = "".join(_bar(value / scale) for value in flat[i])
            rows.append({"place": word, "by layer": bars, "largest": where, "effect": interval(sample)})
        notes = [
            f"Bars are layers {self.layers[0]} to {self.layers[-1]} of kind {self.kind}; a full one is {scale:.3g}, "
            "- is a negative one" + (", of the strongest unit." if self.units else "."),
            *self.notes,
        ]
        return Report(self.title, rows, notes=notes, figures=[self.figure()], reproduce=self.reproduce)

    def figure(self) -> Figure:
        """The heat map: places down, layers across."""
        flat, step = self.by_layer(), max(1, len(self.layers) // 16)
        layers = [str(layer) if i % step == 0 else "" for i, layer in enumerate(self.layers)]
        top = np.unravel_index(np.nanargmax(np.abs(flat)), flat.shape)
        told = f"{flat[top]:.3g} at '{self.words[top[0]]}' in layer {self.layers[top[1]]}"
        alt = f"Heat map of effects over {len(self.words)} places and {len(layers)} layers; the largest is {told}."
        return heat_map(self.title, alt, flat, self.words, layers, f"layer of the {self.kind} states")


def interval(values: Float[np.ndarray, " n"]) -> Estimate:
    """Mean with Student's 95% interval; nan as the ends of a single value."""
    value, low, high = (float(z) for z in _student(values))
    return Estimate(value, low, high, int(np.isfinite(values).sum()))


def _student(each: np.ndarray) -> tuple[Any, Any, Any]:
    """Mean over the first axis, and the ends of its interval."""
    from scipy.stats import t

    n, mean = len(each), each.mean(0)
    half = t.ppf(0.975, n - 1) * each.std(0, ddof=1) / n**0.5 if n > 1 else np.full(mean.shape, np.nan)
    return mean, mean - half, mean + half


def heat_map(
    title: str,
    alt: str,
    values: Float[np.ndarray, "r c"],
    rows: Sequence[str],
    columns: Sequence[str],
    across: str = "",
) -> Figure:
    """Effects as colours, the same ones for either sign; grey where nothing was measured."""
    from matplotlib.figure import Figure as Canvas

    limit = float(np.nanmax(np.abs(values))) or 1.0
    size = (min(16.0, 3 + 0.3 * len(columns)), min(24.0, 1.4 + 0.3 * len(rows)))
    canvas = Canvas(figsize=size, layout="constrained")
    axes = canvas.subplots()
    image = axes.imshow(values, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto")
    axes.set_facecolor("0.92")
    axes.set_yticks(range(len(rows)), [word.replace("$", r"\$") for word in rows])
    axes.set_xticks(range(len(columns)), columns, rotation=90 if max(map(len, columns)) > 3 else 0)
    axes.set_xlabel(across)
    canvas.colorbar(image, label="effect")
    png = io.BytesIO()
    canvas.savefig(png, format="png", dpi=120)
    return Figure(title, alt, png.getvalue())


def layer_map(
    wiring: Wiring,
    cells: Cells,
    each: Float[np.ndarray, "n t l u"],
    words: Sequence[str],
    cls: type[Any] = LayerMap,
    **more: Any,
) -> Any:
    """A map of cells, with a row for each of the strongest 5,000: its site, and the mean with Student's interval."""
    mean, low, high = _student(each)
    sites = cache(partial(wiring.unit_site, cells.kind))
    rows, strongest = [], np.sort(np.argsort(-np.abs(mean), axis=None, kind="stable")[:_MOST_ROWS])
    for i, j, k in zip(*np.unravel_index(strongest, cells.shape), strict=True):
        site, places = sites(cells.layers[j], cells.units[k]), cells.tokens[i]
        site = site.replace(tokens=places[0] if len(places) == 1 else places)
        rows.append(Finding(site, Estimate(float(mean[i, j, k]), float(low[i, j, k]), float(high[i, j, k]), len(each))))
    several = cells.shape[2] > 1
    return cls(
        rows,
        effect=mean if several else mean[..., 0],
        each=each if several else each[..., 0],
        words=tuple(words),
        layers=cells.layers,
        kind=cells.kind,
        units=cells.units if several else (),
        **more,
    )


def _bar(part: float) -> str:
    if np.isnan(part):
        return " "
    return "-" if part < -0.05 else _STEPS[max(0, round(min(part, 1.0) * (len(_STEPS) - 1)))]
