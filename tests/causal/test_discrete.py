import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from counterfactory.causal import (
    SCM,
    AdditiveNoise,
    CausalGraph,
    DiscreteSCM,
    Gumbel,
    Linear,
    Normal,
    Replace,
    Table,
    Uniform,
    generator,
)
from counterfactory.errors import CounterfactoryError

RAIN = CausalGraph(["rain", "sprinkler", "wet"], [("rain", "sprinkler"), ("rain", "wet"), ("sprinkler", "wet")])
TABLES = {
    "rain": torch.tensor([0.7, 0.3]),
    "sprinkler": torch.tensor([[0.5, 0.3, 0.2], [0.9, 0.1, 0.0]]),
    "wet": torch.tensor([[[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]], [[0.3, 0.7], [0.1, 0.9], [0.05, 0.95]]]),
}
MODELS = {kind: DiscreteSCM(RAIN, TABLES, kind) for kind in ("gumbel", "monotone")}
BOTH = pytest.mark.parametrize("scm", MODELS.values(), ids=MODELS)


def joint(tables):
    """The exact joint distribution, [2, 3, 2]."""
    return tables["rain"][:, None, None] * tables["sprinkler"][:, :, None] * tables["wet"]


def frequencies(samples, weights=None):
    codes = samples.long()
    index = (codes[..., 0] * 3 + codes[..., 1]) * 2 + codes[..., 2]
    return torch.bincount(index.flatten(), weights, minlength=12).double().view(2, 3, 2)


@BOTH
def test_samples_have_the_joint_distribution(scm):
    n = 60_000
    observed, expected = frequencies(scm.sample(n, seed=1).values) / n, joint(TABLES).double()
    assert ((observed - expected).abs() <= 4 * (expected * (1 - expected) / n).sqrt()).all()
    assert scm.noise_width == (2 + 3 + 2 if scm is MODELS["gumbel"] else 3)


@BOTH
def test_log_probabilities_are_those_of_the_joint(scm):
    values = torch.tensor(list(itertools.product(range(2), range(3), range(2)))).double()
    assert torch.allclose(scm.log_prob(values).exp().view(2, 3, 2), joint(TABLES).double())


@BOTH
def test_abducted_noise_gives_back_the_observation(scm):
    values = scm.sample(5000, seed=2, dtype=torch.float64).values
    assert torch.equal(scm.predict(scm.abduct(values, seed=9)), values)
    cf = scm.counterfactual(values, {"rain": values[:, 0]}, particles=7)
    assert torch.equal(cf.values, values) and torch.equal(cf.draws, values.expand(7, -1, -1))
    assert torch.allclose(cf.effective_sample_size, torch.full((5000,), 7.0).double())


@BOTH
def test_abducted_noise_of_many_units_has_the_prior(scm):
    values = scm.sample(20_000, seed=3, dtype=torch.float64).values
    noise = scm.abduct(values, seed=4)
    mean, variance = (Gumbel(2) if scm is MODELS["gumbel"] else Uniform()).moments()
    assert ((noise.mean(0) - mean).abs() < 4 * (variance / 20_000) ** 0.5).all()
    assert ((noise.var(0) / variance - 1).abs() < 0.08).all()
    correlation = torch.corrcoef(noise.T) - torch.eye(noise.shape[1])
    assert correlation.abs().max() < 0.035


def test_the_gumbel_counterfactual_against_brute_force():
    # p(counterfactual level | observed level), by drawing noise from the prior and keeping what fits the observation
    p, q = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.2, 0.3, 0.5])
    scm = DiscreteSCM(CausalGraph(["a", "b"], [("a", "b")]), {"a": torch.tensor([0.5, 0.5]), "b": torch.stack([p, q])})
    g = Gumbel(3).sample(400_000, generator(0, "brute"))
    before, after = (p.log()[:, None] + g).argmax(0), (q.log()[:, None] + g).argmax(0)
    for level in range(3):
        unit = torch.tensor([[0.0, float(level)]])
        cf = scm.counterfactual(unit, {"a": 1.0}, particles=40_000)
        for other in range(3):
            expected = float((after[before == level] == other).float().mean())
            assert float(cf.probability("b", other)[0]) == pytest.approx(expected, abs=0.012)
    assert (
        float(scm.counterfactual(torch.tensor([[0.0, 2.0]]), {"a": 1.0}, particles=500).probability("b", 2)) == 1
    )  # stability


def test_the_monotone_counterfactual_in_closed_form():
    p, q = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.2, 0.3, 0.5])
    graph = CausalGraph(["a", "b"], [("a", "b")])
    scm = DiscreteSCM(graph, {"a": torch.tensor([0.5, 0.5]), "b": torch.stack([p, q])}, "monotone")
    cf = scm.counterfactual(torch.tensor([[0.0, 0.0], [0.0, 1.0]]), {"a": 1.0}, particles=40_000)
    # u of level 0 is uniform on (0, 0.5), cut at 0.2; u of level 1 on (0.5, 0.8), where level 2 begins at 0.5
    assert cf.probability("b", 0).tolist() == pytest.approx([0.4, 0], abs=0.01)
    assert cf.probability("b", 1).tolist() == pytest.approx([0.6, 0], abs=0.01)
    assert cf.probability("b", 2).tolist() == pytest.approx([0, 1], abs=0.01)
    assert (cf.draws[..., 1] >= torch.tensor([0, 1])).all()  # upwards only


@BOTH
def test_answers_name_their_assumption(scm):
    unit = torch.tensor([[1.0, 0.0, 1.0]])
    word = "Gumbel" if scm is MODELS["gumbel"] else "monotone"
    assert word in scm.counterfactual(unit, {"rain": 0.0}).assumption
    partial = scm.counterfactual({"wet": torch.ones(1)}, {}, particles=10)
    assert word in partial.assumption and "unobserved" in partial.assumption


@BOTH
def test_partial_observation_agrees_with_bayes(scm):
    cf = scm.counterfactual({"wet": torch.ones(1)}, {"sprinkler": 2.0}, particles=40_000)
    posterior = joint(TABLES)[:, :, 1].double()
    posterior = posterior / posterior.sum()
    assert float(cf.probability("rain", 1)) == pytest.approx(float(posterior[1].sum()), abs=0.01)
    assert (cf.draws[..., 1] == 2).all()
    after = scm.do({"sprinkler": 2.0})
    assert after.graph.edges == (("rain", "wet"), ("sprinkler", "wet"))
    wet = float(after.sample(40_000)["wet"].mean())
    assert wet == pytest.approx(float(TABLES["rain"] @ TABLES["wet"][:, 2, 1]), abs=0.01)


@BOTH
def test_do_on_a_root_equals_conditioning(scm):
    values = scm.sample(60_000, seed=5).values
    conditioned, done = values[values[:, 0] == 1], scm.sample(20_000, seed=6, do={"rain": 1.0}).values
    assert torch.allclose(conditioned.mean(0), done.mean(0), atol=0.015)


@BOTH
def test_fit_counts(scm):
    values = scm.sample(500, seed=7).values
    fitted = DiscreteSCM.uniform(RAIN, scm.levels).fit(values, smoothing=0.5)
    counts = frequencies(values)
    expected = (counts.sum((1, 2)) + 0.5) / (500 + 1)
    assert torch.allclose(fitted.mechanisms["rain"].probabilities, expected)
    expected = (counts + 0.5) / (counts.sum(2, keepdim=True) + 1)
    assert torch.allclose(fitted.mechanisms["wet"].probabilities, expected)
    with pytest.raises(CounterfactoryError, match="never seen"):
        scm.fit(values[values[:, 0] == 0], smoothing=0)


@given(st.integers(2, 5), st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_posterior_noise_of_random_tables(levels, seed):
    draw = torch.Generator().manual_seed(seed)
    p = torch.rand(3, levels, generator=draw).double() * (torch.rand(3, levels, generator=draw) < 0.7)
    p[:, 0] += 0.1
    p = p / p.sum(1, keepdim=True)
    parents = torch.randint(3, (1, 200), generator=draw).double()
    for kind in ("gumbel", "monotone"):
        table = Table(p, kind)
        u = table.own_noise.sample(200, generator(seed, "u")).double()
        value = table.forward(parents, u)
        assert (p[parents[0].long(), value.long()] > 0).all()  # impossible levels never happen
        noise, log_p = table.posterior(parents, value, table.own_noise, generator(seed, "v"))
        assert torch.equal(table.forward(parents, noise), value)
        assert torch.allclose(log_p, table.log_prob(parents, value, table.own_noise)) and torch.isfinite(noise).all()


def test_tables_beside_continuous_mechanisms():
    graph = CausalGraph(["treated", "y"], [("treated", "y")])
    scm = SCM(
        graph,
        {"treated": Table(torch.tensor([0.5, 0.5])), "y": AdditiveNoise(lambda p: 3 * p[0])},
        {"y": Normal()},
    )
    s = scm.sample(50, seed=0, dtype=torch.float64)
    assert s.noise.shape == (50, 3)
    cf = scm.counterfactual(s.values, {"treated": 1.0}, particles=5)
    assert torch.allclose(cf["y"], s["y"] + 3 * (1 - s["treated"]))
    assert float(scm.ate("treated", "y")) == pytest.approx(3)
    with pytest.raises(CounterfactoryError, match="new noise of 'treated'"):
        scm.sample(50, do={"treated": Replace(noise=Normal())})
    assert math.isfinite(float(scm.do({"y": Replace(mechanism=Linear([1.0]))}).log_prob(s.values).sum()))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Table(torch.tensor([0.5, 0.6])), "not made of probabilities"),
        (lambda: Table(torch.tensor([-0.5, 1.5])), "not made of probabilities"),
        (lambda: Table(torch.tensor([1.0])), "not made of probabilities"),
        (lambda: DiscreteSCM(RAIN, {"rain": TABLES["rain"]}), "'sprinkler' has no table"),
        (lambda: DiscreteSCM(RAIN, TABLES | {"sprinkler": TABLES["rain"]}), "table of 'sprinkler' has the wrong shape"),
        (lambda: MODELS["gumbel"].sample(5, do={"rain": 0.5}), "a value is no level"),
        (lambda: MODELS["gumbel"].sample(5, do={"rain": 2.0}), "a value is no level"),
        (lambda: MODELS["gumbel"].fit(torch.full((9, 3), -1.0)), "a value is no level"),
        (lambda: MODELS["gumbel"].fit(torch.zeros(9, 3), smoothing=-1), "bad smoothing"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(CounterfactoryError, match=message):
        call()
