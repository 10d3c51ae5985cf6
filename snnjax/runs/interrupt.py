"""Ctrl-C, SIGTERM and the end of the time as a request that the loop grants between two steps."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)

REASONS = ("", "--max-hours", "SIGTERM", "SIGINT")
"""Why a run may stop. Of processes that share one, the last of their reasons counts."""

ONE_REQUEST = 1.0
"""Seconds in which further signals are the same request: a launcher may send it to a process and
to the parent that hands it on."""


class StopRequest:
    """While entered, the first SIGINT or SIGTERM asks to stop.

    A signal that comes more than `ONE_REQUEST` seconds later acts as usual. Outside the main thread
    no handler can be installed, and signals keep their usual meaning.

    Attributes:
      asked: why to stop, as its place in `REASONS`; 0 to go on.
    """

    def __init__(self, notify: Callable[[str], None]):
        self.asked = 0
        self._since = 0.0
        self._notify = notify
        self._old: dict[int, Any] = {}

    def ask(self, reason: str, text: str) -> None:
        """Ask to stop for one of `REASONS`, unless one is there; `text` says what happens."""
        if not self.asked:
            self.asked = REASONS.index(reason)
            self._notify(f"{reason}: {text}")

    def _handle(self, number: int, _: FrameType | None) -> None:
        now = time.monotonic()
        if self.asked and now - self._since <= ONE_REQUEST:
            return
        if self.asked:
            self._restore()
            signal.raise_signal(number)
            return
        self._since = now
        name = signal.Signals(number).name
        self.ask(name, "saving after this step; once more stops at once without saving.")

    def _restore(self) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)
        self._old = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            self._old = {number: signal.signal(number, self._handle) for number in _SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()
