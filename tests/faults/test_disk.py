"""Disks that are full, cannot be written, or are used twice; see `docs/faults.md`.

Damage of each file in turn is tested in `tests/runs/test_checkpoint.py`.
"""

from __future__ import annotations

import contextlib
import gc
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from snnjax.runs import CheckpointError, RunFolderError, restore, train
from snnjax.runs.checkpoint import Checkpoints
from snnjax.runs.writer import MetricsWriter
from tests.runs.test_run import assert_same_run, copy_of
from tests.train.tiny import tiny_experiment

# Tensorstore's threads complain to an event loop that is closed after such an error.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def mount(*words: str) -> None:
    program = shutil.which("mount")
    if program is None:
        pytest.skip("there is no `mount` here, which makes the small disk of this test")
    done = subprocess.run([program, *words], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a file system of its own cannot be mounted here: {done.stderr.strip()}")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB; needs the right to mount."""
    path = tmp_path / "disk"
    path.mkdir()
    mount("-t", "tmpfs", "-o", "size=4m", "snnjax-test", str(path))
    yield path
    subprocess.run([str(shutil.which("umount")), "--lazy", str(path)], check=True)


def fill(folder: Path) -> None:
    """Write until nothing goes in any more, once the checkpoint of step 4 is complete."""
    while not (folder / "tiny-0" / "checkpoints" / "4").exists():
        time.sleep(0.001)
    with contextlib.suppress(OSError), (folder / "ballast").open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass


@pytest.mark.parametrize("foreseen", [True, False])
def test_a_disk_that_fills_up_costs_the_steps_since_the_last_checkpoint(
    finished: tuple[Path, dict[str, Any]],
    disk: Path,
    monkeypatch: pytest.MonkeyPatch,
    foreseen: bool,
) -> None:
    """It is full from step 5 on; whether or not that is seen before orbax writes."""
    write = MetricsWriter.write

    def filling(self: MetricsWriter, row: dict[str, Any]) -> None:
        write(self, row)
        if row["step"] == 5:
            fill(disk)
            self.flush = lambda: None  # the checkpoint comes first

    with monkeypatch.context() as patch:
        patch.setattr(MetricsWriter, "write", filling)
        if not foreseen:
            patch.setattr(Checkpoints, "_check_room", lambda *_: None)
        why = "disk full: 0.0 MB are free" if foreseen else "No space left on device"
        message = rf"cannot write .*{why}.* The checkpoint of step 4 is intact; make room, then"
        with pytest.raises(CheckpointError, match=message):
            train(tiny_experiment(disk), progress=False)
    gc.collect()  # late complaints belong to this test
    (disk / "ballast").unlink()
    assert restore(disk / "tiny-0").step == 4
    train(tiny_experiment(disk), resume=True, progress=False)
    assert_same_run(disk / "tiny-0", finished[0])


def test_metrics_that_cannot_be_written_stop_the_run(
    finished: tuple[Path, dict[str, Any]], disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = MetricsWriter.write

    def filling(self: MetricsWriter, row: dict[str, Any]) -> None:
        write(self, row)
        if row["step"] == 5:
            fill(disk)
            write(self, {"step": 5, "filler": "x" * 9000})  # no page of the file has room for it
            self.flush()

    with monkeypatch.context() as patch:
        patch.setattr(MetricsWriter, "write", filling)
        message = r"cannot write .*metrics\.jsonl: No space left on device\. Make room, then resume"
        with pytest.raises(RunFolderError, match=message):
            train(tiny_experiment(disk), progress=False)
    (disk / "ballast").unlink()
    assert restore(disk / "tiny-0").step == 4
    train(tiny_experiment(disk), resume=True, progress=False)
    assert_same_run(disk / "tiny-0", finished[0])


def test_a_folder_that_cannot_be_written_is_told_before_anything_is_done(
    finished: tuple[Path, dict[str, Any]], disk: Path
) -> None:
    folder = copy_of(finished[0], disk)
    mount("-o", "remount,ro", str(disk))
    with pytest.raises(RunFolderError, match=r"cannot write in .*new: Read-only file system"):
        train(tiny_experiment(disk), run_folder=disk / "new", progress=False)
    with pytest.raises(RunFolderError, match=r"cannot write in .*: Read-only file system"):
        train(None, run_folder=folder, resume=True, progress=False)
    assert restore(folder).step == 12


def test_a_second_run_leaves_the_first_alone(
    finished: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It starts while the first is at its fifth step."""
    pytest.importorskip("fcntl")
    write, refused = MetricsWriter.write, []

    def starting(self: MetricsWriter, row: dict[str, Any]) -> None:
        write(self, row)
        if row["step"] == 5:
            folder = tmp_path / "tiny-0"
            with pytest.raises(RunFolderError, match="in use by another process") as caught:
                train(None, run_folder=folder, resume=True, progress=False)
            refused.append(str(caught.value))

    monkeypatch.setattr(MetricsWriter, "write", starting)
    train(tiny_experiment(tmp_path), progress=False)
    assert len(refused) == 1
    assert_same_run(tmp_path / "tiny-0", finished[0])
