"""The window of loss terms: nothing is read before `settle`, and the first value that is not finite is named."""

import pytest
import torch
from accelerate import Accelerator

from counterfactory.errors import CounterfactoryError
from counterfactory.training.terms import Window


@pytest.fixture
def window() -> Window:
    return Window(Accelerator())


def test_means_over_the_steps_each_term_is_in(window: Window) -> None:
    window.add(1, {"total": torch.tensor(1.0)})
    window.add(2, {"total": torch.tensor(2.0, dtype=torch.double), "late": torch.tensor(3)})
    assert window.values == {}
    window.settle()
    assert window.means() == {"total": 1.5, "late": 3.0}
    window.add(3, {"total": torch.tensor(6.0)})
    window.settle()
    window.settle()  # nothing new
    assert window.means() == {"total": 3.0, "late": 3.0}


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_the_first_bad_one_is_named(bad: float, window: Window) -> None:
    for step in range(1, 9):
        fine = torch.tensor(1.0)
        window.add(
            step, {"total": fine if step < 6 else torch.tensor(bad), "kl": torch.tensor(bad) if step > 4 else fine}
        )
    with pytest.raises(CounterfactoryError, match=f"'kl' became {bad} at step 5"):
        window.settle()
