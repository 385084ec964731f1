"""The one error type of the package, in four parts: what is wrong, what was given, what is expected, what to try."""

import difflib
from collections.abc import Iterable
from typing import Any


class CounterfactoryError(ValueError):
    """Bad input, told in four parts.

    Args:
        what: what is wrong and where, as one short sentence.
        given: the value that was given.
        expected: the rule, range or allowed values.
        hint: what to try next.

    The parts stay readable as attributes, so that the command line can print them as JSON.
    """

    def __init__(self, what: str, *, given: Any, expected: str, hint: str) -> None:
        self.what, self.given, self.expected, self.hint = what, given, expected, hint
        super().__init__(what, given, expected, hint)

    def __str__(self) -> str:
        given = self.given if isinstance(self.given, str) else repr(self.given)
        return f"{self.what}\n  given:    {given}\n  expected: {self.expected}\n  try:      {self.hint}"

    def parts(self) -> dict[str, str]:
        """The four parts as plain strings."""
        return {"what": self.what, "given": str(self.given), "expected": self.expected, "try": self.hint}


def unknown(kind: str, name: str, allowed: Iterable[str]) -> CounterfactoryError:
    """The error for a name that is not known, with near names suggested.

    Example:
        >>> print(unknown("cause", "thicknes", ["thickness", "slant"]))
        unknown cause
          given:    thicknes
          expected: one of thickness, slant
          try:      did you mean 'thickness'?
    """
    names = sorted(str(a) for a in allowed) if isinstance(allowed, (set, frozenset)) else [str(a) for a in allowed]
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    hint = (
        f"did you mean {' or '.join(repr(n) for n in near)}?" if near else f"choose one of the {len(names)} known names"
    )
    shown = ", ".join(names[:30]) + (f", and {len(names) - 30} more" if len(names) > 30 else "")
    return CounterfactoryError(
        f"unknown {kind}", given=name, expected=f"one of {shown}" if names else "nothing is registered", hint=hint
    )
