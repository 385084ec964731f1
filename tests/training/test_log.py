"""The log survives kills and full disks; the progress bar is for terminals."""

import errno
import fcntl
import os
import pty
import select
import struct
import sys
import termios
from pathlib import Path
from types import ModuleType

import pytest

from counterfactory.errors import CounterfactoryError
from counterfactory.training import fit
from counterfactory.training.log import Log, read_log


def test_lines_after_the_step_are_dropped(tmp_path: Path) -> None:
    log = Log(tmp_path / "deep/run", 0)
    for step in (1, 2, 3):
        log.write({"step": step})
    with log.path.open("a") as file:
        file.write('{"step": 4, "lo')  # a kill in the middle of a line
    assert [line["step"] for line in read_log(log.path)] == [1, 2, 3]
    Log(tmp_path / "deep/run", 2).write({"step": 9})
    assert log.path.read_text() == '{"step": 1}\n{"step": 2}\n{"step": 9}\n'
    Log(tmp_path / "deep/run", 0)
    assert log.path.read_text() == ""


def test_a_process_that_does_not_write_touches_nothing(tmp_path: Path) -> None:
    Log(tmp_path / "run", 0, writes=False).write({"step": 1})
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log(tmp_path, 0)
    log.write({"step": 1})
    opened = Path.open

    def full(self: Path, *args: str):
        file = opened(self, *args)
        write = file.write

        class Half:
            def __enter__(self):
                return self

            def __exit__(self, *error: object) -> None:
                file.close()

            def write(self, text: str) -> None:
                write(text[:5])
                file.flush()
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        return Half()

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", full)
        with pytest.raises(CounterfactoryError, match="could not be written") as error:
            log.write({"step": 2})
    assert "No space left" in error.value.given and log.path.read_text() == '{"step": 1}\n'


def test_the_bar_shows_terms_and_remaining_time_on_a_terminal(
    toy: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 120, 0, 0))
    monkeypatch.setenv("TERM", "xterm")
    with monkeypatch.context() as patch, os.fdopen(slave, "w") as terminal:
        patch.setattr(sys, "stderr", terminal)
        fit(toy.Toy(), toy.data(), toy.SETTINGS, tmp_path)
        terminal.flush()
        parts = []
        while select.select([master], [], [], 0.2)[0]:  # a terminal hands out 4 KiB at a time
            parts.append(os.read(master, 1 << 16))
        shown = b"".join(parts).decode()
    os.close(master)
    assert "/40" in shown and "left" in shown and "total " in shown and "error " in shown
    assert "\x1b[?25h" in shown  # the cursor is back


@pytest.mark.parametrize("progress", [True, False])
def test_nothing_is_printed_elsewhere(
    progress: bool, toy: ModuleType, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    fit(toy.Toy(), toy.data(), toy.SETTINGS, tmp_path, progress=progress)
    assert tuple(capfd.readouterr()) == ("", "")
