from __future__ import annotations

import subprocess
import sys
import time

import pytest

from snnjax.runs.deadline import Deadline, process_seconds


def test_time_counts_from_the_start_of_the_process() -> None:
    program = (
        "import time; time.sleep(0.5); from snnjax.runs.deadline import process_seconds as s;"
        "first = s(); time.sleep(0.1); print(first, s())"
    )
    began = time.monotonic()
    said = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=100
    ).stdout.split()
    most = time.monotonic() - began
    first, second = map(float, said)
    assert second - first > 0.09
    if sys.platform == "linux":
        assert 0.5 < first < second < most + 0.05  # it is told in hundredths


def test_a_jump_of_the_clock_is_not_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    before = process_seconds()
    monkeypatch.setattr(time, "time", lambda: 4e9)
    assert 0 <= process_seconds() - before < 100


@pytest.mark.parametrize(
    ("now", "step", "save", "evaluation", "stop"),
    [
        (0.0, 0.0, 0.0, 0.0, False),
        (3597.0, 0.0, 0.0, 0.0, False),
        (3599.0, 0.0, 0.0, 0.0, True),  # two seconds to leave
        (3000.0, 100.0, 198.0, 0.0, False),
        (3000.0, 100.0, 200.0, 0.0, True),  # twice what they took
        (3000.0, 100.0, 100.0, 100.0, True),
        (4000.0, 0.0, 0.0, 0.0, True),
    ],
)
def test_another_step_must_leave_time_to_save(
    now: float, step: float, save: float, evaluation: float, stop: bool
) -> None:
    deadline = Deadline(1.0, clock=lambda: now)
    deadline.step, deadline.save = step, save
    assert deadline.reached(evaluation=evaluation) is stop


def test_several_steps_must_fit_where_nothing_can_stop_them() -> None:
    deadline = Deadline(1.0, clock=lambda: 3000.0)
    deadline.step = 150.0
    assert not deadline.reached(evaluation=0.0)
    assert deadline.reached(evaluation=0.0, steps=3)


def test_no_limit_is_never_reached() -> None:
    assert not Deadline(None, clock=lambda: 1e12).reached(evaluation=1e12)


@pytest.mark.parametrize("hours", [0.0, -1.0, float("nan"), float("inf")])
def test_a_limit_that_is_none_is_refused(hours: float) -> None:
    with pytest.raises(ValueError, match=r"`max_hours` must be above 0; got"):
        Deadline(hours)
