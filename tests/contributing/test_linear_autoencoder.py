"""CONTRIBUTING.md is true: its example, cut and put in place as it says, is a system like any other."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE, ROOT = Path(__file__).parent, Path(__file__).parents[2]
CUT = re.compile(r"\n\n\n# ---- cut here: the rest is (\S+) ----\n(?:# ruff: .*\n)?")
SLUG = "linear_autoencoder"


def parts() -> dict[str, str]:
    """Path -> the part of the example that belongs there."""
    method, *rest = CUT.split((HERE / f"{SLUG}.py").read_text())
    places = [f"src/counterfactory/learn/images/{SLUG}.py", *rest[::2]]
    return dict(zip(places, [f"{code.rstrip()}\n" for code in (method, *rest[1::2])], strict=True))


def test_the_code_in_contributing_is_the_example() -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL)
    assert blocks == list(parts().values())


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package with the example in it, and what of the repository looks at systems."""
    top = tmp_path_factory.mktemp("house")
    shutil.copytree(ROOT / "src", top / "src", ignore=shutil.ignore_patterns("__pycache__", "weights", "*.egg-info"))
    for path in ("pyproject.toml", "tests/test_contracts.py", "docs/generate.py"):
        (top / path).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / path, top / path)
    (top / "docs" / "results").mkdir()
    for path, code in parts().items():
        (top / path).write_text(code)
    return top


def python(house: Path, *words: str) -> str:
    """Run a module there, and return what it says."""
    known = {**os.environ, "PYTHONPATH": str(house / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    ran = subprocess.run([sys.executable, "-m", *words], cwd=house, env=known, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_the_parts_are_clean(house: Path) -> None:
    python(house, "ruff", "check", *parts())
    python(house, "ruff", "format", "--check", *parts())


def test_its_claims_hold_and_it_keeps_all_contracts(house: Path) -> None:
    assert "every claim holds" in python(house, "counterfactory", "verify", SLUG, "--seeds", "0")
    said = python(house, "pytest", "tests/test_contracts.py", "-k", SLUG, "-p", "no:cacheprovider")
    assert re.search(r"\d+ passed, \d+ deselected", said), said
