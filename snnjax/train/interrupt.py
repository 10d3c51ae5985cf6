"""Ctrl-C and SIGTERM as a request that the loop grants between two steps."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """While entered, the first SIGINT or SIGTERM sets `asked`; a second one acts as usual.

    Outside the main thread no handler can be installed, and signals keep their usual meaning.
    """

    def __init__(self, notify: Callable[[str], None]):
        self.asked = False
        self._notify = notify
        self._old: dict[int, Any] = {}

    def _handle(self, number: int, _: FrameType | None) -> None:
        self.asked = True
        self._restore()
        name = signal.Signals(number).name
        self._notify(f"{name}: saving after this step; once more stops at once without saving.")

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
