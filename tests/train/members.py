"""Processes of one run on this machine, as they would be on several hosts."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from snnjax.runs import read_run, restore, train
from tests.train.tiny import TinyConfig, tiny_experiment

ROOT = Path(__file__).resolve().parents[2]

CONFIG = '''"""The tiny model in float64, for tests: by rounding no spike flips."""

import os
import time

from snnjax import viz
from snnjax.nn import shard_as
from snnjax.sharding import presets
from snnjax.train.loop import Loop
from tests.train import tiny

make = tiny.Tiny.__init__


def sharded(self, *arguments, **options):
    make(self, *arguments, **options)
    shard_as(self.first, "column")
    shard_as(self.second, "row")


tiny.Tiny.__init__ = sharded
presets.SMALLEST = 24
viz.write_report = lambda folder, *_, **__: folder  # drawing takes longer than the run
viz.require_matplotlib = lambda: None
step = Loop._step


def slow(self, *arguments):
    time.sleep(float(os.environ.get("SLOW", "0")))  # leaves time to aim
    return step(self, *arguments)


Loop._step = slow
experiment = tiny.tiny_experiment(
    "runs", model=tiny.TinyConfig(dtype="float64"), mesh="data=-1", evaluate_every=3
)
'''

CLI = "import sys; sys.argv[0] = 'snnjax'; from snnjax.cli import main; sys.exit(main())"


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def environment(devices: int, cache: Path, **more: str) -> dict[str, str]:
    """Of a process with so many CPU devices, that shares the programs of the other tests."""
    return os.environ | {
        "PYTHONPATH": str(ROOT),
        "JAX_PLATFORMS": "cpu",
        "JAX_ENABLE_X64": "1",
        "JAX_NUM_CPU_DEVICES": str(devices),
        "XLA_FLAGS": "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false",
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        **more,
    }


def begin(code: str, words: Sequence[object], env: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, words)],
        env=env,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def members(
    words: Sequence[object], count: int, env: dict[str, str], *options: object
) -> list[subprocess.Popen[str]]:
    """`snnjax train WORDS` as so many processes."""
    port = free_port()
    named = ["--hosts.coordinator", f"127.0.0.1:{port}", "--hosts.count", count, *options]
    return [
        begin(CLI, ["train", *words, *named, "--hosts.index", index], env) for index in range(count)
    ]


def ends(
    processes: Sequence[subprocess.Popen[str]], timeout: float = 200
) -> list[tuple[int, str, str]]:
    """Exit code, stdout and stderr of each."""
    try:
        said = [process.communicate(timeout=timeout) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(p.returncode, out, err) for p, (out, err) in zip(processes, said, strict=True)]


@contextlib.contextmanager
def double() -> Iterator[None]:
    """What `CONFIG` does, in this process."""
    with pytest.MonkeyPatch.context() as patch, jax.enable_x64(True):
        patch.setattr("snnjax.viz.write_report", lambda folder, *_, **__: folder)
        yield


def train_here(run_folder: Path) -> Path:
    """The same run in this process, on four of its devices."""
    with double():
        experiment = tiny_experiment(
            "runs", model=TinyConfig(dtype="float64"), mesh="data=4", evaluate_every=3
        )
        train(experiment, progress=False, run_folder=run_folder)
    return run_folder


def curve(folder: Path) -> list[dict[str, Any]]:
    """What must not depend on how many processes there are."""
    names = ("split", "step", "loss", "accuracy", "gradient_norm", "learning_rate", "overflow")
    return [{k: row[k] for k in names if k in row} for row in read_run(folder).metrics]


def check_curve(folder: Path, other: Path) -> None:
    """The same rows to 1e-9, and the same end."""
    ours, want = curve(folder), curve(other)
    assert [sorted(row) for row in ours] == [sorted(row) for row in want]
    for row, expected in zip(ours, want, strict=True):
        for name, value in expected.items():
            assert row[name] == (pytest.approx(value, rel=1e-9) if name != "split" else value)
    for name in ("test_accuracy", "test_loss", "synops", "firing_rate", "energy_mj"):
        mine, theirs = read_run(folder).summary[name], read_run(other).summary[name]
        assert mine == pytest.approx(theirs, rel=1e-9)


def check_weights(folder: Path, other: Path, *, exactly: bool = False) -> None:
    """The same running averages on one device, wherever they were saved."""
    with double():
        mine, theirs = (jax.tree.leaves(restore(f).weights) for f in (folder, other))
        for a, b in zip(mine, theirs, strict=True):
            if exactly:
                np.testing.assert_array_equal(a, b)
            else:  # Adam divides noise by 1e-8
                np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-8)
