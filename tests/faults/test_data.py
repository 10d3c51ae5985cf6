"""Data and clocks that go wrong while a run is under way; see `docs/faults.md`.

After the data are mended the run ends as the one that was left alone.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnjax.data import Batch, DataError
from snnjax.data.pipeline import BatchSource
from snnjax.runs import Interrupted, restore, train
from snnjax.runs.deadline import Deadline
from snnjax.runs.writer import MetricsWriter
from tests.runs.test_run import assert_same_run, signal_at
from tests.train.tiny import tiny_experiment


def failing(*_: object) -> Batch:
    raise RuntimeError("decoder gave up on clip 41")


def with_nan(batch: Batch) -> Batch:
    batch["points"][3, 0, 1] = np.nan
    batch["points"][5, 2, 0] = np.inf
    return batch


def unreadable(*_: object) -> Batch:
    raise OSError(5, "Input/output error", "/data/shard-3.npz")


@pytest.mark.parametrize(
    ("fault", "error", "message"),
    [
        (
            failing,
            DataError,
            r"batch of the training split .* RuntimeError: decoder gave up on clip 41\. Correct",
        ),
        (
            with_nan,
            ValueError,
            r"of the training split holds NaN or infinity in these, .*: {bad}\. ",
        ),
        (unreadable, OSError, r"Input/output error: '/data/shard-3\.npz'"),
    ],
)
def test_a_bad_batch_is_named_and_the_last_checkpoint_is_kept(
    finished: tuple[Path, dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: Callable[[Batch], Batch],
    error: type[Exception],
    message: str,
) -> None:
    """The batch of the eighth step."""
    read, bad = BatchSource.__getitem__, []

    def reading(self: BatchSource, step: int) -> Batch:
        batch = read(self, step)
        if not self.train or step != 7:
            return batch
        bad[:] = [f"{batch['index'][3]}, {batch['index'][5]}"]
        return fault(batch)

    with monkeypatch.context() as patch:
        patch.setattr(BatchSource, "__getitem__", reading)
        with pytest.raises(error) as caught:
            train(tiny_experiment(tmp_path), progress=False)
    caught.match(message.format(bad=bad[0]))
    assert restore(tmp_path / "tiny-0").step == 6
    train(tiny_experiment(tmp_path), resume=True, progress=False)
    assert_same_run(tmp_path / "tiny-0", finished[0])


def test_clocks_that_jump_change_nothing(
    finished: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A day to and fro at each row, and times of files from before the epoch to 2100."""
    jumps, jump = itertools.cycle([86_400.0, -86_400.0, 0.0]), [0.0]
    now, now_ns, write = time.time, time.time_ns, MetricsWriter.write

    def jumping(self: MetricsWriter, row: dict[str, Any]) -> None:
        write(self, row)
        jump[0] = next(jumps)

    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: now() + jump[0])
        patch.setattr(time, "time_ns", lambda: now_ns() + int(1e9 * jump[0]))
        patch.setattr(MetricsWriter, "write", jumping)
        signal_at(patch, 7)
        with pytest.raises(Interrupted):
            train(tiny_experiment(tmp_path), max_hours=1.0, progress=False)
        for when, path in zip(itertools.cycle([4e9, -1e6, 0.0]), tmp_path.rglob("*"), strict=False):
            os.utime(path, (when, when))
        train(tiny_experiment(tmp_path), resume=True, progress=False)
    assert_same_run(tmp_path / "tiny-0", finished[0])


def stop_at(monkeypatch: pytest.MonkeyPatch, step: int) -> list[float]:
    """A clock that gains six minutes with each row, and is at an hour after those of `step`.

    Steps, saves and evaluations are over in no time by it. Returns what it showed.
    """
    seen = [3600.0 - 360.0 * step]
    write = MetricsWriter.write

    def writing(self: MetricsWriter, row: dict[str, Any]) -> None:
        write(self, row)
        seen.append(seen[-1] + 360.0 * (row["split"] == "train"))

    monkeypatch.setattr(MetricsWriter, "write", writing)
    monkeypatch.setattr(
        "snnjax.runs.run.Deadline", lambda hours: Deadline(hours, clock=lambda: seen[-1])
    )
    return seen


def test_a_run_stops_before_its_time_is_over(
    finished: tuple[Path, dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with monkeypatch.context() as patch:
        seen = stop_at(patch, 7)
        with pytest.raises(Interrupted, match=r"which is saved\. Resume with") as caught:
            train(tiny_experiment(tmp_path), max_hours=1.0, progress=False)
    assert (caught.value.reason, caught.value.exit_code) == ("--max-hours", 0)
    assert "--max-hours: 1.0 h are nearly over; saving." in caplog.text
    # rows are read up to two steps late; those of step 7 bring the clock to the limit
    assert 7 <= caught.value.step <= 9
    assert restore(tmp_path / "tiny-0").step == caught.value.step
    assert seen[-1] >= 3600.0
    train(tiny_experiment(tmp_path), resume=True, max_hours=1e6, progress=False)
    assert_same_run(tmp_path / "tiny-0", finished[0])
