"""Named random streams: every draw is a function of (seed, name), so nothing depends on what ran before."""

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def derive(seed: int, name: str) -> int:
    """A 63-bit seed for the stream `name` of `seed`: the head of SHA-256, the same on every machine and version.

    Example:
        >>> derive(0, "order/0") != derive(0, "order/1")
        True
    """
    head = hashlib.sha256(f"{seed}/{name}".encode()).digest()[:8]
    return int.from_bytes(head, "big") >> 1


def generator(seed: int, name: str, device: str | torch.device = "cpu") -> torch.Generator:
    """A fresh torch generator at the start of the stream `name` of `seed`.

    Example:
        >>> a, b = (torch.randn(3, generator=generator(0, "noise")) for _ in range(2))
        >>> bool((a == b).all())
        True
    """
    return torch.Generator(device=device).manual_seed(derive(seed, name))


def seed_globals(seed: int, name: str) -> None:
    """Put the global generators of torch (all devices), numpy and python at the start of the stream `name`.

    Models and data sets draw from these; a stream a step makes a resumed run draw what an uninterrupted one draws.
    """
    value = derive(seed, name)
    if torch.accelerator.is_available():
        torch.manual_seed(value)
    else:  # without devices it does this and formats three stack traces, for calls that it puts off
        torch.default_generator.manual_seed(value)
    np.random.seed(value & 0xFFFFFFFF)  # noqa: NPY002 (data sets of others draw from it)
    random.seed(value)


@contextmanager
def kept_globals() -> Iterator[None]:
    """Give the caller's global generators back as they were."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002
