"""The cells of a report: plain values, and estimates with their interval."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from counterfactory.errors import CounterfactoryError


@dataclass(frozen=True)
class Estimate:
    """A value, its 95% interval and the number of units behind it.

    Example:
        >>> str(Estimate(0.25, 0.2, 0.3, n=40))
        '0.25 [0.2, 0.3] n=40'
    """

    value: float
    low: float
    high: float
    n: int

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise CounterfactoryError(
                "the interval is upside down",
                given=f"[{self.low:g}, {self.high:g}]",
                expected="low <= high",
                hint="give the lower end first",
            )

    def __str__(self) -> str:
        return f"{number(self.value)} {self.interval} n={self.n}"

    @property
    def interval(self) -> str:
        """The interval as `[low, high]`."""
        return f"[{number(self.low, 3)}, {number(self.high, 3)}]"


Cell = str | int | float | bool | None | Estimate
Row = Mapping[str, Any]
"""Column name -> cell; scalars of numpy and torch become plain numbers, intervals of `metrics` become estimates."""


def number(value: int | float, digits: int = 4) -> str:
    """`digits` significant digits below a thousand, whole numbers with separators above."""
    if isinstance(value, int) or not math.isfinite(value) or abs(value) < 1000:
        return f"{value:,}" if isinstance(value, int) else f"{value:.{digits}g}"
    return f"{value:,.0f}" if abs(value) < 1e9 else f"{value:.3e}"


def text(cell: Cell) -> str:
    """A cell as it is shown."""
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    return number(cell) if isinstance(cell, (int, float)) else str(cell)


def plain_rows(rows: Iterable[Row], where: str) -> tuple[dict[str, Cell], ...]:
    """Rows with plain cells.

    Raises:
        CounterfactoryError: a cell that is neither text, a number, a truth value, None nor an `Estimate`.
    """
    return tuple(
        {str(name): _plain(cell, f"row {i} of the {where}, column '{name}'") for name, cell in row.items()}
        for i, row in enumerate(rows)
    )


def _plain(cell: Any, where: str) -> Cell:
    if not isinstance(cell, (str, int, float, Estimate)) and getattr(cell, "shape", None) == ():
        cell = cell.item()
    if getattr(cell, "_fields", None) == ("value", "low", "high", "n"):
        return Estimate(*cell)
    if cell is None or isinstance(cell, (str, int, Estimate)):
        return cell
    if isinstance(cell, float):
        return float(cell)  # numpy's float64 is a float that prints otherwise
    raise CounterfactoryError(
        f"{where} is no cell",
        given=type(cell).__name__,
        expected="text, a number, a truth value, None or an Estimate",
        hint="turn the value into one of them",
    )


def encode(cell: Cell) -> Any:
    """A cell as strict JSON, which has no nan and no infinity."""
    if isinstance(cell, Estimate):
        return {"value": _finite(cell.value), "low": _finite(cell.low), "high": _finite(cell.high), "n": cell.n}
    if isinstance(cell, float) and not math.isfinite(cell):
        return {"float": str(cell)}
    return cell


def _finite(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)


def decode(value: Any) -> Cell:
    """The inverse of `encode`."""
    if not isinstance(value, dict):
        return value
    if "float" in value:
        return float(value["float"])
    return Estimate(float(value["value"]), float(value["low"]), float(value["high"]), int(value["n"]))
