"""The examples run as they are, are short, and hold what they assert; one a room that there is, and two more."""

import subprocess
import sys
from pathlib import Path

import pytest

from counterfactory import catalogue

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs_without_warnings(path: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", str(path)]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip() and list(tmp_path.iterdir()) == []  # says something, and leaves nothing behind


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_short_and_says_how_to_run_it(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) < 40 and "assert " in text and f"python examples/{path.name}" in text


def test_every_room_with_a_system_has_an_example() -> None:
    assert {card.room for card in catalogue.CARDS.values()} <= {path.stem for path in EXAMPLES}
