"""Signals become a wish, and go back to who had them."""

import signal
from collections.abc import Iterator

import pytest

from counterfactory.training.stop import StopWish


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    assert {number: signal.getsignal(number) for number in before} == before


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_the_first_signal_is_only_noted(name: str) -> None:
    with StopWish() as wish:
        assert wish.asked == ""
        signal.raise_signal(getattr(signal, name))
        assert wish.asked == name


def test_a_second_ctrl_c_does_not_wait_unless_a_launcher_repeats_it() -> None:
    with StopWish():
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    with StopWish(impatient=False) as wish:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        assert wish.asked == "SIGINT"


def test_what_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with StopWish() as wish:
            signal.raise_signal(signal.SIGINT)
            assert wish.asked == ""
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
