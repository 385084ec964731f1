import numpy as np
import pytest
import torch

from counterfactory.causal import (
    SCM,
    Add,
    AdditiveNoise,
    CausalGraph,
    CutEdge,
    Invertible,
    Laplace,
    Linear,
    LinearSCM,
    NeuralSCM,
    Normal,
    Policy,
    Replace,
    Scale,
    Set,
    combine,
)
from counterfactory.errors import CounterfactoryError

GRAPH = CausalGraph(["x", "y", "z", "w"], [("x", "y"), ("x", "z"), ("y", "z"), ("z", "w")])
PLAIN = SCM(
    GRAPH,
    {
        "y": AdditiveNoise(lambda p: torch.sin(p[0])),
        "z": Invertible(lambda p, u: (p[0] - p[1] + u) ** 3, lambda p, x: x.sign() * x.abs() ** (1 / 3) - p[0] + p[1]),
        "w": Linear([0.5], 1.0),
    },
    {name: Normal() for name in GRAPH.nodes},
)
MODELS = {
    "plain": PLAIN,
    "linear": LinearSCM(GRAPH, {("x", "y"): 2, ("x", "z"): 1.0, ("y", "z"): -1, ("z", "w"): 0.5}, intercept={"w": 1}),
    "neural": NeuralSCM(GRAPH, hidden=8, kind="spline"),
}
N = 64
ROW = torch.linspace(-1, 1, N)


def test_set_add_and_scale_are_functions_of_the_natural_value():
    natural = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(Set(0.5)(natural), torch.full_like(natural, 0.5))
    assert torch.equal(Add(torch.ones(3, 1, 1))(natural), natural + 1)
    assert torch.equal(Scale(2)(natural), natural * 2)
    per_unit = torch.arange(2.0).view(2, 1, 1, 1)
    assert torch.equal(Set(per_unit)(natural), per_unit.expand_as(natural))
    assert Set(1)(natural.double()).dtype == torch.float64


def test_values_that_do_not_fit_are_refused():
    for wrong in (torch.ones(5), torch.ones(2, 2, 3, 4)):
        with pytest.raises(CounterfactoryError, match="does not fit"):
            Add(wrong)(torch.zeros(2, 3, 4))
    with pytest.raises(CounterfactoryError, match="needs a structural causal model"):
        Set(Normal())(torch.zeros(3))


def test_two_interventions_on_one_variable_are_refused():
    assert combine({"x": 1.0}, {"y": Add(2.0)}).keys() == {"x", "y"}
    with pytest.raises(CounterfactoryError, match="two interventions on 'x'"):
        combine({"x": 1.0}, {"x": Add(2.0)})


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_what_each_intervention_does(model):
    s = model.sample(N, seed=3)
    shifted, scaled = model.sample(N, seed=3, do={"y": Add(ROW)}), model.sample(N, seed=3, do={"y": Scale(-2.0)})
    assert torch.allclose(shifted["y"], s["y"] + ROW) and torch.allclose(scaled["y"], -2 * s["y"])
    assert torch.allclose(model.sample(N, seed=3, do={"y": Scale(ROW)})["y"], ROW * s["y"])
    policy = model.sample(N, seed=3, do={"y": Policy(lambda p: 3 * p[0], ["x"])})
    assert torch.allclose(policy["y"], 3 * s["x"])
    replaced = model.sample(N, seed=3, do={"y": Replace(mechanism=Linear([7.0], 1.0))})
    assert torch.allclose(replaced["y"], 7 * s["x"] + 1 + s.noise[:, 1], atol=1e-5)
    noisy = model.sample(2000, seed=3, do={"x": Replace(noise=Normal(5, 0.1))})
    assert abs(float(noisy["x"].mean()) - 5) < 0.01
    drawn = model.sample(20_000, seed=3, do={"z": Normal(2, 0.5)})
    assert abs(float(drawn["z"].mean()) - 2) < 0.02 and abs(float(drawn["z"].std()) - 0.5) < 0.02
    assert abs(float(torch.corrcoef(torch.stack([drawn["z"], drawn["x"]]))[0, 1])) < 0.03
    cut = model.sample(N, seed=3, do={"z": CutEdge({"x": ROW})})
    other = model.sample(N, seed=3, do={"x": ROW, "y": s["y"]})
    assert torch.allclose(cut["z"], other["z"], atol=1e-5) and torch.equal(cut["x"], s["x"])
    assert torch.equal(cut["y"], s["y"])


DOS = {
    "set": {"y": 0.7},
    "zero-dimensional": {"y": torch.tensor(0.7)},
    "add": {"y": Add(1.5), "x": Add(-0.5)},
    "scale": {"z": Scale(0.5)},
    "scale to zero": {"z": Scale(0.0)},
    "cut": {"z": CutEdge({"x": 1.0})},
    "cut both": {"z": CutEdge({"y": 1.0, "x": -1.0})},
    "mechanism": {"z": Replace(mechanism=Linear([1.0, 2.0]))},
    "policy": {"x": Policy(lambda p: p[0] * 2, ["v"]), "w": Policy(lambda p: p[0] - p[1], ["z", "x"])},
    "several": {"x": Scale(2), "y": CutEdge({"x": 0.5}), "w": 1.0},
}


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("do", DOS.values(), ids=DOS)
def test_the_model_after_do_is_the_model_under_do(model, do):
    if "x" in do and isinstance(do["x"], Policy):
        do = {"w": do["w"]}
    after = model.do(do)
    # noise of variables that were set is not used; the rest is the same unit
    noise = model.sample(N, seed=1, dtype=torch.float64).noise
    own = noise.clone()
    for i, name in enumerate(GRAPH.nodes):
        if name in do and after.noise[name] is not model.noise[name]:
            own[:, i] = 0
    under = model.predict(noise, do)
    assert torch.allclose(after.predict(own), under, atol=1e-9)
    exact = [i for i, name in enumerate(GRAPH.nodes) if after.noise[name] is model.noise[name]]
    assert torch.allclose(after.abduct(under)[:, exact], own[:, exact], atol=1e-6)
    cut = {("x", "z"), ("y", "z")} if "z" in do and isinstance(do["z"], CutEdge) and len(do["z"].values) == 2 else set()
    assert not cut & set(after.graph.edges)


def test_a_model_after_do_with_distributions_and_densities():
    after = PLAIN.do({"x": Normal(1, 2), "y": Replace(noise=Laplace())})
    assert after.noise["x"] == Normal(1, 2) and after.noise["y"] == Laplace()
    with pytest.raises(CounterfactoryError, match="unit by unit"):
        PLAIN.do({"x": ROW})
    scaled = PLAIN.do({"w": Scale(2.0)})
    values = scaled.sample(5, seed=0, dtype=torch.float64).values
    u = scaled.abduct(values)
    expected = PLAIN.do({"w": 0.0}).log_prob(torch.cat([values[:, :3], values.new_zeros(5, 1)], 1))
    assert torch.allclose(
        scaled.log_prob(values), expected + Normal().log_prob(u[:, 3]) - torch.tensor(2.0).log(), atol=1e-6
    )


def test_policies_must_not_read_what_they_influence():
    with pytest.raises(CounterfactoryError, match="reads what it influences"):
        PLAIN.sample(3, do={"x": Policy(lambda p: p[0], ["w"])})
    pair = SCM(CausalGraph(["a", "b"]), {}, {"a": Normal(), "b": Normal()})
    with pytest.raises(CounterfactoryError, match="cycle"):
        pair.sample(3, do={"a": Policy(lambda p: p[0], ["b"]), "b": Policy(lambda p: p[0], ["a"])})
    # later in node order, yet not downstream: evaluated first
    s = pair.sample(3, do={"a": Policy(lambda p: p[0] + 1, ["b"])})
    assert torch.equal(s["a"], s["b"] + 1)


@pytest.mark.parametrize(
    ("do", "message"),
    [
        ({"q": 1.0}, "unknown variable in do"),
        ({"x": float("nan")}, "not finite"),
        ({"x": Add(float("inf"))}, "not finite"),
        ({"z": CutEdge({"x": float("nan")})}, "not finite"),
        ({"x": "high"}, "no intervention on 'x'"),
        ({"x": True}, "no intervention on 'x'"),
        ({"x": torch.zeros(N + 1)}, "wrong shape"),
        ({"x": torch.zeros(1, N)}, "wrong shape"),
        ({"w": CutEdge({"x": 0.0})}, "unknown parent of 'w'"),
        ({"x": Policy(lambda p: p[0], ["q"])}, "unknown"),
    ],
)
def test_bad_interventions_are_refused(do, message):
    with pytest.raises(CounterfactoryError, match=message):
        PLAIN.sample(N, do=do)


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("do", [{"z": Replace(noise=Laplace())}, {"w": Policy(lambda p: p[0], ["y"])}, {"z": Add(1.0)}])
def test_sampling_under_do_keeps_the_bits_of_non_descendants(model, do):
    s, done = model.sample(N, seed=4), model.sample(N, seed=4, do=do)
    for name in ("x", "y") if "z" in do else ("x", "y", "z"):
        assert torch.equal(s[name], done[name])


def test_numpy_values_are_taken_as_tensors():
    row = np.linspace(0, 1, N)
    assert torch.equal(PLAIN.sample(N, do={"y": row})["y"], torch.from_numpy(row).float())
    assert torch.equal(PLAIN.sample(N, do={"y": np.int64(2)})["y"], torch.full((N,), 2.0))
