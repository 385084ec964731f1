"""Named streams: independent of each other and of what ran before."""

import random

import numpy as np
import pytest
import torch

from counterfactory.training.seeds import derive, generator, kept_globals, seed_globals


def draws() -> tuple[float, float, float]:
    return torch.rand(()).item(), np.random.rand(), random.random()  # noqa: NPY002


def test_a_stream_is_a_function_of_seed_and_name() -> None:
    assert derive(0, "order/0") == 3955691223199900983  # on every machine and version
    seeds = {derive(seed, name) for seed in range(20) for name in ("a", "b", "step/1", "step/11")}
    assert len(seeds) == 80 and all(0 <= seed < 2**63 for seed in seeds)


def test_all_global_generators_are_put_at_the_start() -> None:
    found = []
    for name in ("x", "x", "y"):
        draws()
        seed_globals(3, name)
        found.append(draws())
    assert found[0] == found[1] and all(a != b for a, b in zip(found[0], found[2], strict=True))


def test_a_generator_draws_what_it_drew_before() -> None:
    a, b, c = (torch.randn(4, generator=generator(0, name)) for name in ("n", "n", "m"))
    assert torch.equal(a, b) and not torch.equal(a, c)


def test_the_callers_generators_come_back_even_after_an_error() -> None:
    seed_globals(1, "caller")
    expected = draws()
    seed_globals(1, "caller")
    with pytest.raises(KeyError), kept_globals():
        seed_globals(2, "other")
        draws()
        raise KeyError
    assert draws() == expected
