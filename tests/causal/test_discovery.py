"""Discovery: exact answers give exact classes, data give the same answers as the peers, and nothing crashes."""

import itertools
import warnings

import numpy as np
import pytest
import torch
from scipy import stats

from counterfactory.causal import (
    CPDAG,
    CausalGraph,
    CausalLearnTest,
    ChiSquare,
    DiscreteSCM,
    DSeparation,
    Exponential,
    FisherZ,
    LinearSCM,
    Normal,
    adjacencies,
    direct_lingam,
    discovery,
    ges,
    notears,
    pc,
    shd,
    varsortability,
)
from counterfactory.causal.linear_discovery import causal_order
from counterfactory.errors import CounterfactoryError


def linear(seed: int, d: int, degree: float, noise=None, smallest: float = 0.5) -> LinearSCM:
    """Random graph, random signs, weights between `smallest` and 2."""
    graph, rng = CausalGraph.random(d, degree, seed), np.random.default_rng(seed)
    weights = {edge: float(rng.choice([-1, 1]) * rng.uniform(smallest, 2)) for edge in graph.edges}
    return LinearSCM(graph, weights, {name: noise or Normal() for name in graph.nodes})


def array(model: LinearSCM, n: int, seed: int = 0) -> np.ndarray:
    return model.sample(n, seed=seed).values.double().numpy()


def questions(d: int, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All pairs with all sets of one size."""
    asked = [
        (i, j, s)
        for i, j in itertools.combinations(range(d), 2)
        for s in itertools.combinations([v for v in range(d) if v not in (i, j)], size)
    ]
    x, y, given = zip(*asked, strict=True)
    return np.array(x), np.array(y), np.array(given, dtype=int).reshape(len(asked), size)


# ---- tests of independence ----


@pytest.mark.parametrize("size", [0, 1, 2, 3])
def test_fisher_is_the_correlation_of_residuals(size: int) -> None:
    data = array(linear(0, 5, 2.0, smallest=0.05), 60)
    x, y, given = questions(5, size)
    for p, i, j, s in zip(FisherZ(data)(x, y, given), x, y, given, strict=True):
        others = np.column_stack([np.ones(60), data[:, s]])
        left = [data[:, v] - others @ np.linalg.lstsq(others, data[:, v], rcond=None)[0] for v in (i, j)]
        z = np.sqrt(60 - size - 3) * np.arctanh(np.corrcoef(*left)[0, 1])
        assert p == pytest.approx(2 * stats.norm.sf(abs(z)), rel=1e-8, abs=1e-300)


def test_fisher_rejects_a_true_independence_as_often_as_it_says() -> None:
    model = LinearSCM(CausalGraph("xyz", [("x", "y"), ("y", "z")]), {("x", "y"): 1.0, ("y", "z"): -2.0})
    rows = array(model, 400 * 40).reshape(400, 40, 3)
    x, z, y = np.array([0]), np.array([2]), np.array([[1]])
    found = [FisherZ(part)(x, z, y)[0] for part in rows]
    assert stats.kstest(found, "uniform").pvalue > 0.01
    assert max(FisherZ(part)(x, z, np.empty((1, 0), int))[0] for part in rows) < 0.1


def test_what_data_cannot_tell_is_nan_and_separates_nothing() -> None:
    rng = np.random.default_rng(0)
    free = rng.normal(size=(50, 3))
    data = np.column_stack([free, free[:, 0], free[:, 0] + free[:, 1]])  # x3 = x0, x4 = x0 + x1
    test = FisherZ(data)

    def asked(x: int, y: int, *given: int) -> float:
        return float(test(np.array([x]), np.array([y]), np.array([given], dtype=int).reshape(1, -1))[0])

    assert np.isnan(asked(0, 3)) and np.isnan(asked(1, 2, 0, 4)) and np.isnan(asked(0, 2, 3))
    assert asked(1, 2, 0) == pytest.approx(asked(2, 1, 0)) and asked(0, 2) > 0.05
    few = FisherZ(free[:4])(*questions(3, 1))
    assert np.isnan(few).all() and not np.isnan(FisherZ(free[:5])(*questions(3, 1))).any()
    found = pc(data)
    assert {("x0", "x3")} <= {*found.directed, *found.undirected}


def test_chi_square_is_that_of_scipy_summed_over_levels() -> None:
    rng = np.random.default_rng(1)
    data = rng.integers(0, (2, 3, 2), size=(200, 3))
    data[:, 1] = np.where(rng.random(200) < 0.3, data[:, 0], data[:, 1])
    one, two, none = np.array([0]), np.array([1]), np.empty((1, 0), int)
    for name, power in (("pearson", 1), ("g", 0)):
        test = ChiSquare(data * 10 - 3, statistic=name)
        theirs = stats.chi2_contingency(stats.contingency.crosstab(data[:, 0], data[:, 1])[1], False, power)
        assert test(one, two, none)[0] == pytest.approx(theirs.pvalue)
        layers = [data[data[:, 2] == v] for v in (0, 1)]
        parts = [stats.chi2_contingency(stats.contingency.crosstab(a[:, 0], a[:, 1])[1], False, power) for a in layers]
        total = stats.chi2.sf(sum(p.statistic for p in parts), sum(p.dof for p in parts))
        assert test(one, two, np.array([[2]]))[0] == pytest.approx(total)
    apart = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 2]])  # one row a level: no freedom left
    assert np.isnan(ChiSquare(apart)(one, two, np.array([[2]]))[0])


def test_peers_give_the_same_p_values() -> None:
    pytest.importorskip("causallearn")
    data = array(linear(3, 5, 2.0), 80)
    levels = np.digitize(data, [-1.0, 0.5])
    for size in (0, 1, 2):
        asked = questions(5, size)
        assert np.allclose(FisherZ(data)(*asked), CausalLearnTest(data, "fisherz")(*asked), atol=1e-12)
        for ours, theirs in (("pearson", "chisq"), ("g", "gsq")):
            own = ChiSquare(levels, statistic=ours)(*asked)
            assert np.allclose(np.nan_to_num(own, nan=1.0), CausalLearnTest(levels, theirs)(*asked), atol=1e-12)


def test_the_kernel_test_sees_what_correlation_does_not() -> None:
    pytest.importorskip("causallearn")
    x = np.random.default_rng(0).normal(size=(80, 1))
    data = np.hstack([x, x**2])
    asked = questions(2, 0)
    assert CausalLearnTest(data, "kci")(*asked)[0] < 0.01 < FisherZ(data)(*asked)[0]


# ---- PC ----


def test_exact_answers_give_the_exact_class() -> None:
    for seed in range(12):
        graph = CausalGraph.random(8, degree=1.5 + seed / 5, seed=seed)
        assert pc(DSeparation(graph)) == CPDAG.of(graph)


def test_the_population_gives_the_exact_class() -> None:
    for seed in range(12):
        model = linear(seed, 10, 3.0)
        test = FisherZ.from_covariance(model.mean_cov()[1].numpy(), 10**9, model.graph.nodes)
        assert pc(test, level=1e-3) == CPDAG.of(model.graph)


def test_many_rows_of_levels_give_the_class() -> None:
    graph = CausalGraph("abcd", [("a", "c"), ("b", "c"), ("c", "d")])
    c = torch.tensor([[[0.9, 0.1], [0.4, 0.6]], [[0.5, 0.5], [0.05, 0.95]]])
    tables = {"a": [0.5, 0.5], "b": [0.4, 0.6], "d": [[0.8, 0.2], [0.3, 0.7]]}
    model = DiscreteSCM(graph, {"c": c} | {name: torch.tensor(table) for name, table in tables.items()})
    assert pc(ChiSquare(model.sample(5000, seed=0)), level=0.01) == CPDAG.of(graph)


def test_samples_bring_their_names_and_batches_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = linear(5, 9, 4.0).sample(400, seed=5)
    whole = pc(drawn)
    assert whole.nodes == drawn.names and pc(drawn.values, names="abcdefghi").nodes == tuple("abcdefghi")
    monkeypatch.setattr(discovery, "BATCH", 3)
    assert pc(drawn) == whole


def test_the_skeleton_does_not_depend_on_the_order_of_variables() -> None:
    data = array(linear(6, 10, 4.0), 300)
    names = [f"x{i}" for i in range(10)]
    whole = pc(data)
    for seed in range(5):
        turned = np.random.default_rng(seed).permutation(10)
        assert adjacencies(whole, pc(data[:, turned], [names[i] for i in turned])).f1 == 1.0


def test_sets_no_larger_than_asked() -> None:
    graph = CausalGraph("axyb", [("a", "x"), ("a", "y"), ("b", "x"), ("b", "y")])  # x and y need both a and b
    full, half = pc(DSeparation(graph)), pc(DSeparation(graph), largest=1)
    assert full == CPDAG.of(graph)
    assert set(half.directed) | set(half.undirected) == {*full.directed, *full.undirected, ("x", "y")}


def test_the_peer_finds_the_same() -> None:
    peer = pytest.importorskip("causallearn.search.ConstraintBased.PC")
    same = 0
    for seed in range(6):
        data = array(linear(seed, 8, 3.0), 300)
        ours = pc(data)
        theirs = CPDAG.from_causal_learn(peer.pc(data, 0.05, show_progress=False), ours.nodes)
        assert adjacencies(theirs, ours).f1 == 1.0
        if next(ours.dags(), None) is not None:  # contradictory answers are directed in another order
            assert ours == theirs
            same += 1
    assert same >= 4


# ---- GES ----


def test_ges_finds_the_class_and_a_penalty_makes_it_sparser() -> None:
    pytest.importorskip("causallearn")
    model = linear(1, 5, 2.0)
    drawn = model.sample(1500, seed=1)
    assert ges(drawn) == CPDAG.of(model.graph)
    few = ges(drawn, penalty=300.0)
    assert len(few.directed) + len(few.undirected) < len(model.graph.edges)


def test_ges_on_levels() -> None:
    pytest.importorskip("causallearn")
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 2, (2, 600))
    c = np.where(rng.random(600) < 0.15, 1 - (a | b), a | b)
    assert ges(np.stack([a, b, c], 1), "abc", score="bdeu").directed == (("a", "c"), ("b", "c"))


# ---- linear models ----


def test_lingam_finds_the_graph_behind_skewed_noise() -> None:
    models = [linear(seed, 10, 4.0, Exponential(1.0)) for seed in range(5)]
    found = [direct_lingam(model.sample(2000, seed=s)) for s, model in enumerate(models)]
    assert sum(shd(model.graph, f.graph) <= 2 for model, f in zip(models, found, strict=True)) >= 4
    near = [float((model.weights - f.weights).abs().max()) for model, f in zip(models, found, strict=True)]
    assert np.median(near) < 0.1


def test_the_peer_finds_the_same_order_and_weights() -> None:
    peer = pytest.importorskip("causallearn.search.FCMBased.lingam")
    for seed in range(3):
        data = array(linear(seed, 6, 3.0, Exponential(1.0)), 300)
        theirs = peer.DirectLiNGAM()
        theirs.fit(data)
        assert causal_order(data, [f"x{i}" for i in range(6)]) == theirs.causal_order_
        from_to = theirs.adjacency_matrix_.T
        assert np.allclose(direct_lingam(data).weights.numpy(), from_to, atol=1e-8)


def test_what_is_found_is_a_model_to_work_with() -> None:
    graph = CausalGraph("xyz", [("x", "y"), ("y", "z")])
    model = LinearSCM(graph, {("x", "y"): 2.0, ("y", "z"): -1.0}, dict.fromkeys("xyz", Exponential(1.0)), {"y": 3.0})
    drawn = model.sample(4000, seed=0)
    found = direct_lingam(drawn, prune=0.1)
    assert found.graph == graph
    mean, covariance = found.mean_cov()
    assert torch.allclose(mean, drawn.values.double().mean(0), atol=1e-4)
    assert torch.allclose(covariance, torch.cov(drawn.values.double().T), rtol=0.05)
    ours, truth = (m.counterfactual(drawn.values[:5], {"x": 0.0}).values for m in (found, model))
    assert torch.allclose(ours, truth, atol=0.3) and not torch.allclose(ours, drawn.values[:5], atol=0.3)


def test_notears_finds_the_graph_of_equal_variances() -> None:
    models = [linear(seed, 10, 2.0) for seed in range(5)]
    found = [notears(model.sample(2000, seed=s)) for s, model in enumerate(models)]
    assert sum(shd(model.graph, f.graph) <= 2 for model, f in zip(models, found, strict=True)) >= 4


def test_notears_without_a_penalty_is_least_squares_on_its_graph() -> None:
    drawn = linear(1, 5, 2.0).sample(500, seed=1)
    found = notears(drawn, penalty=0.0)
    assert torch.allclose(found.weights, LinearSCM(found.graph).fit(drawn.values).weights, atol=5e-3)
    assert (notears(drawn, penalty=1e3).weights == 0).all()
    everything = notears(drawn, penalty=0.0, threshold=0.0).graph  # no cycle is left without a threshold either
    assert len(found.graph.edges) < len(everything.edges) <= 10 and {*found.graph.edges} <= {*everything.edges}


def test_notears_directs_by_variance_and_says_so() -> None:
    raw = scaled = 0
    for seed in range(4):
        model = linear(seed, 8, 2.0)
        data = array(model, 1000, seed)
        assert varsortability(data, model.graph) > 0.8
        raw += shd(model.graph, notears(data).graph)
        standard = (data - data.mean(0)) / data.std(0)
        assert varsortability(standard, model.graph) == 0.5
        with pytest.warns(UserWarning, match="same variance"):
            scaled += shd(model.graph, notears(standard, threshold=0.1).graph)
    assert scaled > raw + 4
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        notears(data[:, :1])  # one variable has nothing to be compared with


def test_varsortability_by_hand() -> None:
    graph = CausalGraph("xyz", [("x", "y"), ("y", "z")])
    wave = np.array([[-1.0], [1.0]])
    assert varsortability(wave * [1, 2, 3], graph) == 1.0 and varsortability(wave * [3, 2, 1], graph) == 0.0
    assert varsortability(wave * [1, 3, 2], graph) == pytest.approx(2 / 3)  # x-y and x-y-z rise, y-z falls
    assert varsortability(wave * [2, 2, 3], graph) == pytest.approx(2.5 / 3)
    assert varsortability(wave * [2, 2, 3], CausalGraph("xyz")) == 1.0


def test_bad_input_is_refused() -> None:
    good = np.random.default_rng(0).normal(size=(20, 3))
    copies = np.column_stack([good, 2 * good[:, 0]])
    for call, words in (
        (lambda: pc(good, level=1.0), "level is out of range"),
        (lambda: pc(good[0]), "data is no table"),
        (lambda: pc(np.where(good > 1, np.nan, good)), "not finite"),
        (lambda: pc(good, names="ab"), "names do not fit"),
        (lambda: pc(good * [1, 1, 0]), "does not vary"),
        (lambda: direct_lingam(good * [1, 1, 0], "abc"), "does not vary"),
        (lambda: direct_lingam(copies), "x0, x3"),
        (lambda: direct_lingam(good @ [[1, 0, 1], [0, 1, 1], [0, 0, 0]]), "functions of each other\n.*x0, x1, x2"),
        (lambda: notears(good, penalty=-1.0), "out of range"),
        (lambda: ges(good, penalty=-1.0), "out of range"),
        (lambda: varsortability(good, CausalGraph("xy")), "names do not fit"),
    ):
        with pytest.raises(CounterfactoryError, match=words):
            call()
