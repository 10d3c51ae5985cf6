"""Kill -9 at the worst moments: the run that goes on ends as the one that was left alone."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from snnjax.train import read_run, train
from tests.train.test_run import arrays, rows
from tests.train.tiny import tiny_experiment

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")

VICTIM = """
import os, signal, sys, time
from snnjax.models import MODELS
from snnjax.train import train
from snnjax.train.checkpoint import Checkpoints
from snnjax.train.writer import MetricsWriter
from tests.train.tiny import tiny, tiny_experiment

root, moment = sys.argv[1:]
MODELS["tiny"] = tiny
save, write = Checkpoints.save, MetricsWriter.write

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def saving(self, step, *args, **options):
    save(self, step, *args, **options)
    if step == 6 and moment == "while a checkpoint is written":
        die()

def writing(self, row):
    if row["step"] == 8 and moment == "in the middle of a row":
        self.flush()
        self._file.write('{"split": "train", "st')
        self._file.flush()
        die()
    write(self, row)
    if row["step"] == 2 and moment == "before any checkpoint":
        self.flush()
        die()
    if moment == "from outside":
        time.sleep(0.25)  # leaves time to aim

Checkpoints.save, MetricsWriter.write = saving, writing
resume = os.path.exists(os.path.join(root, "tiny-0"))
train(tiny_experiment(root), resume=resume, progress=False)
"""


def start(root: Path, moment: str, cache: Path) -> subprocess.Popen[str]:
    environment = os.environ | {
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    return subprocess.Popen(
        [sys.executable, "-c", VICTIM, str(root), moment],
        env=environment,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def run_victim(root: Path, moment: str, cache: Path) -> None:
    """A process that kills itself at `moment`."""
    process = start(root, moment, cache)
    _, said = process.communicate(timeout=200)
    assert process.returncode == -signal.SIGKILL, said


def stop_from_outside(root: Path, number: int, after: int, cache: Path, delay: float) -> str:
    """Send a signal `delay` seconds after a checkpoint of step `after` or later appeared."""
    process = start(root, "from outside", cache)
    deadline = time.monotonic() + 200
    while newest(root / "tiny-0") < after and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(delay)
    process.send_signal(number)
    _, said = process.communicate(timeout=200)
    assert process.returncode != 0, f"ended before the signal, after a delay of {delay} s: {said}"
    return said


def newest(folder: Path) -> int:
    """The last complete checkpoint, seen from outside; 0 for none."""
    names = [p.name for p in folder.glob("checkpoints/*") if p.name.isdigit()]
    return max(map(int, names), default=0)


def check_same(folder: Path, finished: tuple[Path, dict[str, Any]]) -> None:
    summary = train(tiny_experiment(folder.parent), resume=True, progress=False)
    assert arrays(folder) == arrays(finished[0])
    assert rows(folder) == rows(finished[0])
    assert summary["test_accuracy"] == finished[1]["test_accuracy"]


def test_kills_while_saving_and_in_the_middle_of_a_row_change_nothing(
    finished: tuple[Path, dict[str, Any]], tmp_path: Path, compile_cache: Path
) -> None:
    folder = tmp_path / "tiny-0"
    run_victim(tmp_path, "while a checkpoint is written", compile_cache)
    assert not (folder / "summary.json").exists()
    first = read_run(folder).metrics[-1]["step"]
    assert first >= 6
    run_victim(tmp_path, "in the middle of a row", compile_cache)
    assert (folder / "metrics.jsonl").read_text().endswith('{"split": "train", "st')
    check_same(folder, finished)


def test_kills_before_the_first_checkpoint_and_at_any_later_moment_change_nothing(
    finished: tuple[Path, dict[str, Any]], tmp_path: Path, compile_cache: Path
) -> None:
    """Also a SIGTERM from outside, which saves, says how to go on and leaves with an error."""
    folder = tmp_path / "tiny-0"
    run_victim(tmp_path, "before any checkpoint", compile_cache)
    assert newest(folder) == 0
    assert [row["step"] for row in rows(folder)] == [1, 2]
    said = stop_from_outside(tmp_path, signal.SIGTERM, 1, compile_cache, 0.0)
    assert "Interrupted: stopped after step" in said
    assert f"run_folder={str(folder)!r}, resume=True" in said
    saved = newest(folder)
    assert 3 <= saved < 12
    assert f"stopped after step {saved}, which is saved" in said
    delay = random.uniform(0.0, 0.5)
    stop_from_outside(tmp_path, signal.SIGKILL, saved + 1, compile_cache, delay)
    check_same(folder, finished)
