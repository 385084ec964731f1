"""How a training went."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class FitResult:
    """How a training went.

    Args:
        steps: optimiser steps in all.
        seconds: time in the loop, over all the attempts it took.
        loss: the loss terms, averaged over the last log line.
        log: the file with all log lines.
    """

    steps: int
    seconds: float
    loss: dict[str, float]
    log: Path

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {**asdict(self), "log": str(self.log)}
