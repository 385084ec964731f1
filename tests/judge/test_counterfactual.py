import numpy as np
import pytest
import torch
from torch import Tensor

from counterfactory.causal import Add, Set
from counterfactory.errors import CounterfactoryError
from counterfactory.judge import counterfactual_scores, score_of
from counterfactory.judge.asking import another_value, derangement, take
from counterfactory.results import Estimate, Report

TRUTH_ERRORS = ("truth error", "truth error inside", "truth error outside", "truth error relative")


def unchanged(x: Tensor, do: dict[str, object]) -> Tensor:
    return x


def value(report: Report, metric: str, intervened: str, measured: str = "picture", answer: str = "model") -> float:
    return score_of(report, metric=metric, intervened=intervened, measured=measured, answer=answer).value


@pytest.fixture(scope="module")
def ideal(world, simulator) -> Report:
    return counterfactual_scores(simulator, world, n=100, cycles=(1, 3), resamples=200)


@pytest.fixture(scope="module")
def lazy(world) -> Report:
    return counterfactual_scores(unchanged, world, n=100, cycles=(1, 3), resamples=200)


def test_the_simulator_is_ideal_everywhere(ideal: Report) -> None:
    for row in ideal.rows:
        assert isinstance(row["value"], Estimate)
        if row["metric"] == "PSNR to truth":
            assert row["value"].value == pytest.approx(100)  # the ceiling: equal pictures
        elif row["metric"] == "SSIM to truth":
            assert row["value"].value == pytest.approx(1)
        else:
            assert row["value"].value == pytest.approx(0, abs=2e-5), row
            assert row["value"].high < 2e-5
    pairs = {(r["intervened"], r["measured"]) for r in ideal.rows if r["metric"] == "effectiveness"}
    assert pairs == {(a, b) for a in ("inflow", "level") for b in ("inflow", "level")}


def test_the_identity_model_changes_nothing_and_that_is_the_control(lazy: Report, ideal: Report) -> None:
    for do in ("inflow", "level"):
        for m in (1, 3):
            assert value(lazy, "composition", do, f"picture, {m} x") == 0
            assert value(lazy, "reversibility", do, f"picture, {m} x") == 0
        relative = score_of(lazy, metric="truth error relative", intervened=do, measured="picture")
        assert (relative.value, relative.low, relative.high) == pytest.approx((1, 1, 1))
        assert value(lazy, "truth error relative inside", do) == pytest.approx(1)
        assert value(lazy, "truth error outside", do) < 0.5 / 255  # smaller changes do not count as such
    assert value(lazy, "effectiveness", "inflow", "inflow") > 0.2
    assert value(lazy, "effectiveness", "level", "inflow") == pytest.approx(0, abs=1e-6)  # a cause does not follow
    for row in lazy.rows:  # the "nothing changed" rows beside any model are this model
        if row["metric"] not in ("composition", "reversibility"):
            where = {key: str(row[key]) for key in ("metric", "intervened", "measured")}
            assert score_of(ideal, answer="nothing changed", **where).value == row["value"].value


def test_effectiveness_is_what_the_truth_moved_by(lazy: Report, world) -> None:
    units = world.sample(100, seed=0)
    asked = another_value(units["inflow"], units["inflow"], world.ranges["inflow"], np.random.default_rng(0))
    moved = float((asked - units["inflow"]).abs().mean())
    row = next(
        r for r in lazy.rows if (r["metric"], r["intervened"], r["measured"]) == ("effectiveness", "inflow", "inflow")
    )
    assert row["raw"].value == pytest.approx(moved, rel=1e-5)
    assert row["raw unit"] == "l/s"
    assert row["value"].value == pytest.approx(moved / 2, rel=1e-5)  # half of the range from 0 to 4
    assert value(lazy, "effectiveness", "inflow", "level") == pytest.approx(0.5 * moved / 2.5, rel=1e-4)


def test_a_resampling_model_is_effective_but_not_composed(world, resampler) -> None:
    report = counterfactual_scores(resampler, world, n=100, cycles=(1,), resamples=200)
    for do in ("inflow", "level"):
        assert value(report, "effectiveness", do, do) == pytest.approx(0, abs=1e-5)
        # the wall is a third of the picture, and two walls of independent uniform greys differ by a third
        assert value(report, "composition", do, "picture, 1 x") == pytest.approx(1 / 9, abs=0.01)
        assert value(report, "truth error outside", do) > 0.1
        assert value(report, "truth error inside", do) == pytest.approx(0, abs=1e-6)


def test_a_model_that_ignores_the_value_is_no_better_than_its_random_control(world) -> None:
    def stubborn(x: Tensor, do: dict[str, object]) -> Tensor:
        return torch.full_like(x, 0.5)

    report = counterfactual_scores(stubborn, world, n=50, cycles=(), resamples=50)
    ours = value(report, "effectiveness", "inflow", "inflow")
    assert ours == value(report, "effectiveness", "inflow", "inflow", "random intervention") > 0.05
    assert not [row for row in report.rows if row["metric"] == "composition"]


def test_identity_sees_lost_noise(world, simulator, ideal: Report) -> None:
    def forgetful(x: Tensor, do: dict[str, object]) -> Tensor:
        factors = world.scm.counterfactual(world.read(x), do).values
        factors[:, 1] = 0.2 + 0.5 * factors[:, 0]  # the level's own noise is dropped
        return world.render(factors, {"wall": x[:, :, 8:]})

    report = counterfactual_scores(forgetful, world, n=400, interventions=[{"inflow": 2.0}], cycles=())
    assert value(report, "identity", "inflow", "level") == pytest.approx((2 / np.pi) ** 0.5, abs=0.1)  # E|N(0,1)|
    assert value(ideal, "identity", "inflow", "level") < 1e-4
    assert not [r for r in report.rows if (r["metric"], r["measured"]) == ("identity", "inflow")]


def test_given_interventions_of_every_kind(world, simulator) -> None:
    values = torch.linspace(1, 3, 30)
    asked = [{"inflow": values, "level": 1.0}, {"level": Add(0.1)}, {"inflow": Set(values)}]
    report = counterfactual_scores(simulator, world, n=30, interventions=asked, cycles=(2,), batch=7, resamples=50)
    assert [r["intervened"] for r in report.rows if r["metric"] == "truth error"] == [
        "inflow & level",
        "level",
        "inflow",
    ]
    for row in report.rows:
        if row["metric"] in TRUTH_ERRORS or row["metric"] in ("effectiveness", "composition", "reversibility"):
            assert row["value"].value == pytest.approx(0, abs=2e-5)


def test_minimality_prefers_the_model_that_keeps_the_unit(world, simulator, resampler) -> None:
    asked = [{"inflow": 2.5}]
    kept, drawn = (
        value(counterfactual_scores(m, world, n=60, interventions=asked, cycles=(), others=20), "minimality", "inflow")
        for m in (simulator, resampler)
    )
    assert kept < drawn - 0.1


def test_the_same_seed_gives_the_same_report_and_batches_do_not_matter(world, resampler, simulator) -> None:
    a, b = (counterfactual_scores(simulator, world, n=40, cycles=(1,), batch=batch, resamples=50) for batch in (64, 7))
    again = counterfactual_scores(simulator, world, n=40, cycles=(1,), resamples=50)
    assert a.to_dict() == again.to_dict() == b.to_dict()
    other = counterfactual_scores(simulator, world, n=40, seed=1, cycles=(1,), resamples=50)
    assert other.to_dict() != a.to_dict()


def test_categories_are_scored_by_accuracy(world) -> None:
    class Switch(type(world)):
        def exogenous(self, n: int, seed: int) -> dict[str, Tensor]:
            noise = super().exogenous(n, seed)
            return noise | {"inflow": noise["inflow"].round()}

    switch = Switch()
    report = counterfactual_scores(unchanged, switch, n=60, interventions=[{"inflow": 2.0}], cycles=(), resamples=50)
    share = float((switch.sample(60, seed=0)["inflow"] == 2).float().mean())
    assert value(report, "accuracy", "inflow", "inflow") == pytest.approx(share)
    assert value(report, "effectiveness", "inflow", "level") > 0


def test_errors_at_the_door(world, simulator) -> None:
    with pytest.raises(CounterfactoryError, match="answers no counterfactuals"):
        counterfactual_scores(object(), world, n=4)
    with pytest.raises(CounterfactoryError, match="cannot be scored"):
        counterfactual_scores(lambda x, do: x[:, :, :4], world, n=4)
    with pytest.raises(CounterfactoryError, match="cannot be scored"):
        counterfactual_scores(lambda x, do: x * torch.nan, world, n=4)
    with pytest.raises(CounterfactoryError, match="reads something else"):
        counterfactual_scores(simulator, world, n=4, oracle=lambda x: x.flatten(1))
    with pytest.raises(CounterfactoryError, match="unknown cause"):
        counterfactual_scores(simulator, world, n=4, interventions=[{"pump": 1.0}])
    with pytest.raises(CounterfactoryError, match="outside its range"):
        counterfactual_scores(simulator, world, n=4, interventions=[{"inflow": 9.0}])


def test_score_of_names_one_row(ideal: Report) -> None:
    with pytest.raises(CounterfactoryError, match="several rows"):
        score_of(ideal, metric="effectiveness")
    with pytest.raises(CounterfactoryError, match="unknown row"):
        score_of(ideal, metric="effectivness", intervened="inflow", measured="level")


def test_another_value_differs_and_stays_in_range() -> None:
    rng = np.random.default_rng(0)
    pool = torch.tensor([0.0, 0.0, 1.0, 2.0, 9.0])
    for _ in range(20):
        drawn = another_value(pool, pool, (0.0, 3.0), rng)
        assert bool((drawn != pool).all())
        assert set(drawn.tolist()) <= {0.0, 1.0, 2.0, 3.0}
    assert another_value(torch.ones(3), torch.ones(3), (0.0, 3.0), rng).tolist() == [1, 1, 1]  # there is no other


def test_helpers() -> None:
    for n in (2, 3, 50):
        order = derangement(n, np.random.default_rng(n))
        assert sorted(order) == list(range(n)) and (order != np.arange(n)).all()
    part = slice(1, 3)
    assert take(Set(torch.arange(4.0)), part, 4).value.tolist() == [1, 2]
    assert take(2.0, part, 4) == 2.0
    assert take(torch.tensor(5.0), part, 4).item() == 5
