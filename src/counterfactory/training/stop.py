"""Ctrl-C and SIGTERM as a wish to stop, which the loop grants between two steps."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopWish:
    """While entered, the first SIGINT or SIGTERM only sets `asked`; a second Ctrl-C interrupts at once if `impatient`.

    Signals that the caller ignores stay ignored, and outside the main thread, where python allows no handlers, nothing
    is changed.
    """

    def __init__(self, impatient: bool = True) -> None:
        self.asked, self.impatient = "", impatient
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "StopWish":
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) != signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.asked and self.impatient and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.asked = signal.Signals(number).name
