import pytest
import torch

from counterfactory.errors import CounterfactoryError
from counterfactory.hooks import Site


def test_equal_sites_are_one_key():
    a, b = Site("x", tokens=[1, 2], units=slice(0, 4)), Site("x", tokens=(1, 2), units=slice(0, 4))
    assert a == b and len({a, b}) == 1
    assert a != Site("x", tokens=[1, 2], units=slice(0, 5))
    assert Site("x") != "x"


def test_tensors_in_a_site_are_compared_by_identity():
    U = torch.eye(4)[:, :2]
    assert Site("x", units=U) == Site("x", units=U)
    assert Site("x", units=U) != Site("x", units=U.clone())


def test_repr_shows_what_differs_from_the_defaults():
    assert repr(Site("block[3]", tokens=-1)) == "Site('block[3]', tokens=-1)"
    assert repr(Site("x", units=torch.eye(2))) == "Site('x', units=<tensor (2, 2)>)"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"at": "outputs"}, "did you mean 'output'"),
        ({"when": "prefil"}, "did you mean 'prefill'"),
        ({"tokens": 1, "when": "decode"}, "both tokens and a phase"),
        ({"units": torch.ones(4, 2)}, "not orthonormal"),
        ({"units": torch.ones(4)}, "not orthonormal"),
    ],
)
def test_bad_fields_are_refused(fields, words):
    with pytest.raises(CounterfactoryError, match=words):
        Site("x", **fields)
