"""What a run says of itself: `log.jsonl`, a progress bar on a terminal, or plain lines."""

import json
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from counterfactory.errors import CounterfactoryError

LOG = "log.jsonl"


class Log:
    """One JSON object a line in `out/log.jsonl`; without a folder, only `lines`.

    Args:
        out: the run's folder, or None.
        step: the step the run starts at; later lines of an earlier attempt are dropped, all of them for 0.
    """

    def __init__(self, out: Path | None, step: int) -> None:
        self.path = None if out is None else out / LOG
        self.lines: list[dict[str, Any]] = []
        if self.path is not None:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self.lines = [line for line in read_log(self.path) if line["step"] <= step] if step else []
                part = self.path.with_suffix(".part")
                part.write_text("".join(json.dumps(line) + "\n" for line in self.lines))
                part.replace(self.path)
            except OSError as error:
                raise _unwritable(self.path, error) from error

    def write(self, line: dict[str, Any]) -> None:
        """Add a line; it is in the file when this returns."""
        self.lines.append(line)
        if self.path is not None:
            try:
                with self.path.open("a") as file:
                    file.write(json.dumps(line) + "\n")
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
    """A progress bar on a terminal, plain lines on demand, nothing otherwise."""

    def __init__(self, how: bool | str, steps: int, start: int) -> None:
        self.console = Console(stderr=True)
        self.plain, self.steps, self._shown = how == "plain", steps, 0.0
        self.bar: Progress | None = None
        if how is True and self.console.is_terminal:
            self.bar = Progress(
                MofNCompleteColumn(),
                BarColumn(bar_width=24),
                TextColumn("{task.fields[rate]}"),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[terms]}"),
                console=self.console,
            )
            self.task = self.bar.add_task("", total=steps, completed=start, rate="", terms="")
            self.bar.start()

    def due(self) -> bool:
        """Whether the bar should get new numbers; a few times a second is enough."""
        return self.bar is not None and time.monotonic() - self._shown > 0.3

    def step(self, done: int, terms: dict[str, float], rate: float) -> None:
        """Show the numbers of the latest step."""
        if self.bar is not None:
            self._shown = time.monotonic()
            self.bar.update(self.task, completed=done, rate=f"{rate:.1f} steps/s", terms=_shown(terms))

    def line(self, record: dict[str, Any], terms: dict[str, float]) -> None:
        """Print a log line, where plain lines are wanted."""
        if self.plain:
            rate = f"{record['images_per_second']:.0f} images/s"
            self.console.print(f"step {record['step']}/{self.steps}  {_shown(terms)}  {rate}", highlight=False)

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self.bar is not None:
            self.bar.stop()


def _shown(terms: dict[str, float]) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in terms.items())


def _unwritable(path: Path, error: OSError) -> CounterfactoryError:
    return CounterfactoryError(
        f"the log '{path}' could not be written",
        given=f"{type(error).__name__}: {error}",
        expected="a folder that can be written to, with room for the log",
        hint="free some space or choose another folder; fit(...) with the same folder goes on from the last checkpoint",
    )
