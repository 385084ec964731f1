"""`verify` and the claims runner, on a claims file written for the occasion."""

import importlib
import json
import sys
from pathlib import Path

import pytest

from counterfactory import claims
from counterfactory.cli import main
from counterfactory.errors import CounterfactoryError

FILE = """
import numpy as np
from counterfactory.claims import Claim, Outcome

CLAIMS = [
    Claim("smaller", "ours has the smaller error", "the old way", 0.5),
    Claim("larger", "ours has the larger likelihood", "the old way", "above it", "higher"),
]

def run(seeds, quick, progress):
    progress(f"{len(seeds)} seeds")
    print("a library prints what it likes")
    measured = np.mean([0.1 + 0.01 * seed for seed in seeds])
    return [
        Outcome("smaller", measured, 1.0, 0.5, bool(measured < 0.5), seeds, "per seed: 0.1"),
        Outcome("larger", 3.0 if quick else 1.0, 2.0, "above it", quick, seeds),
    ]
"""


@pytest.fixture
def slug(tmp_path, monkeypatch) -> str:
    """A claims file that holds in its quick form and not in its full form, in the only folder that is searched."""
    folder = tmp_path / "claims"
    folder.mkdir()
    (folder / "made_up.py").write_text(FILE)
    (folder / "_helper.py").write_text("")
    monkeypatch.setattr(claims, "__path__", [str(folder)])
    monkeypatch.chdir(tmp_path)
    importlib.invalidate_caches()
    yield "made_up"
    sys.modules.pop("counterfactory.claims.made_up", None)


def test_the_runner_measures_every_claim_on_every_seed(slug: str) -> None:
    lines: list[str] = []
    found = claims.verify(slug, (4, 6), quick=True, progress=lines.append)
    assert lines == ["2 seeds"] and found.holds
    assert found.outcomes[0].measured == pytest.approx(0.15) and type(found.outcomes[0].measured) is float
    assert found.reproduce.command == "counterfactory verify made_up --seeds 4,6 --quick" and found.reproduce.seeds == (
        4,
        6,
    )
    assert not claims.verify(slug, (4, 6)).holds
    assert claims.available() == ["made_up"]


@pytest.mark.parametrize("seeds", [(), (1, 1), (-1, 2)])
def test_seeds_that_prove_nothing_are_refused(slug: str, seeds: tuple[int, ...]) -> None:
    with pytest.raises(CounterfactoryError, match="seeds cannot be used"):
        claims.verify(slug, seeds)


def test_missing_outcomes_are_refused(slug: str) -> None:
    module = importlib.import_module("counterfactory.claims.made_up")
    module.CLAIMS.pop()
    with pytest.raises(CounterfactoryError, match="are not those of its claims"):
        claims.verify(slug)
    with pytest.raises(CounterfactoryError, match="did you mean 'made_up'"):
        claims.verify("madeup")


def test_directions_are_checked() -> None:
    with pytest.raises(CounterfactoryError, match="'lower'"):
        claims.Claim("a", "b", "c", 1.0, "lowest")


def test_a_quick_pass_prints_one_object_and_writes_nothing(slug: str, capsys) -> None:
    assert main(["verify", slug, "--quick", "--json", "--seeds", "11,12"]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert {"claim": "smaller", "rival": 1.0, "margin": 0.5, "holds": True, "seeds": [11, 12]}.items() <= found[
        "claims"
    ][0].items()
    assert found["claims"][0]["measured"] == pytest.approx(0.215) and found["holds"] is True and found["written"] == []
    assert "made_up: 2 seeds" in err and "a library prints" in err
    assert not Path("runs").exists()


def test_a_full_run_with_a_miss_exits_1_and_is_written_all_the_same(slug: str, capsys) -> None:
    assert main(["verify", "--all"]) == 1
    shown = capsys.readouterr().out
    assert "does not hold: larger" in shown and "above it" in shown and "per seed: 0.1" in shown
    saved = json.loads(Path("runs/results/made_up.json").read_text())
    assert saved["holds"] is False and [c["holds"] for c in saved["claims"]] == [True, False]
    assert (
        saved["claims"][0]["seeds"] == [0, 1, 2] and saved["quick"] is False and len(saved["reproduce"]["source"]) == 16
    )


def test_results_go_to_the_docs_where_there_are_docs_and_where_one_asks(slug: str, capsys) -> None:
    Path("docs/results").mkdir(parents=True)
    main(["verify", slug])
    assert Path("docs/results/made_up.json").is_file() and not Path("runs").exists()
    main(["verify", slug, "--quick", "--out", "elsewhere"])
    assert json.loads(Path("elsewhere/made_up.json").read_text())["quick"] is True


@pytest.mark.parametrize(
    ("args", "what"),
    [
        ([], "one system or all"),
        (["made_up", "--all"], "one system or all"),
        (["made_up", "--seeds", "1,x"], "--seeds cannot be read"),
        (["made_up", "--seeds", ""], "the seeds cannot be used"),
        (["other"], "unknown system with claims"),
    ],
)
def test_bad_requests(slug: str, args: list[str], what: str, capsys) -> None:
    assert main(["verify", *args, "--json"]) == 2
    assert what in json.loads(capsys.readouterr().out)["error"]["what"]


def test_what_is_not_a_number_is_still_written(slug: str, tmp_path) -> None:
    module = importlib.import_module("counterfactory.claims.made_up")
    found = claims.verify(slug, (0,))
    broken = claims.Outcome("smaller", float("nan"), float("inf"), 0.5, False, (0,))
    object.__setattr__(found, "outcomes", (broken, found.outcomes[1]))
    saved = json.loads(
        found.save(tmp_path).read_text(), parse_constant=lambda name: pytest.fail(f"{name} is not strict JSON")
    )
    assert saved["claims"][0]["measured"] == {"float": "nan"} and module.CLAIMS
