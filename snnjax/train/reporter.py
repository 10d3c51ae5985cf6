"""Progress reports on stderr."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

_log = logging.getLogger("snnjax.train")


class Reporter:
    """A progress bar on a terminal, plain lines elsewhere, the log "snnjax.train" always.

    Args:
      shown: False writes to the log only.
      total: steps of the run.
    """

    def __init__(self, *, shown: bool, total: int = 0):
        self._console = Console(stderr=True, soft_wrap=True, highlight=False)
        self._shown = shown
        self._bar = Progress(
            TextColumn("epoch {task.fields[epoch]}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[text]}", markup=False),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            disable=not (shown and self._console.is_terminal),
            transient=True,
        )
        self._task = self._bar.add_task("steps", total=total, epoch=0, text="")

    def say(self, text: str) -> None:
        """Print a line."""
        _log.info(text)
        if self._shown:
            self._bar.console.print(text, markup=False)

    def warn(self, text: str) -> None:
        """Print a warning; without progress it goes to the log."""
        if self._shown:
            self._bar.console.print(f"warning: {text}", markup=False)
        else:
            _log.warning(text)

    def step(self, row: Mapping[str, Any], goal: str) -> None:
        """Advance the bar to a row of the metrics, and show its loss and goal."""
        text = f"loss {row['loss']:.3f}  {goal} {row[goal]:.3f}"
        self._bar.update(self._task, completed=row["step"], epoch=row["epoch"], text=text)

    def __enter__(self) -> Reporter:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
