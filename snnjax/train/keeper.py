"""The hooks of a training loop: metrics, saved states, reasons to stop."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from snnjax.train.reporter import Reporter
from snnjax.train.state import TrainState

if TYPE_CHECKING:
    from snnjax.train.loop import Loop


class Keeper:
    """Keeps only the metrics, in memory, for use in notebooks.

    `snnjax.runs` has one that writes to a run folder.

    Attributes:
      reporter: reports to the user.
      rows: rows of the metrics.
    """

    def __init__(self, reporter: Reporter):
        self.reporter = reporter
        self.rows: list[dict[str, Any]] = []

    @contextlib.contextmanager
    def watching(self, loop: Loop) -> Iterator[None]:
        """A context around all steps."""
        yield

    def write(self, row: dict[str, Any]) -> None:
        """Take a row of the metrics."""
        self.rows.append(row)

    def stop(self, loop: Loop) -> str:
        """The reason to stop before the next step; empty to continue."""
        return ""

    def stepped(self, loop: Loop, seconds: float) -> None:
        """Called after a step was launched, which took the host `seconds`."""

    def save(self, loop: Loop, state: TrainState, score: float | None) -> None:
        """Save a state, whose numbers are finite.

        Args:
          loop: the loop, with its progress. state: state after its last step.
          score: the task's goal at this step, if it was evaluated.
        """

    def stopped(self, loop: Loop, reason: str) -> None:
        """Called when training stopped early, after its state was saved; may raise."""

    def kept(self) -> str:
        """A sentence about what remains of the training after it diverged."""
        return "Nothing was saved."
