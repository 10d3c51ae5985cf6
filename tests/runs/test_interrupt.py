from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import pytest

from snnjax.runs.interrupt import REASONS, StopRequest


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_asks_and_the_old_handlers_return(number: int) -> None:
    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    said: list[str] = []
    with StopRequest(said.append) as stop:
        assert stop.reason == 0
        signal.raise_signal(number)
        signal.raise_signal(number)  # the same request, by way of a parent
        assert REASONS[stop.reason] == signal.Signals(number).name
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before
    assert said == [
        f"{signal.Signals(number).name}: saving after this step; once more stops at once without "
        "saving."
    ]


@pytest.fixture
def usual_handler() -> Iterator[None]:
    """Python's own, which a process in the background of a shell does not start with."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_the_second_ctrl_c_stops_at_once(
    usual_handler: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("snnjax.runs.interrupt.ONE_REQUEST", 0.0)
    with StopRequest(lambda _: None) as stop:
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert stop.reason


def test_another_thread_leaves_the_signals_alone() -> None:
    before = signal.getsignal(signal.SIGINT)
    seen: list[object] = []

    def work() -> None:
        with StopRequest(lambda _: None) as stop:
            seen.extend([signal.getsignal(signal.SIGINT), stop.reason])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before, 0]
