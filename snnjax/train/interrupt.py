"""Ctrl-C, SIGTERM and the end of the time as a request that the loop grants between two steps."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """While entered, the first SIGINT or SIGTERM asks to stop; a second one acts as usual.

    Outside the main thread no handler can be installed, and signals keep their usual meaning.

    Attributes:
      reason: why to stop: the name of the signal, or what `ask` was told; None to go on.
    """

    def __init__(self, notify: Callable[[str], None]):
        self.reason: str | None = None
        self._notify = notify
        self._old: dict[int, Any] = {}

    @property
    def asked(self) -> bool:
        """Whether to stop."""
        return self.reason is not None

    def ask(self, reason: str, text: str) -> None:
        """Ask to stop for `reason`, unless that was asked before; `text` says what happens."""
        if self.reason is None:
            self.reason = reason
            self._notify(f"{reason}: {text}")

    def _handle(self, number: int, _: FrameType | None) -> None:
        self._restore()
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
