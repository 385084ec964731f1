"""Formulas over probabilities: written once, computed for many models at once, and printed with symbols or numbers.

An estimand is a formula over terms such as P(Y=1 | X=1, V1=0). The same object gives its value from exact terms, its
value from the rounded percentages that a question prints, the symbols of a reasoning trace, and its arithmetic.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

Values = Mapping["Term", Float[np.ndarray, "n *given"]]


@dataclass(frozen=True)
class Term:
    """P(target=1 | given) for every value of `given`; with `joint`, P(given, target=1)."""

    target: str
    given: tuple[str, ...] = ()
    joint: bool = False

    def __str__(self) -> str:
        if self.joint:
            return f"P({', '.join((*self.given, self.target))})"
        return f"P({self.target} | {', '.join(self.given)})" if self.given else f"P({self.target})"


class Formula:
    """Something with a value a model; `+ - * /` build larger ones."""

    tight = 3
    """How tightly it binds: 1 a sum, 2 a product, 3 an atom."""

    def value(self, values: Values) -> Float[np.ndarray, " n"]:
        """One value a model."""
        raise NotImplementedError

    def show(self, write: Callable[["P"], str]) -> str:
        """The formula as text, each probability written by `write`."""
        raise NotImplementedError

    def terms(self) -> tuple[Term, ...]:
        """The terms it needs, each once, in the order of their first use."""
        return ()

    def __add__(self, other: "Formula") -> "Formula":
        return Binary("+", self, other)

    def __sub__(self, other: "Formula") -> "Formula":
        return Binary("-", self, other)

    def __mul__(self, other: "Formula") -> "Formula":
        return Binary("*", self, other)

    def __truediv__(self, other: "Formula") -> "Formula":
        return Binary("/", self, other)


@dataclass(frozen=True)
class Number(Formula):
    """A constant."""

    number: float

    def value(self, values: Values) -> Float[np.ndarray, " n"]:
        """The constant, once a model."""
        return np.full(len(next(iter(values.values()))), self.number)

    def show(self, write: Callable[["P"], str]) -> str:
        """The constant with two digits."""
        return f"{self.number:.2f}"


@dataclass(frozen=True)
class P(Formula):
    """P(target = on | given at these values), one cell of a term."""

    term: Term
    at: tuple[int, ...] = ()
    on: int = 1

    def value(self, values: Values) -> Float[np.ndarray, " n"]:
        """The cell, one value a model."""
        place: Any = (slice(None), *self.at)
        cell = values[self.term][place]
        return cell if self.on else 1 - cell

    def show(self, write: Callable[["P"], str]) -> str:
        """Whatever `write` makes of it."""
        return write(self)

    def terms(self) -> tuple[Term, ...]:
        """The one term."""
        return (self.term,)

    def __str__(self) -> str:
        given = [f"{name}={value}" for name, value in zip(self.term.given, self.at, strict=True)]
        own = f"{self.term.target}={self.on}"
        if self.term.joint:
            return f"P({', '.join([*given, own])})"
        return f"P({own} | {', '.join(given)})" if given else f"P({own})"


@dataclass(frozen=True)
class Binary(Formula):
    """Two formulas and a sign between them."""

    sign: str
    left: Formula
    right: Formula

    @property
    def tight(self) -> int:  # type: ignore[override]
        """Sums bind less than products."""
        return 1 if self.sign in "+-" else 2

    def value(self, values: Values) -> Float[np.ndarray, " n"]:
        """One value a model; nan or infinite where it divides by zero."""
        a, b = self.left.value(values), self.right.value(values)
        if self.sign == "+":
            return a + b
        if self.sign == "-":
            return a - b
        if self.sign == "*":
            return a * b
        with np.errstate(invalid="ignore", divide="ignore"):
            return a / b

    def show(self, write: Callable[[P], str]) -> str:
        """Left, sign, right, with brackets where they are needed."""
        left, right = self.left.show(write), self.right.show(write)
        left = f"({left})" if self.left.tight < self.tight else left
        bracket = self.right.tight < self.tight or (self.right.tight == self.tight and self.sign in "-/")
        return f"{left} {self.sign} ({right})" if bracket else f"{left} {self.sign} {right}"

    def terms(self) -> tuple[Term, ...]:
        """Those of both sides."""
        return tuple(dict.fromkeys((*self.left.terms(), *self.right.terms())))


def total(*parts: Formula) -> Formula:
    """The sum of several formulas."""
    result = parts[0]
    for part in parts[1:]:
        result = result + part
    return result
