"""Charts of reports, on matplotlib without a window: a graph of causes, and estimates side by side."""

from collections.abc import Iterable, Mapping, Sequence
from io import BytesIO
from typing import Any

import numpy as np
from jaxtyping import Float

from counterfactory.results.cells import Estimate
from counterfactory.results.report import Figure


def graph_chart(title: str, nodes: Sequence[str], edges: Iterable[tuple[str, str]]) -> Figure:
    """A graph of causes, drawn in layers from cause to effect."""
    import networkx as nx

    graph = nx.DiGraph(list(edges))
    graph.add_nodes_from(nodes)
    for layer, names in enumerate(nx.topological_generations(graph)):
        for name in names:
            graph.nodes[name]["layer"] = layer
    from matplotlib.figure import Figure as Canvas

    figure = Canvas(figsize=(max(4.0, 1.8 * len(nodes)), 2.2))
    axes = figure.add_axes((0, 0, 1, 1))  # names may reach the edge, which no automatic layout likes
    layout: dict[str, Any] = nx.multipartite_layout(graph, subset_key="layer", align="horizontal")
    places = {name: (float(x), -float(y)) for name, (x, y) in layout.items()}
    nx.draw_networkx_edges(graph, places, ax=axes, node_size=5200, arrowsize=18, edge_color="#57606a", width=1.5)
    for name, (x, y) in places.items():
        box = {"boxstyle": "round,pad=0.5", "facecolor": "#eef4fb", "edgecolor": "#0757ba"}
        axes.text(x, y, name, ha="center", va="center", bbox=box)
    # text does not count for the limits, so they are set by the places of the names
    for limits, values in (
        (axes.set_xlim, [x for x, _ in places.values()]),
        (axes.set_ylim, [y for _, y in places.values()]),
    ):
        room = 0.3 * (max(values) - min(values)) or 1.0
        limits(min(values) - room, max(values) + room)
    axes.set_axis_off()
    words = "; ".join(f"{a} causes {b}" for a, b in graph.edges) or "no cause has an effect on another"
    return Figure(title, f"Graph of causes: {words}.", _png(figure))


def bar_chart(title: str, groups: Sequence[str], series: Mapping[str, Sequence[Estimate]], unit: str) -> Figure:
    """Bars with their 95% intervals: one group a row of the table, one bar a series in it."""
    figure, axes = _axes(max(5.0, 1.5 * len(groups)), 3.2)
    wide = 0.8 / len(series)
    for k, (name, values) in enumerate(series.items()):
        heights = [e.value for e in values]
        reach = [[e.value - e.low for e in values], [e.high - e.value for e in values]]
        places = [g + (k - (len(series) - 1) / 2) * wide for g in range(len(groups))]
        axes.bar(places, heights, wide * 0.92, yerr=reach, label=name, color=_COLOURS[k % len(_COLOURS)], capsize=2)
    axes.set_xticks(range(len(groups)), groups)
    axes.set_ylabel(unit)
    axes.legend(frameon=False)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    told = "; ".join(
        f"{name}: " + ", ".join(f"{group} {e.value:.3g}" for group, e in zip(groups, values, strict=True))
        for name, values in series.items()
    )
    return Figure(title, f"Bars in {unit}. {told}.", _png(figure))


def heat_chart(
    title: str, matrix: Float[np.ndarray, "r c"], rows: Sequence[str], columns: Sequence[str], signed: bool = False
) -> Figure:
    """A matrix as colours, 0 to 1, or -1 to 1 if `signed`; small matrices get their numbers written in."""
    figure, axes = _axes(2.5 + 0.45 * len(columns), 1.8 + 0.35 * len(rows))
    image = axes.imshow(matrix, vmin=-1 if signed else 0, vmax=1, cmap="RdBu_r" if signed else "Blues", aspect="auto")
    axes.set_xticks(range(len(columns)), columns, rotation=60, ha="right")
    axes.set_yticks(range(len(rows)), rows)
    if matrix.size <= 200:
        for (i, j), value in np.ndenumerate(matrix):
            dark = abs(value) > 0.6
            axes.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=7, color="white" if dark else "black")
    figure.colorbar(image, ax=axes)
    best = "; ".join(f"{name}: {columns[int(np.argmax(line))]}" for name, line in zip(rows, matrix, strict=True))
    return Figure(title, f"{len(rows)} rows and {len(columns)} columns; the largest of each row: {best}.", _png(figure))


_COLOURS = ("#0757ba", "#b8bec6", "#e0843a", "#4f9a63")


def _axes(width: float, height: float) -> tuple[Any, Any]:
    from matplotlib.figure import Figure as Canvas

    figure = Canvas(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def _png(figure: Any) -> bytes:
    out = BytesIO()
    figure.savefig(out, format="png", dpi=110)
    return out.getvalue()
