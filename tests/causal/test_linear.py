import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from counterfactory.causal import (
    SCM,
    Add,
    CausalGraph,
    CutEdge,
    Deterministic,
    Empirical,
    Exponential,
    Laplace,
    LinearSCM,
    Normal,
    Replace,
    Scale,
    StudentT,
)
from counterfactory.errors import CounterfactoryError

TRIANGLE = CausalGraph(["x", "y", "z"], [("x", "y"), ("x", "z"), ("y", "z")])
HAND = LinearSCM(TRIANGLE, {("x", "y"): 2.0, ("x", "z"): 1.0, ("y", "z"): -1.0})
UNIT = torch.tensor([[1.0, 3.0, 0.0]])


def random_model(d, degree, seed):
    graph = CausalGraph.random(d, degree, seed)
    draw = torch.Generator().manual_seed(seed)
    weights = {edge: float(torch.randn((), generator=draw)) for edge in graph.edges}
    intercept = {name: float(torch.randn((), generator=draw)) for name in graph.nodes}
    kinds = [Normal(0.5, 2.0), Laplace(), Exponential(0.5), StudentT(6)]
    return LinearSCM(graph, weights, {name: kinds[i % 4] for i, name in enumerate(graph.nodes)}, intercept)


MODELS = st.builds(lambda *args: args, st.integers(1, 9), st.floats(0, 4), st.integers(0, 10_000))


def test_the_hand_example():
    assert HAND.abduct(UNIT).tolist() == [[1, 1, 2]]
    assert HAND.counterfactual(UNIT, {"y": 0.0}).values.tolist() == [[1, 0, 3]]
    assert HAND.counterfactual(UNIT, {"x": 2.0}).values.tolist() == [[2, 5, -1]]
    assert float(HAND.total_effect("x", "z")) == -1 and float(HAND.total_effect("z", "x")) == 0
    assert float(HAND.ate("x", "z", a=3, b=1)) == -2 and float(HAND.ate("x", "z").error) == 0


@given(MODELS, st.data())
@settings(max_examples=60, deadline=None)
def test_closed_forms_agree_with_the_general_engine(recipe, data):
    scm = random_model(*recipe)
    general = SCM(scm.graph, scm.mechanisms, scm.noise)
    names = scm.graph.nodes
    s = scm.sample(7, seed=1, dtype=torch.float64)
    assert torch.allclose(s.values, general.sample(7, seed=1, dtype=torch.float64).values)
    assert torch.allclose(scm.abduct(s.values), s.noise) and torch.allclose(general.abduct(s.values), s.noise)
    row = torch.linspace(-1, 1, 7, dtype=torch.float64)
    kinds = [
        lambda name: 0.3,
        lambda name: row,
        lambda name: Add(row),
        lambda name: Scale(-0.5),
        lambda name: Scale(row),
        lambda name: Replace(noise=Normal(3.0)),
        lambda name: CutEdge(dict.fromkeys(scm.graph.parents(name)[:1], 0.7)),
    ]
    chosen = data.draw(st.lists(st.sampled_from(names), max_size=4, unique=True))
    do = {name: kinds[data.draw(st.integers(0, len(kinds) - 1))](name) for name in chosen}
    assert torch.allclose(scm.predict(s.noise, do), general.predict(s.noise, do))
    ours, theirs = scm.counterfactual(s.values, do), general.counterfactual(s.values, do)
    assert torch.allclose(ours.values, theirs.values)
    touched = set(chosen).union(*(scm.graph.descendants(name) for name in chosen))
    assert all(torch.equal(ours[name], s[name]) for name in names if name not in touched)


@given(MODELS, st.data())
@settings(max_examples=30, deadline=None)
def test_invariants_hold_to_the_last_bit(recipe, data):
    scm = random_model(*recipe)
    s = scm.sample(9, seed=2)
    chosen = data.draw(st.lists(st.sampled_from(scm.graph.nodes), min_size=1, unique=True))
    assert torch.equal(scm.counterfactual(s.values, {name: s[name] for name in chosen}).values, s.values)
    for observed in (s.values, scm.sample(9, seed=2, dtype=torch.float64).values):
        cf = scm.counterfactual(observed, dict.fromkeys(chosen, 0.1))
        assert all(torch.equal(cf[name], torch.full((9,), 0.1, dtype=observed.dtype)) for name in chosen)


@given(MODELS)
@settings(max_examples=30, deadline=None)
def test_gradients_are_total_effects(recipe):
    scm = random_model(*recipe)
    first, last = scm.graph.order[0], scm.graph.order[-1]
    s = scm.sample(1, dtype=torch.float64)
    value = torch.zeros((), dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(scm.counterfactual(s.values, {first: value})[last].sum(), value)
    assert float(slope) == pytest.approx(1.0 if first == last else float(scm.total_effect(first, last)), abs=1e-9)
    finite = scm.counterfactual(s.values, {first: 1.0})[last] - scm.counterfactual(s.values, {first: 0.0})[last]
    assert float(finite) == pytest.approx(float(slope), abs=1e-9)


def test_gradients_through_scales():
    factor = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    unit = UNIT.double()
    (slope,) = torch.autograd.grad(HAND.counterfactual(unit, {"x": Scale(factor)})["z"].sum(), factor)
    assert float(slope) == -1


@pytest.mark.parametrize("seed", range(5))
def test_sample_moments_are_within_three_standard_errors(seed):
    scm, n = random_model(6, 3.0, seed), 50_000
    centred = scm.sample(n, seed=seed, dtype=torch.float64).values
    mean, covariance = scm.mean_cov()
    error = (covariance.diag() / n).sqrt()
    assert ((centred.mean(0) - mean).abs() < 3.5 * error).all()
    centred = centred - mean
    products = centred[:, :, None] * centred[:, None]
    apart = (products.mean(0) - covariance).abs() / (products.std(0) / n**0.5)
    # heavy tails and 21 entries: nearly all within three, none far out
    assert (apart.triu() < 3).float().mean() > 0.9 and apart.max() < 4.5


def test_moments_after_do():
    mean, covariance = HAND.do({"y": 1.0}).mean_cov()
    assert mean.tolist() == [0, 1, -1] and covariance.tolist() == [[1, 0, 1], [0, 0, 0], [1, 0, 2]]
    after = HAND.do({"x": Normal(3, 2), "z": CutEdge({"y": 2.0})})
    assert isinstance(after, LinearSCM) and after.graph.edges == (("x", "y"), ("x", "z"))
    mean, covariance = after.mean_cov()
    assert mean.tolist() == [3, 6, 1] and covariance.diag().tolist() == [4, 17, 5]


def test_do_on_a_root_equals_conditioning():
    # of a Gaussian: E[z | x] = cov / var x, and in the model under do the same
    mean, covariance = HAND.mean_cov()
    conditional = mean + covariance[:, 0] / covariance[0, 0] * 1.7
    assert torch.allclose(HAND.do({"x": 1.7}).mean_cov()[0], conditional)
    residual = covariance - torch.outer(covariance[:, 0], covariance[0]) / covariance[0, 0]
    assert torch.allclose(HAND.do({"x": 1.7}).mean_cov()[1], residual)


def test_fit_recovers_the_model():
    scm = random_model(6, 3.0, 11)
    data = scm.sample(20_000, seed=1, dtype=torch.float64).values
    fitted = scm.fit(data)
    assert torch.allclose(fitted.weights, scm.weights, atol=0.05)
    assert ((fitted.weights != 0) <= (scm.weights != 0)).all()
    # least squares: residuals are orthogonal to the parents and to the constant
    u = fitted.abduct(data)
    for j, name in enumerate(scm.graph.nodes):
        parents = data[:, [scm.graph.index(p) for p in scm.graph.parents(name)]]
        assert (u[:, j].mean() / u[:, j].std()).abs() < 1e-9
        assert (parents.T @ u[:, j]).abs().max() < 1e-6 * len(data) if parents.numel() else True
    # the fitted model reproduces the data's own mean, and its variances up to the degrees of freedom
    mean, covariance = fitted.mean_cov()
    assert torch.allclose(mean, data.mean(0), atol=1e-9)
    assert torch.allclose(covariance.diag(), data.var(0), rtol=0.05)
    assert torch.equal(scm.weights, random_model(6, 3.0, 11).weights)  # the model itself is unchanged


def test_fit_keeps_residuals_or_finds_none():
    data = HAND.sample(500, seed=0).values.double()
    fitted = HAND.fit(data, noise="empirical")
    assert isinstance(fitted.noise["z"], Empirical)
    assert torch.allclose(fitted.noise["z"].values.double(), fitted.abduct(data)[:, 2], atol=1e-5)
    exact = data.clone()
    exact[:, 2] = 3 * exact[:, 0] - exact[:, 1] + 2
    fitted = HAND.fit(exact)
    assert fitted.noise["z"] == Deterministic() and torch.allclose(
        fitted.weights[:, 2], torch.tensor([3.0, -1, 0]).double()
    )
    collinear = data.clone()
    collinear[:, 1] = collinear[:, 0]
    assert torch.isfinite(HAND.fit(collinear).weights).all()


def test_bad_models_are_refused():
    with pytest.raises(CounterfactoryError, match="unknown edge with a weight"):
        LinearSCM(TRIANGLE, {("z", "x"): 1.0})
    with pytest.raises(CounterfactoryError, match="wrong shape"):
        LinearSCM(TRIANGLE, torch.zeros(2, 2))
    with pytest.raises(CounterfactoryError, match="not finite"):
        LinearSCM(TRIANGLE, {("x", "y"): float("nan")})
    with pytest.raises(CounterfactoryError, match="too few rows"):
        HAND.fit(torch.zeros(3, 3))
    assert LinearSCM(TRIANGLE, HAND.weights).weights.equal(HAND.weights)
