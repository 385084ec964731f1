"""Findings: where in a model something happens, how strongly, and how sure that is."""

import dataclasses
import io
import json
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, overload

from counterfactory.errors import CounterfactoryError
from counterfactory.results.cells import Estimate, decode, encode
from counterfactory.results.files import damaged, read_json, write
from counterfactory.results.report import Figure, Report, Reproduce

FORMAT = "counterfactory.findings/1"


@dataclass(frozen=True)
class Finding:
    """One place and its effect.

    Args:
        site: a `counterfactory.hooks.Site` (module, side, and units, directions or positions there), or a module path.
        effect: the causal effect measured there, with its 95% interval and the number of units behind it.
    """

    site: Hashable
    effect: Estimate

    @property
    def place(self) -> str:
        """Module, and side where it is not the output."""
        at = getattr(self.site, "at", "output")
        return str(getattr(self.site, "path", self.site)) + ("" if at == "output" else f" ({at})")

    @property
    def slice(self) -> str:
        """Units and positions inside the module, as text; empty for the whole module."""
        given = {name: getattr(self.site, name, None) for name in ("tokens", "units")}
        words = {name: _word(value) for name, value in given.items() if value is not None}
        return (
            next(iter(words.values()))
            if len(words) == 1
            else ", ".join(f"{name} {word}" for name, word in words.items())
        )


@dataclass(frozen=True)
class Findings:
    """What a search in a model found, one row a place.

    Args:
        rows: the places with their effects.
        title: one line.
        notes: sentences that a reader should see.
        reproduce: command, seeds, versions, source hash.

    Example:
        >>> effects = {"block.0": Estimate(0.1, 0.0, 0.2, 40), "block.1": Estimate(-0.7, -0.8, -0.6, 40)}
        >>> found = Findings([Finding(site, effect) for site, effect in effects.items()])
        >>> [finding.place for finding in found.top(1)]
        ['block.1']
    """

    rows: Sequence[Finding]
    title: str = "Findings"
    notes: Sequence[str] = ()
    reproduce: Reproduce = field(default_factory=Reproduce)

    def __post_init__(self) -> None:
        object.__setattr__(self, "rows", tuple(self.rows))
        object.__setattr__(self, "notes", tuple(self.notes))

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.rows)

    @overload
    def __getitem__(self, index: int) -> Finding: ...
    @overload
    def __getitem__(self, index: slice) -> "Findings": ...
    def __getitem__(self, index: int | slice) -> "Finding | Findings":
        return dataclasses.replace(self, rows=self.rows[index]) if isinstance(index, slice) else self.rows[index]

    def top(self, k: int) -> "Findings":
        """The `k` largest effects, of either sign, largest first; equal ones stay in order.

        Raises:
            CounterfactoryError: k below 1.
        """
        if k < 1:
            raise CounterfactoryError(
                "how many findings?", given=k, expected="k of at least 1", hint="top(1) is the largest effect"
            )
        return dataclasses.replace(self, rows=sorted(self.rows, key=lambda row: -abs(row.effect.value))[:k])

    def to_do(self, op: Any = None) -> dict[Hashable, Any]:
        """The places as interventions, ready for `do(model, ...)`.

        Args:
            op: what to do there; by default `Scale(0.0)`, which takes away what the place says.
        """
        if op is None:
            from counterfactory.causal import Scale

            op = Scale(0.0)
        return {row.site: op for row in self.rows}

    # -- showing -------------------------------------------------------------------------------------------------------

    def report(self) -> Report:
        """The findings as a report, with the heat map."""
        sliced = any(row.slice for row in self.rows)
        rows = [
            {"site": row.place} | ({"unit": row.slice} if sliced else {}) | {"effect": row.effect} for row in self.rows
        ]
        return Report(
            self.title, rows, notes=self.notes, figures=[self.figure()] if self.rows else [], reproduce=self.reproduce
        )

    def print(self, file: Any = None) -> None:
        """Show the table on the terminal or in `file`."""
        dataclasses.replace(self.report(), figures=()).print(file)

    def _repr_html_(self) -> str:
        return self.report()._repr_html_()

    def figure(self) -> Figure:
        """The heat map: places down, units or positions across; a dot marks effects whose interval holds 0."""
        import numpy as np
        from matplotlib.figure import Figure as Canvas

        places = list(dict.fromkeys(row.place for row in self.rows))
        slices = list(dict.fromkeys(row.slice for row in self.rows))
        grid = np.full((len(places), len(slices)), np.nan)
        unsure = []
        for row in self.rows:
            i, j = places.index(row.place), slices.index(row.slice)
            grid[i, j] = row.effect.value
            if row.effect.low <= 0 <= row.effect.high:
                unsure.append((j, i))
        finite = np.abs(grid[np.isfinite(grid)])
        limit = float(finite.max()) if finite.size and finite.max() > 0 else 1.0
        canvas = Canvas(
            figsize=(min(16.0, 3.5 + 0.45 * len(slices)), min(16.0, 1.2 + 0.3 * len(places))), layout="constrained"
        )
        axes = canvas.subplots()
        image = axes.imshow(grid, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto")
        axes.set_facecolor("0.92")  # places that were not measured
        axes.set_yticks(range(len(places)), places)
        axes.set_xticks(range(len(slices)), slices, rotation=90 if max(map(len, slices)) > 3 else 0)
        if unsure:
            across, down = zip(*unsure, strict=True)
            axes.scatter(across, down, s=9, c="0.35")
        canvas.colorbar(image, label="effect")
        png = io.BytesIO()
        canvas.savefig(png, format="png", dpi=120)
        largest = self.top(1)[0]
        where = f"{largest.place} {largest.slice}".strip()
        alt = f"Heat map of {len(self)} effects at {len(places)} places; the largest is {largest.effect} at {where}."
        return Figure("Effect by place; a dot marks an interval that holds 0.", alt, png.getvalue())

    # -- files ---------------------------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> None:
        """Write as JSON; the file appears whole or not at all."""
        rows = [{"site": _fields(row.site), "effect": encode(row.effect)} for row in self.rows]
        again = dataclasses.asdict(self.reproduce)
        body = {"format": FORMAT, "title": self.title, "rows": rows, "notes": list(self.notes), "reproduce": again}
        write(Path(path), json.dumps(body, indent=2, allow_nan=False) + "\n")

    @classmethod
    def load(cls, path: str | Path, site: Callable[..., Hashable] | None = None) -> "Findings":
        """Read what `save` wrote.

        Args:
            path: the file.
            site: `counterfactory.hooks.Site`, for findings whose sites are more than a module path.

        Raises:
            CounterfactoryError: no such file, a damaged one, or sites that need `site`.
        """
        path = Path(path)
        found = read_json(path, FORMAT)
        try:
            rows = []
            for row in found["rows"]:
                place, effect = row["site"], decode(row["effect"])
                if isinstance(place, dict):
                    if site is None:
                        raise CounterfactoryError(
                            f"the sites in '{path}' are more than module paths",
                            given="no class for them",
                            expected="site=counterfactory.hooks.Site",
                            hint="Findings.load(path, site=Site)",
                        )
                    place = site(**{name: _unpacked(value) for name, value in place.items()})
                if not isinstance(effect, Estimate):
                    raise TypeError(f"the effect at {place} is no estimate")
                rows.append(Finding(place, effect))
            again = found["reproduce"]
            reproduce = Reproduce(again["command"], tuple(again["seeds"]), again["versions"], again["source"])
            return cls(rows, found["title"], found["notes"], reproduce)
        except (KeyError, TypeError, AttributeError) as error:
            raise damaged(path, FORMAT, f"{type(error).__name__}: {error}") from error


def _word(index: Any) -> str:
    """An index as a reader writes it: 3, 3 17, 2:5, or the number of directions."""
    if isinstance(index, slice):
        return f"{'' if index.start is None else index.start}:{'' if index.stop is None else index.stop}"
    if hasattr(index, "ndim"):
        return f"{index.shape[-1]} directions" if index.ndim == 2 else " ".join(str(i) for i in index.tolist())
    return " ".join(str(i) for i in index) if isinstance(index, tuple) else str(index)


def _fields(site: Any) -> Any:
    """A site as plain values: its path, or the fields that are set."""
    if not dataclasses.is_dataclass(site):
        return str(site)
    given = {f.name: getattr(site, f.name) for f in dataclasses.fields(site)}
    return {f.name: _packed(given[f.name]) for f in dataclasses.fields(site) if given[f.name] is not f.default}


def _packed(value: Any) -> Any:
    if isinstance(value, slice):
        return {"slice": [value.start, value.stop, value.step]}
    return {"tensor": value.tolist()} if hasattr(value, "tolist") else value


def _unpacked(value: Any) -> Any:
    if isinstance(value, dict) and "slice" in value:
        return slice(*value["slice"])
    if isinstance(value, dict):
        import torch

        return torch.tensor(value["tensor"])
    return tuple(value) if isinstance(value, list) else value
