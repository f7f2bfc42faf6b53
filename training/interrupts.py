"""Ctrl-C and SIGTERM during a training."""

import signal
import sys
from types import FrameType


class Interrupts:
    """Stop at the end of a step when asked to, at once when asked twice.

    While active, the first SIGINT or SIGTERM only sets `received`; the second ends the process."""

    def __init__(self) -> None:
        self.received: signal.Signals | None = None

    def __enter__(self) -> "Interrupts":
        self._before = {number: signal.signal(number, self._handle) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.received:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        self.received = signal.Signals(number)
        print(f"\n{self.received.name}: saving after this step; once more to exit at once", file=sys.stderr, flush=True)
