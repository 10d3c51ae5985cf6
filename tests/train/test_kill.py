"""Kill -9 at the worst moments: the run that goes on ends as the one that was left alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from snnjax.train import read_run, train
from tests.train.test_run import arrays, rows
from tests.train.tiny import tiny_experiment

ROOT = Path(__file__).resolve().parents[2]

VICTIM = """
import os, signal, sys
from snnjax.models import MODELS
from snnjax.train import train
from snnjax.train.checkpoint import Checkpoints
from snnjax.train.writer import MetricsWriter
from tests.train.tiny import tiny, tiny_experiment

root, moment = sys.argv[1:]
MODELS["tiny"] = tiny
save, write = Checkpoints.save, MetricsWriter.write

def saving(self, step, *args, **options):
    save(self, step, *args, **options)
    if step == 6 and moment == "while a checkpoint is written":
        os.kill(os.getpid(), signal.SIGKILL)

def writing(self, row):
    if row["step"] == 8 and moment == "in the middle of a row":
        self.flush()
        self._file.write('{"split": "train", "st')
        self._file.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    write(self, row)

Checkpoints.save, MetricsWriter.write = saving, writing
resume = moment == "in the middle of a row"
train(tiny_experiment(root), resume=resume, progress=False)
"""


def run_victim(root: Path, moment: str, cache: Path) -> int:
    environment = os.environ | {
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    done = subprocess.run(
        [sys.executable, "-c", VICTIM, str(root), moment],
        env=environment,
        cwd=ROOT,
        timeout=200,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    return done.returncode


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_two_kills_change_nothing(
    finished: tuple[Path, dict[str, Any]], tmp_path: Path, compile_cache: Path
) -> None:
    folder = tmp_path / "tiny-0"
    run_victim(tmp_path, "while a checkpoint is written", compile_cache)
    assert not (folder / "summary.json").exists()
    first = read_run(folder).metrics[-1]["step"]
    assert first >= 6
    run_victim(tmp_path, "in the middle of a row", compile_cache)
    assert (folder / "metrics.jsonl").read_text().endswith('{"split": "train", "st')
    summary = train(tiny_experiment(tmp_path), resume=True, progress=False)
    assert arrays(folder) == arrays(finished[0])
    assert rows(folder) == rows(finished[0])
    assert summary["test_accuracy"] == finished[1]["test_accuracy"]
