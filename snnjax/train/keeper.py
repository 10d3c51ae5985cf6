"""What becomes of a training besides its steps: rows, saved states, reasons to stop."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from snnjax.train.reporter import Reporter
from snnjax.train.state import TrainState

if TYPE_CHECKING:
    from snnjax.train.loop import Loop


class Keeper:
    """Keeps the rows in memory and nothing else, as a notebook needs it.

    `snnjax.runs` has one that keeps a run folder.

    Attributes:
      reporter: says what happens.
      rows: the metrics.
    """

    def __init__(self, reporter: Reporter):
        self.reporter = reporter
        self.rows: list[dict[str, Any]] = []

    @contextlib.contextmanager
    def watching(self, loop: Loop) -> Iterator[None]:
        """Around all steps."""
        yield

    def write(self, row: dict[str, Any]) -> None:
        """Take a row of the metrics."""
        self.rows.append(row)

    def stop(self, loop: Loop) -> str:
        """Why to stop before the next step; empty to go on."""
        return ""

    def stepped(self, loop: Loop, seconds: float) -> None:
        """A step was launched, which took the host so long."""

    def save(self, loop: Loop, state: TrainState, score: float | None) -> None:
        """Keep a state whose numbers are finite.

        Args:
          loop: with its progress. state: after its last step.
          score: the goal of the task at this very step, if it was evaluated.
        """

    def stopped(self, loop: Loop, reason: str) -> None:
        """The training stopped early; its state is saved. Raise to say so."""

    def kept(self) -> str:
        """What is left of the training after it diverged, as a sentence."""
        return "Nothing was saved."
