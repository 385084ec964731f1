import threading

import pytest
import torch

from counterfactory.errors import CounterfactoryError
from counterfactory.hooks import Add, Record, Scale, Site, do, record

X = torch.randn(4, 5, generator=torch.Generator().manual_seed(0))


def test_a_site_of_one_module_gives_a_tensor_and_of_several_a_dictionary(mlp):
    with record(mlp, ["0", "{0,2}"]) as run:
        mlp(X)
    assert torch.equal(run["0"], mlp[0](X))
    assert list(run["{0,2}"]) == ["0", "2"]
    assert (run.fired["0"], run.fired[Site("{0,2}")]) == (1, 2)
    with pytest.raises(CounterfactoryError, match="unknown site of this run"):
        run.fired["1"]


def test_sites_and_paths_ask_for_the_same(mlp):
    with record(mlp, "{0,2}") as run:
        mlp(X)
    assert run[Site("{0,2}")].keys() == run["{0,2}"].keys()
    assert torch.equal(run["2"], run["{0,2}"]["2"])  # the module's own name works, too


def test_several_calls_are_a_list(mlp):
    with record(mlp, "0") as run:
        mlp(X)
        mlp(2 * X)
    assert [torch.equal(a, mlp[0](x)) for a, x in zip(run.calls("0"), (X, 2 * X), strict=True)] == [True, True]
    with pytest.raises(CounterfactoryError, match="several calls"):
        run["0"]


def test_what_was_not_recorded_is_unknown(mlp):
    with do(mlp, {"0": 0.0}) as run:
        mlp(X)
    with pytest.raises(CounterfactoryError, match="unknown recorded site"):
        run["0"]
    with record(mlp, "{0,2}") as run:
        mlp(X)
    with pytest.raises(CounterfactoryError, match="several modules"):
        run.calls("{0,2}")


def test_records_are_detached_copies():
    net = torch.nn.Sequential(torch.nn.Linear(5, 4), torch.nn.ReLU(inplace=True))
    with record(net, "0") as run:
        net(X)
    assert torch.equal(run["0"], net[0](X)) and not run["0"].requires_grad


def test_record_between_ops(mlp):
    with do(mlp, {"0": [Record(), Scale(2.0)], Site("0", units=1): [Add(1.0), Record()]}) as run:
        mlp(X)
    z = mlp[0](X)
    assert torch.equal(run["0"], z) and torch.equal(run[Site("0", units=1)], 2 * z[:, 1:2] + 1)


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("units", [None, [1, 3], slice(0, 2)])
def test_gradients_at_a_site(mlp, frozen, units):
    mlp.requires_grad_(not frozen)
    site = Site("0", units=units)
    with record(mlp, site, grad=True) as run:
        loss = mlp(X).square().sum()
    z = mlp[0](X).detach().requires_grad_()
    (expected,) = torch.autograd.grad(mlp[1:](z).square().sum(), z)
    expected = expected if units is None else expected[:, units]
    loss.backward()
    assert torch.allclose(run[site].grad, expected, atol=1e-6)
    assert frozen or mlp[4].weight.grad is not None


def test_gradients_reach_what_lies_before_the_site(mlp):
    plain = torch.autograd.grad(mlp(X).sum(), mlp[0].weight)[0]
    with record(mlp, ["1", "3"], grad=True) as run:
        loss = mlp(X).sum()
    got = torch.autograd.grad(loss, [mlp[0].weight, run["1"], run["3"]])
    assert torch.equal(got[0], plain) and all(g.abs().sum() > 0 for g in got)


def test_gradients_need_grad_mode(mlp):
    with pytest.raises(CounterfactoryError, match="no gradients"), torch.no_grad(), record(mlp, "0", grad=True):
        mlp(X)


def test_bound_functions_run_inside_the_context_in_other_threads(mlp):
    plain, results = mlp(X), {}

    def work(name, fn):
        results[name] = fn(X)

    with do(mlp, {"0": 0.0}) as run:
        edited = mlp(X)
        threads = [
            threading.Thread(target=work, args=("unbound", mlp)),
            threading.Thread(target=work, args=("bound", run.bind(mlp))),
        ]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert run.fired["0"] == 2
    assert torch.equal(results["unbound"], plain) and torch.equal(results["bound"], edited)
    assert not torch.equal(plain, edited)


def test_one_bound_function_serves_many_threads(mlp):
    with do(mlp, {"0": Add(1.0)}) as run, record(mlp, "0"):
        edited, barrier, seen = mlp(X), threading.Barrier(4), []

        def work():
            barrier.wait()
            seen.extend(torch.equal(call(X), edited) for _ in range(20))

        call = run.bind(mlp)
        threads = [threading.Thread(target=work) for _ in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    assert seen == [True] * 80 and run.fired["0"] == 81
