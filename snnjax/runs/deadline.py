"""The time a run may take: when to stop so that its last save is complete before the end."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from pathlib import Path

_IMPORTED = time.monotonic()
_RESERVE = 2.0  # seconds to leave the process


def process_seconds() -> float:
    """Seconds since this process started, by a clock that nobody sets.

    Where the system does not tell, since this module was imported.
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
      hours: allowed from the start of the process; None for no end.
      clock: seconds since then.

    Attributes:
      step: the longest step so far of this process, so with the compilation of its program.
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
        """Whether to stop now rather than to take one more step.

        Twice what the work took before must fit, since it may take longer than it did:

            elapsed + 2 * (steps * step + evaluation + save) + 2 s > limit

        Args:
          evaluation: seconds of the evaluation that comes with the next steps; 0 for none.
          steps: how many are taken until the next time that this can stop the run.
        """
        if self.hours is None:
            return False
        needed = 2 * (steps * self.step + evaluation + self.save) + _RESERVE
        return self._clock() + needed > 3600 * self.hours
