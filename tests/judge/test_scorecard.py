import subprocess
import sys

import numpy as np
import pytest
import torch

from counterfactory import metrics as m
from counterfactory.errors import CounterfactoryError
from counterfactory.judge import METRICS, scorecard
from counterfactory.results import Estimate, Report

GRID = np.stack(np.meshgrid(range(2), range(3), range(4), indexing="ij"), -1).reshape(-1, 3).repeat(25, 0)
RNG = np.random.default_rng(0)
GOOD = GRID + 0.1 * RNG.normal(size=GRID.shape)
CHEAP = [name for name in METRICS if name != "mlp_probe"]


def number(row: dict) -> float:
    return row["value"].value if isinstance(row["value"], Estimate) else row["value"]


def plain(report: Report) -> list[dict]:
    return [{key: cell for key, cell in row.items() if key != "seconds"} for row in (*report.rows, *report.controls)]


@pytest.fixture(scope="module")
def card() -> Report:
    return scorecard(GOOD, GRID, names=["a", "b", "c"], metrics=CHEAP, mode="fast", resamples=50)


def test_every_score_is_that_of_its_metric(card: Report) -> None:
    found = {(row["metric"], row["score"]): number(row) for row in card.rows}
    d = m.dci(GOOD, GRID, estimator="binned_boosting")
    i = m.infomec(GOOD, GRID)
    expected = {
        ("mig", "MIG"): m.mig(GOOD, GRID).value,
        ("modularity", "modularity"): m.modularity(GOOD, GRID).value,
        ("explicitness", "explicitness"): m.explicitness(GOOD, GRID).value,
        ("dci", "disentanglement"): d.disentanglement,
        ("dci", "completeness"): d.completeness,
        ("dci", "informativeness"): d.informativeness,
        ("sap", "SAP"): m.sap(GOOD, GRID).value,
        ("factor_vae", "FactorVAE score"): m.factor_vae(GOOD, GRID).value,
        ("beta_vae", "BetaVAE score"): m.beta_vae(GOOD, GRID).value,
        ("irs", "IRS"): m.irs(GOOD, GRID).value,
        ("infomec", "InfoM"): i.infom,
        ("infomec", "InfoE"): i.infoe,
        ("infomec", "InfoC"): i.infoc,
        ("linear_probe", "accuracy of b"): m.probe(GOOD, GRID[:, 1], sizes=(), control=False).value,
        ("unsupervised", "effective rank"): m.unsupervised(GOOD).effective_rank,
    }
    for key, value in expected.items():
        assert found[key] == pytest.approx(value, abs=1e-9), key
    assert {row["metric"] for row in card.rows} == set(CHEAP)


def test_intervals_hold_their_values_and_have_width(card: Report) -> None:
    estimates = {row["score"]: row["value"] for row in card.rows if isinstance(row["value"], Estimate)}
    wanted = (
        "MIG, modularity, explicitness, informativeness, SAP, FactorVAE score, BetaVAE score, IRS, InfoE, accuracy of c"
    )
    assert set(wanted.split(", ")) < set(estimates)
    for score, cell in estimates.items():
        assert cell.low - 1e-9 <= cell.value <= cell.high + 1e-9, score
    assert 0.001 < estimates["MIG"].high - estimates["MIG"].low < 0.2


def test_shuffled_codes_are_at_chance(card: Report) -> None:
    chance = {row["score"]: number(row) for row in card.controls if row["codes"] == "shuffled"}
    given = {row["score"]: number(row) for row in card.rows}
    assert chance["MIG"] < 0.05 < 0.9 < given["MIG"]
    assert chance["FactorVAE score"] < 0.5 and given["FactorVAE score"] == 1
    assert chance["accuracy of c"] == pytest.approx(0.25, abs=0.1) and given["accuracy of c"] > 0.9
    assert chance["MCC, pearson"] < 0.2 and given["MCC, pearson"] > 0.95
    assert "Gaussian total correlation" not in chance  # the codes among themselves do not care
    majority = [row for row in card.controls if row["codes"] == "none"]
    assert [row["score"] for row in majority] == [f"accuracy of {name}" for name in "abc"]
    assert number(majority[0]) == pytest.approx(0.5, abs=0.05)


def test_the_report_says_how(card: Report) -> None:
    told = " ".join(card.notes)
    assert "600 points, 400 of them for fitting" in told and "mode 'fast', seed 0" in told
    assert {row["estimator"] for row in card.rows if row["metric"] == "dci"} == {"BinnedBoosting(random_state=0)"}
    assert all(row["seconds"] >= 0 and row["estimator"] for row in card.rows)
    assert card.reproduce.seeds == (0,)


def test_reference_mode_uses_the_reference_s_trees() -> None:
    found = scorecard(GOOD, GRID, metrics="dci", resamples=0, control=False)
    assert "GradientBoostingClassifier" in found.rows[0]["estimator"]
    assert all(isinstance(row["value"], float) for row in found.rows)


def test_seeds_and_tensors() -> None:
    some = ["mig", "factor_vae", "mcc", "linear_probe"]
    a = scorecard(GOOD, GRID, metrics=some, resamples=20)
    tensor = torch.from_numpy(GOOD).requires_grad_()
    b = scorecard(tensor, torch.from_numpy(GRID), metrics=some, resamples=20)
    c = scorecard(GOOD, GRID, metrics=some, resamples=20, seed=1)
    assert plain(a) == plain(b) != plain(c)


def test_continuous_and_constant_factors() -> None:
    s = np.stack([RNG.uniform(size=600), np.full(600, 3.0), GRID[:, 2] + 0.5 * RNG.uniform(size=600)], 1)
    found = scorecard(s + 0.01 * RNG.normal(size=s.shape), s, metrics=CHEAP, mode="fast", resamples=20)
    by_score = {row["score"]: number(row) for row in found.rows}
    assert by_score["R² of factor 0"] > 0.95 and "R² of factor 1" not in by_score
    assert by_score["disentanglement"] > 0.9 and by_score["MIG"] > 0.5
    assert any("never vary" in note for note in found.notes)
    numbers = scorecard(s[:, [0, 2]], s[:, [0, 2]], metrics="sap", resamples=20)
    assert numbers.rows[0]["estimator"] == "squared correlation" and isinstance(numbers.rows[0]["value"], Estimate)


def test_groups_reach_the_metrics_that_take_them() -> None:
    turned = GOOD.copy()
    turned[:, :2] = (turned[:, :2] - turned[:, :2].mean(0)) @ [[1, -1], [1, 1]]
    some = ["mig", "infomec"]
    apart, joint = (
        {row["score"]: number(row) for row in scorecard(turned, GRID, metrics=some, groups=g, resamples=0).rows}
        for g in (None, [[0, 1], [2]])
    )
    assert joint["MIG"] > apart["MIG"] + 0.2 and joint["InfoC"] > apart["InfoC"] + 0.2


def test_errors() -> None:
    with pytest.raises(CounterfactoryError, match="did you mean 'factor_vae'"):
        scorecard(GOOD, GRID, metrics=["factorvae"])
    with pytest.raises(CounterfactoryError, match="unknown mode"):
        scorecard(GOOD, GRID, mode="quick")
    with pytest.raises(CounterfactoryError, match="one name for each"):
        scorecard(GOOD, GRID, names=["a"])
    with pytest.raises(CounterfactoryError, match="do not fit together"):
        scorecard(GOOD[1:], GRID)


def test_the_function_is_found_however_its_module_was_imported() -> None:
    code = (
        "import counterfactory.judge.scorecard; from counterfactory.judge import scorecard; assert callable(scorecard)"
    )
    light = "import sys, counterfactory.judge; assert 'torch' not in sys.modules and 'sklearn' not in sys.modules"
    for line in (code, light):
        subprocess.run([sys.executable, "-c", line], check=True)
