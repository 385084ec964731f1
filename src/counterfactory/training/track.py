"""Log lines to trackio, if asked for."""

from pathlib import Path
from types import TracebackType
from typing import Any

from counterfactory.errors import CounterfactoryError
from counterfactory.training.settings import TrainSettings


class Tracker:
    """A trackio run while entered, or nothing.

    Args:
        project: name of the trackio project; True for "counterfactory", None or False for no tracking.
        out: the run's folder, whose name is the run's.
        settings: shown beside the curves.

    Raises:
        CounterfactoryError: trackio is asked for and not installed.
    """

    def __init__(self, project: str | bool | None, out: Path, settings: TrainSettings) -> None:
        self._run: Any = None
        if not project:
            return
        try:
            import trackio
        except ImportError as error:
            raise CounterfactoryError(
                "the run cannot be tracked",
                given=str(error),
                expected="trackio to be installed",
                hint="pip install 'counterfactory[track]', or leave out `track`",
            ) from error
        name = "counterfactory" if project is True else project
        self._run = trackio.init(project=name, name=out.resolve().name, config=settings.to_dict(), resume="allow")

    def log(self, line: dict[str, Any]) -> None:
        """Pass a log line on."""
        if self._run is not None:
            self._run.log({k: v for k, v in line.items() if k != "step"}, step=line["step"])

    def __enter__(self) -> "Tracker":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._run is not None:
            self._run.finish()
