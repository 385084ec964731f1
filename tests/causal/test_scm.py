import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from counterfactory.causal import (
    SCM,
    Add,
    AdditiveNoise,
    CausalGraph,
    Deterministic,
    Exponential,
    Function,
    Gamma,
    Invertible,
    Laplace,
    Linear,
    LocationScale,
    Logistic,
    Normal,
    Replace,
    Spline,
    StudentT,
    Uniform,
)
from counterfactory.errors import CounterfactoryError

TRIANGLE = CausalGraph(["x", "y", "z"], [("x", "y"), ("x", "z"), ("y", "z")])
HAND = SCM(
    TRIANGLE,
    {"y": AdditiveNoise(lambda p: 2 * p[0]), "z": AdditiveNoise(lambda p: p[0] - p[1])},
    {name: Normal() for name in "xyz"},
)
UNIT = torch.tensor([[1.0, 3.0, 0.0]])
NOISES = [Normal(), Laplace(), Uniform(-1, 1), Exponential(), Logistic(0, 0.5), StudentT(8), Gamma(2.0, 2.0)]


def mixed(d, degree, seed):
    """A random graph whose mechanisms are of every continuous kind."""
    graph = CausalGraph.random(d, degree, seed)
    kinds = [
        lambda: AdditiveNoise(lambda p: torch.sin(p).sum(0)),
        lambda: LocationScale(lambda p: p.mean(0), lambda p: 0.3 * torch.tanh(p[0])),
        lambda: Invertible(lambda p, u: torch.asinh(u) + p.mean(0), lambda p, x: torch.sinh(x - p.mean(0))),
        lambda: Spline(
            lambda p: torch.cat(
                [p[:1].sin(), 0.1 * p[:1].cos(), torch.sin(torch.outer(torch.arange(11.0).to(p), p[0]))]
            )
        ),
    ]
    inner = [name for name in graph.nodes if graph.parents(name)]
    mechanisms = {name: kinds[i % len(kinds)]() for i, name in enumerate(inner)}
    return SCM(graph, mechanisms, {name: NOISES[i % len(NOISES)] for i, name in enumerate(graph.nodes)})


MODELS = st.builds(lambda *args: args, st.integers(1, 8), st.floats(0, 4), st.integers(0, 10_000))


def test_the_hand_example():
    assert HAND.abduct(UNIT).tolist() == [[1, 1, 2]]
    assert HAND.counterfactual(UNIT, {"y": 0.0}).values.tolist() == [[1, 0, 3]]
    assert HAND.counterfactual(UNIT, {"x": 2.0}).values.tolist() == [[2, 5, -1]]
    assert HAND.counterfactual({n: UNIT[:, i] for i, n in enumerate("xyz")}, {"x": 2}).values.tolist() == [[2, 5, -1]]


@given(MODELS, st.data())
@settings(max_examples=40, deadline=None)
def test_invariants_of_counterfactuals(recipe, data):
    scm = mixed(*recipe)
    names = scm.graph.nodes
    s = scm.sample(20, seed=data.draw(st.integers(0, 99)), dtype=torch.float64)
    assert torch.allclose(scm.abduct(s.values), s.noise, atol=1e-5)
    assert torch.equal(scm.predict(s.noise), s.values)
    chosen = data.draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True))
    # consistency: setting what was observed changes nothing
    same = scm.counterfactual(s.values, {name: s[name] for name in chosen})
    assert torch.allclose(same.values, s.values, atol=1e-6)
    # effectiveness, and non-descendants bit for bit
    cf = scm.counterfactual(s.values, dict.fromkeys(chosen, 0.5))
    assert all((cf[name] == 0.5).all() for name in chosen)
    touched = set(chosen).union(*(scm.graph.descendants(name) for name in chosen))
    assert all(torch.equal(cf[name], s[name]) for name in names if name not in touched)
    # composition: also setting a variable to the value it takes anyway changes nothing
    other = data.draw(st.sampled_from(names))
    if other not in chosen:
        again = scm.counterfactual(s.values, dict.fromkeys(chosen, 0.5) | {other: cf[other]})
        assert torch.allclose(again.values, cf.values, atol=1e-6)
    # the same unit, sampled under do
    under = scm.predict(s.noise, dict.fromkeys(chosen, 0.5))
    assert torch.allclose(under, cf.values, atol=1e-4)


@given(MODELS)
@settings(max_examples=15, deadline=None)
def test_float32_units_are_recovered(recipe):
    scm = mixed(*recipe)
    s = scm.sample(50, seed=1)
    assert s.values.dtype == torch.float32
    assert torch.allclose(scm.predict(scm.abduct(s.values)), s.values, atol=1e-3)
    same = scm.counterfactual(s.values, {scm.graph.nodes[0]: s.values[:, 0]})
    assert same.values.dtype == torch.float32 and torch.allclose(same.values, s.values, atol=1e-6)


def test_seeds_and_streams():
    s = HAND.sample(100, seed=5)
    assert torch.equal(s.values, HAND.sample(100, seed=5).values)
    assert not torch.equal(s.values, HAND.sample(100, seed=6).values)
    assert torch.equal(s.noise, HAND.sample(100, seed=5, do={"y": 1.0, "x": Add(2.0)}).noise)
    larger = CausalGraph(["new", "x", "y", "z"], [*TRIANGLE.edges, ("new", "z")])
    more = SCM(larger, HAND.mechanisms | {"z": Linear([0, 1, 1])}, HAND.noise | {"new": Laplace()})
    assert torch.equal(more.sample(100, seed=5)["y"], s["y"])  # a new variable leaves the others' noise alone
    generator = torch.Generator().manual_seed(3)
    first, second = HAND.sample(5, seed=generator).values, HAND.sample(5, seed=generator).values
    assert not torch.equal(first, second)
    assert torch.equal(first, HAND.sample(5, seed=torch.Generator().manual_seed(3)).values)


def test_samples_are_node_major_views():
    s = HAND.sample(10)
    assert s["y"].is_contiguous() and s["y"].data_ptr() == s.values[:, 1].data_ptr()
    assert len(s) == 10 and s.names == ("x", "y", "z")
    with pytest.raises(CounterfactoryError, match="unknown variable"):
        s["q"]


def test_worlds_share_noise_and_agree_with_single_calls():
    dos = [None, {}, {"x": 1.0}, {"y": Add(torch.arange(6.0))}, {"z": Replace(noise=Laplace())}]
    worlds = HAND.sample_worlds(6, dos, seed=2)
    assert worlds.values.shape == (5, 6, 3) and worlds["y"].shape == (5, 6)
    for do, values in zip(dos, worlds.values, strict=True):
        assert torch.equal(values, HAND.sample(6, seed=2, do=do).values)
    observed = HAND.sample(6, seed=2).values
    counterfactuals = HAND.counterfactual_worlds(observed, dos).values
    for do, values in zip(dos, counterfactuals, strict=True):
        assert torch.equal(values, HAND.counterfactual(observed, do or {}).values)
    with pytest.raises(CounterfactoryError, match="no worlds"):
        HAND.sample_worlds(6, [])


def test_new_noise_is_independent_of_the_units_own():
    s = HAND.sample(4000, seed=0)
    cf = HAND.counterfactual(s.values, {"y": Replace(noise=Normal())})
    fresh = cf["y"] - 2 * cf["x"]
    assert abs(float(torch.corrcoef(torch.stack([fresh, s.noise[:, 1]]))[0, 1])) < 0.06


def test_do_on_a_root_equals_conditioning():
    graph = CausalGraph(["x", "y"], [("x", "y")])
    scm = SCM(graph, {"y": AdditiveNoise(lambda p: p[0] ** 2)}, {"x": Uniform(-1, 1), "y": Laplace(0, 0.5)})
    s, done = scm.sample(200_000, seed=0), scm.sample(20_000, seed=1, do={"x": 0.5})["y"]
    near = s["y"][(s["x"] - 0.5).abs() < 0.02]
    error = (near.var() / len(near) + done.var() / len(done)).sqrt()
    assert abs(near.mean() - done.mean()) < 3 * error


def test_counterfactuals_are_differentiable_in_the_do_value():
    value = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    unit = torch.tensor([[1.0, 3.0, 0.0], [0.0, 1.0, 1.0]], dtype=torch.float64)
    (slope,) = torch.autograd.grad(HAND.counterfactual(unit, {"x": value})["z"].sum(), value)
    assert float(slope) == pytest.approx(2 * (1 - 2))  # two units, total effect 1 - 2
    rows = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    (slopes,) = torch.autograd.grad(HAND.sample(2, do={"x": rows}, dtype=torch.float64)["z"].sum(), rows)
    assert slopes.tolist() == [-1, -1]
    scm = mixed(6, 3.0, 4)
    noise = scm.sample(4, dtype=torch.float64).noise
    assert torch.autograd.gradcheck(
        lambda v: scm.predict(noise, {scm.graph.order[0]: v}), torch.zeros(4, dtype=torch.float64, requires_grad=True)
    )


def test_log_densities_against_formulas():
    values = HAND.sample(50, dtype=torch.float64).values
    covariance = torch.tensor([[1.0, 2, -1], [2, 5, -3], [-1, -3, 3]], dtype=torch.float64)
    normal = torch.distributions.MultivariateNormal(torch.zeros(3, dtype=torch.float64), covariance)
    assert torch.allclose(HAND.log_prob(values), normal.log_prob(values), atol=1e-9)
    # x = exp(u) is log-normal: the Jacobian of a generic mechanism comes from automatic differentiation
    scm = SCM(CausalGraph(["x"]), {"x": Invertible(lambda p, u: u.exp(), lambda p, x: x.log())}, {"x": Normal()})
    points = torch.tensor([[0.5], [2.0]], dtype=torch.float64)
    reference = torch.distributions.LogNormal(0.0, 1.0).log_prob(points[:, 0].float())
    assert torch.allclose(scm.log_prob(points).float(), reference, atol=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_log_densities_integrate_to_one(seed):
    scm = mixed(1 + seed, 3.0, seed)
    name = scm.graph.order[-1]
    i = scm.graph.index(name)
    grid = torch.linspace(-40, 40, 160_001, dtype=torch.float64)
    unit = scm.sample(1, dtype=torch.float64).values.repeat(len(grid), 1)
    mechanism, parents = scm.mechanisms[name], unit.T[[scm.graph.index(p) for p in scm.graph.parents(name)]]
    assert float(torch.trapezoid(mechanism.log_prob(parents, grid, scm.noise[name]).exp(), grid)) == pytest.approx(
        1, abs=2e-2
    )
    assert scm.log_prob(unit[:3]).shape == (3,) and i < len(scm.graph)


def test_effects():
    assert float(HAND.ate("x", "z", a=3.0, b=1.0)) == pytest.approx(-2, abs=1e-5)
    assert float(HAND.path_effect("x", "z", [("x", "z")])) == pytest.approx(1, abs=1e-5)
    assert float(HAND.path_effect("x", "z", [("x", "y"), ("y", "z")])) == pytest.approx(-2, abs=1e-5)
    assert float(HAND.path_effect("x", "z", [("x", "y")])) == pytest.approx(0, abs=1e-5)  # stops at y
    assert float(HAND.path_effect("x", "z", TRIANGLE.edges)) == pytest.approx(-1, abs=1e-5)
    with pytest.raises(CounterfactoryError, match="unknown edge"):
        HAND.path_effect("x", "z", [("z", "x")])
    # with interaction the effect varies between units, and the interval says so
    scm = SCM(TRIANGLE, {"y": Linear([0.0]), "z": AdditiveNoise(lambda p: p[0] * p[1])}, {n: Normal() for n in "xyz"})
    estimate = scm.ate("x", "z", n=5000)
    assert 0 < float(estimate.error) < 0.03 and abs(float(estimate)) < 4 * float(estimate.error)


def test_partial_observation_agrees_with_the_gaussian_posterior():
    # only z = x - y + u_z = -u_x - u_y' + ... is seen; E[x | z] = cov(x, z) / var(z) z = -z / 3
    z = torch.tensor([1.5, -0.6], dtype=torch.float64)
    cf = HAND.counterfactual({"z": z}, {"y": Add(1.0)}, particles=20_000)
    assert torch.allclose(cf["x"], -z / 3, atol=0.03)
    assert torch.allclose(cf["y"], -z + 1, atol=0.05)  # E[y | z] = -3/3 z, and one more
    assert torch.allclose(cf["z"], z - 1, atol=1e-9)  # certain: every particle of a unit agrees
    assert cf.draws.shape == (20_000, 2, 3) and torch.allclose(cf.weights.sum(0), torch.ones(2, dtype=torch.float64))
    assert ((cf.effective_sample_size > 1000) & (cf.effective_sample_size < 20_000)).all()
    assert "unobserved" in cf.assumption
    assert HAND.counterfactual(UNIT, {"x": 0.0}).assumption == ""
    posterior = (cf.draws[..., 0].square() * cf.weights).sum(0) - cf["x"] ** 2
    assert torch.allclose(posterior, torch.full_like(posterior, 1 - 1 / 3), atol=0.05)  # 1 - cov^2 / var


def test_observed_variables_outside_the_action_keep_their_bits():
    s = HAND.sample(5, seed=1)
    cf = HAND.counterfactual({"x": s["x"], "y": s["y"]}, {"y": 0.0}, particles=50)
    assert torch.equal(cf["x"], s["x"]) and (cf["y"] == 0).all()


def test_particles_do_not_know_the_noise_that_units_were_drawn_with():
    s = HAND.sample(2000, seed=0)
    cf = HAND.counterfactual({"x": s["x"]}, {}, seed=0)
    drawn, true = cf["y"] - 2 * s["x"], s.noise[:, 1]
    assert abs(float(torch.corrcoef(torch.stack([drawn, true]))[0, 1])) < 0.09


def test_mechanisms_without_inverse():
    graph = CausalGraph(["x", "y", "z"], [("x", "y"), ("y", "z")])
    square = Function(lambda p, u: p[0] + u**2, bandwidth=0.05)
    scm = SCM(graph, {"y": square, "z": Linear([1.0])}, {n: Normal() for n in "xyz"})
    s = scm.sample(4, seed=2, dtype=torch.float64)
    cf = scm.counterfactual(s.values, {"x": 0.0}, particles=5000)
    assert torch.allclose(cf["y"], s["y"] - s["x"], atol=0.06)  # u^2 is known although its sign is not
    assert "kernel" in cf.assumption and (cf.effective_sample_size < 5000).all()
    for call in (lambda: scm.abduct(s.values), lambda: scm.log_prob(s.values)):
        with pytest.raises(CounterfactoryError, match="cannot be inverted"):
            call()


def test_impossible_observations_are_refused():
    graph = CausalGraph(["x", "y"], [("x", "y")])
    scm = SCM(graph, {"y": Linear([1.0])}, {"x": Uniform(0, 1), "y": Deterministic()})
    with pytest.raises(CounterfactoryError, match="no probability"):
        scm.counterfactual({"y": torch.tensor([5.0])}, {"x": 0.0}, particles=10)


def test_modules_are_called_in_their_own_precision():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(1, 4), nn.Tanh(), nn.Linear(4, 1))

    class OnColumns(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net

        def forward(self, parents):
            return self.net(parents.T)[:, 0]

    scm = SCM(CausalGraph(["x", "y"], [("x", "y")]), {"y": AdditiveNoise(OnColumns())}, {"x": Normal(), "y": Normal()})
    with torch.no_grad():
        s = scm.sample(10)
        assert torch.allclose(scm.abduct(s.values), s.noise, atol=1e-5)
        assert torch.equal(scm.counterfactual(s.values, {"x": s["x"]}).values, s.values)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: HAND.sample(0), "no units"),
        (lambda: HAND.abduct(torch.zeros(2, 4)), "observed has the wrong shape"),
        (lambda: HAND.abduct(torch.tensor([[1.0, torch.nan, 0.0]])), "observed is not finite"),
        (lambda: HAND.predict(torch.zeros(2, 2)), "noise has the wrong shape"),
        (lambda: HAND.predict(torch.full((2, 3), torch.inf)), "noise is not finite"),
        (lambda: HAND.counterfactual({"q": torch.zeros(2)}, {}), "unknown observed variable"),
        (lambda: HAND.counterfactual({"x": torch.tensor([torch.inf])}, {}), "not finite"),
        (lambda: HAND.counterfactual({"x": torch.zeros(2), "y": torch.zeros(3)}, {}), "wrong shapes"),
        (lambda: HAND.counterfactual({}, {}), "wrong shapes"),
        (lambda: HAND.counterfactual({"x": torch.zeros(2)}, {}, particles=0), "too few particles"),
        (lambda: SCM(TRIANGLE, {"y": Linear([1.0])}, HAND.noise), "'z' has parents but no mechanism"),
        (lambda: SCM(TRIANGLE, HAND.mechanisms, {"x": Normal()}), "'y' has no noise"),
        (lambda: SCM(TRIANGLE, {"q": Linear()}, {}), "unknown variable that has a mechanism"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(CounterfactoryError, match=message):
        call()


def test_a_mechanism_of_the_wrong_shape_is_named():
    wrong = SCM(TRIANGLE, HAND.mechanisms | {"y": Invertible(lambda p, u: p, lambda p, x: x)}, HAND.noise)
    with pytest.raises(CounterfactoryError, match="mechanism of 'y' returned a wrong shape"):
        wrong.sample(4)
