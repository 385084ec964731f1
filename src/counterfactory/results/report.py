"""The report: what was measured, beside its controls, and how to measure it again.

One object serves the terminal (`print`), files (`save`, `load`), browsers (`html`, one whole page) and notebooks.
"""

import base64
import functools
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from counterfactory.errors import CounterfactoryError
from counterfactory.results.cells import Cell, Estimate, Row, decode, encode, number, plain_rows, text
from counterfactory.results.files import damaged, read_json, write

FORMAT = "counterfactory.report/1"
_LIBRARIES = ("counterfactory", "torch", "numpy", "transformers", "diffusers")


@functools.cache
def source_hash() -> str:
    """First 16 digits of the SHA-256 of the package's own source files: which code ran, without version control."""
    root, digest = Path(__file__).parents[1], hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


@functools.cache
def versions() -> dict[str, str]:
    """Versions of Python, this package and the libraries that decide the numbers; what is not installed is left out."""
    import importlib.metadata
    import platform

    found = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


@dataclass(frozen=True)
class Reproduce:
    """How to measure it again: the command, the seeds, the versions and the hash of the code that ran."""

    command: str = ""
    seeds: tuple[int, ...] = ()
    versions: dict[str, str] = field(default_factory=lambda: dict(versions()))
    source: str = field(default_factory=source_hash)


@dataclass(frozen=True)
class Figure:
    """A picture of a report.

    Args:
        title: the caption.
        alt: what the picture shows, in words, for those who cannot see it.
        data: PNG as bytes, or SVG as text.
    """

    title: str
    alt: str
    data: bytes | str

    def __post_init__(self) -> None:
        png = isinstance(self.data, bytes) and self.data.startswith(b"\x89PNG\r\n\x1a\n")
        svg = isinstance(self.data, str) and "<svg" in self.data
        if not (png or svg):
            raise CounterfactoryError(
                f"the figure '{self.title}' is no picture",
                given=repr(self.data[:20]),
                expected="PNG bytes or SVG text",
                hint="save the plot as PNG or SVG first",
            )
        if not self.alt.strip():
            raise CounterfactoryError(
                f"the figure '{self.title}' has no description",
                given=self.alt,
                expected="a sentence that says what it shows",
                hint="fill in `alt`",
            )

    @property
    def uri(self) -> str:
        """The picture as a data address; SVG goes in as a picture too, so that nothing in it can run or load."""
        kind, raw = ("png", self.data) if isinstance(self.data, bytes) else ("svg+xml", self.data.encode())
        return f"data:image/{kind};base64,{base64.b64encode(raw).decode()}"


@dataclass(frozen=True)
class Report:
    """Rows of named columns, with controls, notes and figures.

    Args:
        title: one line.
        rows: mappings of column -> cell; a cell is text, a number, a truth value, None or an `Estimate`.
        controls: rows of the same columns that have to be beaten or matched (no change, a random change, chance).
        notes: sentences, shown under the table.
        figures: pictures, shown under the notes.
        reproduce: command, seeds, versions, source hash; filled in as far as it is known.

    Raises:
        CounterfactoryError: a cell of another kind, naming its row and column.

    Example:
        >>> report = Report("Error of do(angle)", [{"model": "ours", "error": Estimate(0.1, 0.08, 0.12, n=200)}])
        >>> report.columns
        ('model', 'error')
    """

    title: str
    rows: Sequence[Row]
    controls: Sequence[Row] = ()
    notes: Sequence[str] = ()
    figures: Sequence[Figure] = ()
    reproduce: Reproduce = field(default_factory=Reproduce)

    def __post_init__(self) -> None:
        object.__setattr__(self, "rows", plain_rows(self.rows, "rows"))
        object.__setattr__(self, "controls", plain_rows(self.controls, "controls"))
        object.__setattr__(self, "notes", tuple(self.notes))
        object.__setattr__(self, "figures", tuple(self.figures))

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of all columns, in the order in which they first appear."""
        return tuple(dict.fromkeys(name for row in (*self.rows, *self.controls) for name in row))

    # -- terminal and notebook -----------------------------------------------------------------------------------------

    def print(self, file: Any = None) -> None:
        """Show the table, the notes and how to reproduce it, on the terminal or in `file`."""
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(title=Text(self.title), title_justify="left", title_style="bold", header_style="bold")
        for name in self.columns:
            table.add_column(Text(name), justify="right" if self.is_numeric(name) else "left", overflow="fold")
        sizes = {c.n for row in (*self.rows, *self.controls) for c in row.values() if isinstance(c, Estimate)}
        for part, style in ((self.rows, ""), (self.controls, "dim")):
            for row in part:
                table.add_row(*(_rich(row.get(name), len(sizes) > 1) for name in self.columns), style=style)
            table.add_section()
        console = Console(file=file)
        console.print(table)
        told = ["Rows below the line are controls."] if self.controls else []
        if sizes:
            told.append("Intervals are 95%." if len(sizes) > 1 else f"Intervals are 95%, n = {sizes.pop()}.")
        if told:
            console.print(" ".join(told), style="dim")
        for note in self.notes:
            console.print(Text(note))
        if self.reproduce.command:
            console.print(Text(f"again: {self.reproduce.command}", style="dim"), soft_wrap=True)

    def is_numeric(self, column: str) -> bool:
        """Whether every filled cell of a column is a number or an estimate."""
        cells = [row[column] for row in (*self.rows, *self.controls) if row.get(column) is not None]
        return bool(cells) and all(
            isinstance(cell, (int, float, Estimate)) and not isinstance(cell, bool) for cell in cells
        )

    def _repr_html_(self) -> str:
        from counterfactory.results.page import article

        return article(self)

    # -- files ---------------------------------------------------------------------------------------------------------

    def html(self, path: str | Path) -> None:
        """Write one page that needs no other file and no network."""
        from counterfactory.results.page import page

        write(Path(path), page(self))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for strict JSON; `digest` is the SHA-256 of everything else."""
        body: dict[str, Any] = {
            "format": FORMAT,
            "title": self.title,
            "rows": [{name: encode(cell) for name, cell in row.items()} for row in self.rows],
            "controls": [{name: encode(cell) for name, cell in row.items()} for row in self.controls],
            "notes": list(self.notes),
            "figures": [{"title": f.title, "alt": f.alt, "data": f.uri} for f in self.figures],
            "reproduce": {
                "command": self.reproduce.command,
                "seeds": list(self.reproduce.seeds),
                "versions": self.reproduce.versions,
                "source": self.reproduce.source,
            },
        }
        return {**body, "digest": _digest(body)}

    def save(self, path: str | Path) -> None:
        """Write as JSON; the file appears whole or not at all."""
        write(Path(path), json.dumps(self.to_dict(), indent=2, allow_nan=False) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> "Report":
        """Read what `save` wrote.

        Raises:
            CounterfactoryError: no such file, a damaged one, or one changed by hand.
        """
        path = Path(path)
        found = read_json(path, FORMAT)
        digest = found.pop("digest", None)
        if digest != _digest(found):
            raise damaged(path, FORMAT, "the content does not match its digest")
        try:
            again = found["reproduce"]
            return cls(
                found["title"],
                [{name: decode(cell) for name, cell in row.items()} for row in found["rows"]],
                [{name: decode(cell) for name, cell in row.items()} for row in found["controls"]],
                found["notes"],
                [Figure(f["title"], f["alt"], _picture(f["data"])) for f in found["figures"]],
                Reproduce(again["command"], tuple(again["seeds"]), again["versions"], again["source"]),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise damaged(path, FORMAT, f"{type(error).__name__}: {error}") from error


def _digest(body: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True, allow_nan=False).encode()).hexdigest()


def _picture(uri: str) -> bytes | str:
    kind, _, data = uri.partition(";base64,")
    raw = base64.b64decode(data)
    return raw if kind == "data:image/png" else raw.decode()


def _rich(cell: Cell, sizes: bool) -> Any:
    from rich.text import Text

    if isinstance(cell, Estimate):
        return Text.assemble(number(cell.value), (f" {cell.interval}" + (f" n={cell.n}" if sizes else ""), "dim"))
    return Text(text(cell))
