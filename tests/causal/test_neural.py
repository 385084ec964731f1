import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from counterfactory.causal import (
    SCM,
    Add,
    AdditiveNoise,
    CausalGraph,
    CutEdge,
    Deterministic,
    Empirical,
    Exponential,
    LocationScale,
    NeuralFit,
    NeuralSCM,
    Normal,
    Policy,
    Replace,
    Scale,
    Uniform,
)
from counterfactory.causal.networks import pieces
from counterfactory.causal.spline import parameter_count, spline
from counterfactory.errors import CounterfactoryError

KINDS = ("additive", "location_scale", "spline")
EVERY = pytest.mark.parametrize("kind", KINDS)
TRIANGLE = CausalGraph(["x", "y", "z"], [("x", "y"), ("x", "z"), ("y", "z")])


def shaken(graph, kind, seed=0):
    """A model whose splines and scales are far from the identity."""
    scm = NeuralSCM(graph, hidden=8, kind=kind, seed=seed)
    scm.networks.B[:, 1:] += torch.randn(scm.networks.B[:, 1:].shape, generator=torch.Generator().manual_seed(seed)) / 3
    return scm


@given(st.integers(1, 9), st.floats(0, 5), st.integers(0, 10_000), st.sampled_from(KINDS), st.data())
@settings(max_examples=60, deadline=None)
def test_batched_evaluation_agrees_with_one_network_at_a_time(d, degree, seed, kind, data):
    scm = shaken(CausalGraph.random(d, degree, seed), kind, seed)
    single = SCM(scm.graph, scm.mechanisms, scm.noise)
    s = scm.sample(11, seed=1, dtype=torch.float64)
    assert torch.allclose(s.values, single.sample(11, seed=1, dtype=torch.float64).values)
    assert torch.allclose(scm.abduct(s.values), s.noise, atol=1e-6)
    assert torch.allclose(single.abduct(s.values), s.noise, atol=1e-6)
    row = torch.linspace(-1, 1, 11, dtype=torch.float64)
    options = [0.3, row, Add(row), Scale(-0.5), Scale(row)]
    dos = []
    for _ in range(data.draw(st.integers(1, 4))):
        chosen = data.draw(st.lists(st.sampled_from(scm.graph.nodes), max_size=3, unique=True))
        dos.append({name: data.draw(st.sampled_from(options)) for name in chosen})
    worlds = scm.sample_worlds(11, dos, seed=1, dtype=torch.float64)
    counterfactuals = scm.counterfactual_worlds(s.values, dos)
    for do, world, counterfactual in zip(dos, worlds.values, counterfactuals.values, strict=True):
        assert torch.allclose(world, single.predict(s.noise, do))
        assert torch.allclose(counterfactual, world, atol=1e-5)
        touched = set(do).union(*(scm.graph.descendants(name) for name in do))
        for i, name in enumerate(scm.graph.nodes):
            assert name in touched or torch.equal(counterfactual[:, i], s[name])


@EVERY
def test_other_interventions_take_the_general_way(kind):
    scm = shaken(TRIANGLE, kind)
    single = SCM(scm.graph, scm.mechanisms, scm.noise)
    noise = scm.sample(9, dtype=torch.float64).noise
    for do in (
        {"y": Replace(noise=Normal(2))},
        {"z": CutEdge({"x": 0.5})},
        {"y": Policy(lambda p: p[0], ["x"]), "x": Add(1.0)},
    ):
        assert torch.allclose(scm.predict(noise, do), single.predict(noise, do))
    worlds = scm.sample_worlds(9, [{"x": 1.0}, {"z": CutEdge({"x": 0.5})}]).values
    assert torch.allclose(worlds[1], scm.sample(9, do={"z": CutEdge({"x": 0.5})}).values, atol=1e-6)


def test_long_batches_are_cut_and_joined(monkeypatch):
    scm = shaken(CausalGraph.random(8, 3.0, 2), "spline")
    whole = scm.sample_worlds(500, [{"x1": 1.0}, {"x3": Add(1.0)}])
    noise = scm.abduct(whole.values[0])
    monkeypatch.setattr("counterfactory.causal.networks._BLOCK", 8 * 64)
    assert torch.allclose(scm.sample_worlds(500, [{"x1": 1.0}, {"x3": Add(1.0)}]).values, whole.values, atol=1e-5)
    assert torch.allclose(scm.abduct(whole.values[0]), noise, atol=1e-5)
    cut = list(pieces(3, 100, 8))
    assert len(cut) == 6 and {c.stop - c.start for _, c in cut} == {64}


@EVERY
def test_gradients_in_the_do_value(kind):
    scm = shaken(CausalGraph.random(5, 3.0, 1), kind)
    s = scm.sample(3, dtype=torch.float64)
    first, second = scm.graph.order[0], scm.graph.order[2]

    def effect(value, shift):
        return scm.counterfactual(s.values, {first: value, second: Add(shift)}).values

    inputs = [torch.zeros(3, dtype=torch.float64, requires_grad=True), torch.tensor(0.2).double().requires_grad_()]
    assert torch.autograd.gradcheck(effect, inputs)


@EVERY
def test_gradients_in_the_weights(kind):
    scm = shaken(TRIANGLE, kind)
    assert not scm.sample(4).values.requires_grad  # off by default
    scm.networks.requires_grad_()
    values = scm.sample(4, do={"x": 1.0}).values
    values.sum().backward()
    assert scm.networks.A.grad.abs().sum() > 0


@EVERY
def test_densities_integrate_to_one(kind):
    scm = shaken(TRIANGLE, kind, seed=3)
    grid = torch.linspace(-60, 60, 120_001, dtype=torch.float64)
    parents = torch.tensor([[0.4], [-0.8]], dtype=torch.float64).expand(2, len(grid))
    density = scm.mechanisms["z"].log_prob(parents, grid, Normal()).exp()
    assert float(torch.trapezoid(density, grid)) == pytest.approx(1, abs=1e-3)


def test_splines_increase_invert_and_start_as_the_identity():
    draw = torch.Generator().manual_seed(0)
    u = torch.linspace(-6, 6, 1001, dtype=torch.float64)
    parameters = 2 * torch.randn(parameter_count(8), 1, generator=draw, dtype=torch.float64).expand(-1, len(u))
    x, log_slope = spline(u, parameters)
    assert (x.diff() > 0).all() and torch.equal(x[u.abs() >= 4], u[u.abs() >= 4])
    back, log_slope_back = spline(x, parameters, inverse=True)
    assert torch.allclose(back, u, atol=1e-9) and torch.allclose(log_slope_back, log_slope, atol=1e-7)
    points = u[1:-1:7].clone().requires_grad_()
    (slope,) = torch.autograd.grad(spline(points, parameters[:, : len(points)])[0].sum(), points)
    assert torch.allclose(slope.log(), spline(points, parameters[:, : len(points)])[1])
    assert torch.allclose(spline(u, torch.zeros_like(parameters))[0], u)


TRUE = SCM(
    TRIANGLE,
    {
        "y": LocationScale(lambda p: 5 + torch.sin(2 * p[0]), lambda p: 0.5 * p[0] - 1),
        "z": AdditiveNoise(lambda p: 20 * p[0] * (p[1] - 5)),
    },
    {"x": Uniform(-2, 2), "y": Exponential(), "z": Normal(0, 6)},
)


@pytest.fixture(scope="module")
def fitted():
    data = TRUE.sample(2500, seed=1).values
    return {kind: NeuralSCM(TRIANGLE, kind=kind).fit(data) for kind in KINDS}


def test_fitted_models_answer_interventions_and_counterfactuals(fitted):
    test = TRUE.sample(2000, seed=2).values
    truth = TRUE.counterfactual(test, {"x": 1.0}).values
    scale = truth.std(0) + 1e-9
    for kind, bound in (("additive", 0.6), ("location_scale", 0.25), ("spline", 0.25)):
        error = (fitted[kind].counterfactual(test, {"x": 1.0}).values - truth).square().mean(0).sqrt() / scale
        assert error[0] == 0 and error[1:].max() < bound
        effect, true_effect = fitted[kind].ate("x", "z", 1.5, 0.0), TRUE.ate("x", "z", 1.5, 0.0)
        assert abs(float(effect) - float(true_effect)) < 0.15 * float(test[:, 2].std())


def test_richer_mechanisms_fit_better(fitted):
    test = TRUE.sample(2000, seed=2).values
    normal = {kind: SCM(TRIANGLE, m.mechanisms, dict.fromkeys("xyz", Normal())) for kind, m in fitted.items()}
    # under the noise they were trained with; the root is the same in all
    scores = {kind: float(m.log_prob(test).mean()) for kind, m in normal.items() if kind != "additive"}
    assert scores["spline"] > scores["location_scale"] + 0.05
    full = {kind: float(m.log_prob(test).mean()) for kind, m in fitted.items()}
    assert full["additive"] < full["location_scale"] < float(TRUE.log_prob(test).mean()) + 0.05


def test_fitting_repeats_and_leaves_the_model_alone():
    data = TRUE.sample(300, seed=1).values
    scm = NeuralSCM(TRIANGLE, hidden=8)
    before = scm.networks.A.clone()
    quick = NeuralFit(epochs=5, noise="normal")
    first, second = scm.fit(data, quick, seed=3), scm.fit(data, quick, seed=3)
    assert torch.equal(first.networks.A, second.networks.A) and torch.equal(scm.networks.A, before)
    assert not torch.equal(first.networks.A, scm.fit(data, quick, seed=4).networks.A)
    assert isinstance(first.noise["z"], Normal) and isinstance(first.noise["x"], Normal)
    residuals = first.abduct(data)
    assert first.noise["z"].mean == pytest.approx(float(residuals[:, 2].mean()), abs=1e-3)
    assert isinstance(scm.fit(data, NeuralFit(epochs=1)).noise["z"], Empirical)
    constant = data.clone()
    constant[:, 0] = 2.0
    assert scm.fit(constant, quick).noise["x"] == Deterministic(2.0)


def test_weights_travel_as_a_state_dict():
    scm, other = shaken(TRIANGLE, "spline", 1), NeuralSCM(TRIANGLE, hidden=8, kind="spline", seed=2)
    other.networks.load_state_dict(scm.networks.state_dict())
    assert torch.equal(other.sample(5).values, scm.sample(5).values)


def test_a_graph_without_edges():
    scm = NeuralSCM(CausalGraph(["a", "b"]))
    s = scm.sample(20)
    assert torch.equal(s.values, s.noise) and torch.equal(scm.abduct(s.values), s.values)
    assert torch.equal(scm.counterfactual(s.values, {"a": Add(1.0)})["a"], s["a"] + 1)
    assert isinstance(scm.fit(s.values).noise["a"], Empirical)


def test_the_bridge_to_dowhy_gives_the_same_counterfactuals():
    pytest.importorskip("dowhy")
    import warnings

    import numpy as np
    import pandas as pd

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from dowhy import gcm

        from counterfactory.causal import to_dowhy

    # names whose alphabetical order is not the node order
    graph = CausalGraph(["c", "b", "a"], [("c", "b"), ("c", "a"), ("b", "a")])
    scm = shaken(graph, "location_scale")
    s = scm.sample(30, dtype=torch.float64)
    frame = pd.DataFrame(s.values.numpy(), columns=list(graph.nodes))
    theirs = gcm.counterfactual_samples(to_dowhy(scm), {"c": lambda x: 0.5}, observed_data=frame)
    ours = scm.counterfactual(s.values, {"c": 0.5}).values.numpy()
    assert np.abs(theirs[list(graph.nodes)].to_numpy() - ours).max() < 1e-6
    drawn, own = gcm.draw_samples(to_dowhy(scm, seed=1), 4000), scm.sample(4000)
    assert np.abs(drawn["a"].mean() - float(own["a"].mean())) < 4 * (2 * own["a"].var() / 4000) ** 0.5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: NeuralSCM(TRIANGLE, hidden=0), "no hidden units"),
        (lambda: NeuralSCM(TRIANGLE).fit(torch.zeros(5, 3)), "too few rows"),
        (lambda: NeuralSCM(TRIANGLE).fit(torch.zeros(50, 2)), "wrong shape"),
        (lambda: NeuralFit(noise="cauchy"), "unknown noise to fit"),
        (lambda: NeuralFit(holdout=0.9), "out of range"),
        (lambda: NeuralFit(epochs=0), "out of range"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(CounterfactoryError, match=message):
        call()
