"""Tables that several metrics are tested on."""

import numpy as np
import pytest


def grid(*sizes: int, repeats: int = 1) -> np.ndarray:
    """All combinations of factors with the given numbers of values, each repeated."""
    cells = np.stack(np.meshgrid(*(np.arange(s) for s in sizes), indexing="ij"), -1).reshape(-1, len(sizes))
    return cells.repeat(repeats, 0)


@pytest.fixture(scope="session")
def factors() -> np.ndarray:
    return grid(2, 3, 4, repeats=50)
