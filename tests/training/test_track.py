"""trackio gets the log's lines, if it is asked for."""

import sys
from pathlib import Path
from types import ModuleType

import pytest

from counterfactory.errors import CounterfactoryError
from counterfactory.training import fit
from counterfactory.training.log import read_log


class Recorder(ModuleType):
    """In trackio's place: the real one starts a server in a thread, and waits for it at exit."""

    def __init__(self) -> None:
        super().__init__("trackio")
        self.calls: list[tuple] = []

    def init(self, **options: object) -> "Recorder":
        self.calls.append(("init", options))
        return self

    def log(self, values: dict, step: int) -> None:
        self.calls.append(("log", step, values))

    def finish(self) -> None:
        self.calls.append(("finish",))


@pytest.mark.parametrize(("track", "project"), [(True, "counterfactory"), ("mine", "mine")])
def test_lines_go_to_trackio(
    track: bool | str, project: str, toy: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trackio = Recorder()
    monkeypatch.setitem(sys.modules, "trackio", trackio)
    fit(toy.Toy(), toy.data(), toy.SETTINGS, tmp_path / "run", track=track)
    (_, options), *lines, last = trackio.calls
    assert options["project"] == project and options["name"] == "run" and options["config"]["steps"] == 40
    log = read_log(tmp_path / "run/log.jsonl")
    assert [{"step": step, **values} for _, step, values in lines] == log and last == ("finish",)


def test_the_real_one_has_what_is_called() -> None:
    trackio = pytest.importorskip("trackio")
    import inspect

    assert {"project", "name", "config", "resume"} <= set(inspect.signature(trackio.init).parameters)
    assert "step" in inspect.signature(trackio.Run.log).parameters and hasattr(trackio.Run, "finish")


def test_without_trackio_it_says_so(toy: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trackio", None)
    with pytest.raises(CounterfactoryError, match="cannot be tracked") as error:
        fit(toy.Toy(), toy.data(), toy.SETTINGS, tmp_path, track=True)
    assert "counterfactory[track]" in error.value.hint
    fit(toy.Toy(), toy.data(), toy.SETTINGS, tmp_path)
