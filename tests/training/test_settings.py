"""The learning rate as a function of the step."""

import pytest

from counterfactory.errors import CounterfactoryError
from counterfactory.training import TrainSettings, learning_rate


def rates(**changes: object) -> list[float]:
    settings = TrainSettings(steps=10, lr=1.0, **changes)  # type: ignore[arg-type]
    return [learning_rate(settings, step) for step in range(10)]


def test_the_warm_up_rises_in_equal_steps_and_ends_at_the_peak() -> None:
    assert rates(warmup_steps=4) == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1, 1, 1, 1, 1])


def test_linear_falls_in_equal_steps_to_almost_nothing() -> None:
    assert rates(schedule="linear") == pytest.approx([1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1])
    assert rates(schedule="linear", warmup_steps=5) == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 1, 0.8, 0.6, 0.4, 0.2])


def test_cosine_is_at_half_height_halfway_and_symmetric() -> None:
    found = rates(schedule="cosine")
    assert found[0] == 1 and found[5] == pytest.approx(0.5) and found == sorted(found, reverse=True)
    assert [a + b for a, b in zip(found[1:], found[:0:-1], strict=True)] == pytest.approx([1] * 9)


def test_a_warm_up_longer_than_the_run() -> None:
    assert rates(schedule="cosine", warmup_steps=100) == pytest.approx([(i + 1) / 100 for i in range(10)])


@pytest.mark.parametrize(
    "wrong", [{"steps": 0}, {"ema": 1.5}, {"lr": -1.0}, {"schedule": "step"}, {"mixed_precision": "fp8"}]
)
def test_wrong_values_are_refused(wrong: dict) -> None:
    with pytest.raises(CounterfactoryError, match=f"TrainSettings.{next(iter(wrong))}"):
        TrainSettings(**wrong)
