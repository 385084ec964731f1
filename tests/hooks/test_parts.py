from collections import namedtuple
from dataclasses import dataclass

import pytest
import torch
from diffusers.models.autoencoders.vae import DecoderOutput
from transformers.modeling_outputs import BaseModelOutput

from counterfactory.errors import CounterfactoryError
from counterfactory.hooks import parts

Pair = namedtuple("Pair", "a b")
X, Y, NEW = torch.zeros(2), torch.ones(2), torch.full((2,), 5.0)


@dataclass
class Held:
    name: str
    value: torch.Tensor


@pytest.mark.parametrize(
    ("holder", "part", "key"),
    [
        (X, None, None),
        ((X, Y), None, 0),
        ((X, Y), 1, 1),
        (("text", X), None, 1),
        (Pair(X, Y), 1, 1),
        ([X, Y], 0, 0),
        ({"a": X, "b": Y}, "b", "b"),
        (BaseModelOutput(last_hidden_state=X), None, "last_hidden_state"),
        (DecoderOutput(sample=X), None, "sample"),
        (Held("x", X), None, "value"),
        ((torch.tensor(0.5), X), None, 1),
    ],
    ids=lambda v: type(v).__name__,
)
def test_one_tensor_is_exchanged_and_the_type_stays(holder, part, key):
    assert parts.locate(holder, part, "m") == key
    changed = parts.put(holder, key, NEW)
    assert type(changed) is type(holder) and parts.get(changed, key) is NEW
    assert parts.get(holder, key) is not NEW
    if isinstance(holder, BaseModelOutput):
        assert changed.last_hidden_state is NEW and changed[0] is NEW and holder.last_hidden_state is X


@pytest.mark.parametrize(("holder", "part"), [((X, Y), 2), ({"a": X}, "b"), ("text", None), (X, 1), ((X, "text"), 1)])
def test_a_missing_tensor_is_an_error(holder, part):
    with pytest.raises(CounterfactoryError, match="no such tensor at 'm'"):
        parts.locate(holder, part, "m")
