"""What a run says of itself: `log.jsonl`, and a progress bar on a terminal."""

import json
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor

from counterfactory.errors import CounterfactoryError

LOG = "log.jsonl"


class Log:
    """One JSON object a line in `out/log.jsonl`.

    Args:
        out: the run's folder.
        step: the step the run starts at; later lines of an earlier attempt are dropped, all of them for 0.
        writes: whether this process is the one that writes.
    """

    def __init__(self, out: Path, step: int, writes: bool = True) -> None:
        self.path, self.writes = out / LOG, writes
        if not writes:
            return
        try:
            out.mkdir(parents=True, exist_ok=True)
            kept = [line for line in read_log(self.path) if line["step"] <= step] if step else []
            part = self.path.with_suffix(".part")
            part.write_text("".join(json.dumps(line) + "\n" for line in kept))
            part.replace(self.path)
        except OSError as error:
            raise _unwritable(self.path, error) from error

    def write(self, line: dict[str, Any]) -> None:
        """Add a line; it is in the file when this returns, or nothing of it is."""
        if not self.writes:
            return
        try:
            before = self.path.stat().st_size
            try:
                with self.path.open("a") as file:
                    file.write(json.dumps(line) + "\n")
            except OSError:
                os.truncate(self.path, before)
                raise
        except OSError as error:
            raise _unwritable(self.path, error) from error


def read_log(path: Path) -> list[dict[str, Any]]:
    """The lines of a log; a last line cut off by a kill is left out."""
    lines = []
    for text in path.read_text().splitlines() if path.exists() else []:
        try:
            lines.append(json.loads(text))
        except ValueError:
            break
    return lines


class Display:
    """A progress bar with the loss terms and the remaining time while entered, if wanted and on a terminal."""

    def __init__(self, wanted: bool, steps: int, start: int) -> None:
        console = Console(stderr=True)
        self.bar: Progress | None = None
        self._shown = 0.0
        if wanted and console.is_terminal:
            self.bar = Progress(
                MofNCompleteColumn(),
                BarColumn(bar_width=24),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[terms]}"),
                console=console,
            )
            self._task = self.bar.add_task("", total=steps, completed=start, terms="")

    def due(self) -> bool:
        """Whether the bar should get new numbers; a few times a second is enough, since reading them waits for them."""
        return self.bar is not None and time.monotonic() - self._shown > 0.3

    def show(self, done: int, terms: dict[str, Tensor]) -> None:
        """Show the numbers of the latest step."""
        if self.bar is not None:
            self._shown = time.monotonic()
            shown = "  ".join(f"{name} {float(value):.4g}" for name, value in terms.items())
            self.bar.update(self._task, completed=done, terms=shown)

    def __enter__(self) -> "Display":
        if self.bar is not None:
            self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bar is not None:
            self.bar.stop()


def _unwritable(path: Path, error: OSError) -> CounterfactoryError:
    return CounterfactoryError(
        f"the log '{path}' could not be written",
        given=f"{type(error).__name__}: {error}",
        expected="a folder that can be written to, with room for the log",
        hint="free some space or choose another folder; fit(...) with the same folder goes on from the last checkpoint",
    )
