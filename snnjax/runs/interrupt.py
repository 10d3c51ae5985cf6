"""Ctrl-C, SIGTERM and the time limit as requests that the loop honours between steps."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)

REASONS = ("", "--max-hours", "SIGTERM", "SIGINT")
"""Reasons to stop a run. Among processes of one run, the last reason in this list counts."""

ONE_REQUEST = 1.0
"""Seconds in which further signals count as the same request: a launcher may signal a process and
its parent, which forwards it."""


class StopRequest:
    """A context in which the first SIGINT or SIGTERM requests a stop.

    A signal more than `ONE_REQUEST` seconds later has its usual effect. Outside the main thread
    no handler can be installed, and signals keep their usual meaning.

    Attributes:
      reason: index in `REASONS` of the reason to stop; 0 to continue.
    """

    def __init__(self, notify: Callable[[str], None]):
        self.reason = 0
        self._since = 0.0
        self._notify = notify
        self._old: dict[int, Any] = {}

    def request_stop(self, reason: str, text: str) -> None:
        """Request a stop for one of `REASONS`, unless requested already; `text` is reported."""
        if not self.reason:
            self.reason = REASONS.index(reason)
            self._notify(f"{reason}: {text}")

    def _handle(self, number: int, _: FrameType | None) -> None:
        now = time.monotonic()
        if self.reason and now - self._since <= ONE_REQUEST:
            return
        if self.reason:
            self._restore()
            signal.raise_signal(number)
            return
        self._since = now
        name = signal.Signals(number).name
        self.request_stop(name, "saving after this step; once more stops at once without saving.")

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
