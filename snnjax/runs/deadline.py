"""The time limit of a run: when to stop so that the last save is complete before the end."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from pathlib import Path

_IMPORTED = time.monotonic()
_RESERVE = 2.0  # seconds for the process to exit


def process_seconds() -> float:
    """Seconds since this process started, by a monotonic clock.

    Where the system does not provide it, since this module was imported.
    """
    try:
        fields = Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        began = int(fields[19]) / os.sysconf("SC_CLK_TCK")  # field 22 of proc(5), after boot
        return time.clock_gettime(time.CLOCK_BOOTTIME) - began
    except (OSError, AttributeError, ValueError, IndexError):
        return time.monotonic() - _IMPORTED


class Deadline:
    """Whether another step would leave too little time to save.

    Args:
      hours: limit from the start of the process; None for no limit.
      clock: returns the seconds since then.

    Attributes:
      step: the longest step so far of this process, which includes compilation.
      save: seconds of a save, until it is complete.

    Raises:
      ValueError: `hours` is not above 0.

    >>> deadline = Deadline(1.0, clock=lambda: 3500.0)
    >>> deadline.step, deadline.save = 10.0, 15.0
    >>> deadline.reached(evaluation=0.0), deadline.reached(evaluation=30.0)
    (False, True)
    """

    def __init__(self, hours: float | None, clock: Callable[[], float] = process_seconds):
        if hours is not None and not (hours > 0 and math.isfinite(hours)):
            raise ValueError(f"`max_hours` must be above 0; got {hours}.")
        self.hours, self._clock = hours, clock
        self.step = 0.0
        self.save = 0.0

    def reached(self, *, evaluation: float, steps: int = 1) -> bool:
        """Whether to stop now instead of taking one more step.

        Twice the time measured before must fit, since the work may take longer:

            elapsed + 2 * (steps * step + evaluation + save) + 2 s > limit

        Args:
          evaluation: seconds of the evaluation that comes with the next steps; 0 for none.
          steps: number of steps until the next check.
        """
        if self.hours is None:
            return False
        needed = 2 * (steps * self.step + evaluation + self.save) + _RESERVE
        return self._clock() + needed > 3600 * self.hours
