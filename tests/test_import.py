"""`import counterfactory` is light, and every top-level name is there when it is asked for."""

import subprocess
import sys

import pytest
import torch

import counterfactory
from counterfactory.errors import CounterfactoryError


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_importing_leaves_torch_and_numpy_alone() -> None:
    code = "import sys, counterfactory; print('torch' in sys.modules, 'numpy' in sys.modules)"
    assert run(code) == "False False"


def test_torch_comes_with_the_first_name_that_needs_it() -> None:
    code = "import sys, counterfactory as c; c.Report, c.CounterfactoryError; a = 'torch' in sys.modules; "
    code += "c.SCM; print(a, 'torch' in sys.modules)"
    assert run(code) == "False True"


def test_every_public_name_is_there() -> None:
    for name in counterfactory.__all__:
        assert getattr(counterfactory, name) is not None, name
    assert set(counterfactory.__all__) <= set(dir(counterfactory))
    with pytest.raises(AttributeError, match="no attribute 'Scm'"):
        _ = counterfactory.Scm


def test_do_on_a_causal_model_gives_the_intervened_model() -> None:
    from counterfactory.worlds import load

    scm = load("pendulum").scm
    moved = counterfactory.do(scm, {"angle": 30.0})
    assert isinstance(moved, counterfactory.SCM)
    assert (moved.sample(4, seed=1)["angle"] == 30.0).all()
    assert torch.equal(moved.sample(4, seed=1)["light"], scm.sample(4, seed=1)["light"])
    with pytest.raises(CounterfactoryError, match="angel"):
        counterfactory.do(scm, {"angel": 30.0})


def test_do_on_a_network_acts_inside_it_and_leaves_it_as_it_was() -> None:
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU())
    x = torch.randn(2, 3)
    before = net(x)
    with counterfactory.do(net, {"0": counterfactory.Scale(0.0)}):
        assert not net(x).any()
    assert torch.equal(net(x), before)
