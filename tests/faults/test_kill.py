"""Kill -9 at the worst moments: the run that goes on ends as the one that was left alone.

What is lost and what is seen stands in `docs/faults.md`, here and beside.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from snnjax.runs import train
from tests.runs.test_run import assert_same_run
from tests.train.tiny import tiny_experiment

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")


def nursery(
    root: Path, cache: Path, moments: list[str | int], *, epochs: int = 3, limit: int = 200
) -> tuple[list[dict[str, Any]], str]:
    """What each death left behind, and what was said on stderr."""
    environment = os.environ | {
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.nursery", str(root)],
        input=json.dumps({"moments": moments, "epochs": epochs}),
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=limit,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def check_same(folder: Path, finished: tuple[Path, dict[str, Any]]) -> None:
    summary = train(tiny_experiment(folder.parent), resume=True, progress=False)
    assert_same_run(folder, finished[0])
    assert summary["test_accuracy"] == finished[1]["test_accuracy"]


def check_steps(deaths: list[dict[str, Any]]) -> None:
    """No checkpoint is lost, and each process goes on from the last one."""
    for earlier, later in itertools.pairwise(deaths):
        assert later["before"] == earlier["after"] <= later["after"]
    for death in deaths:
        trained = sorted({*death["steps"]})
        assert trained == list(range(1, len(trained) + 1))
        assert not trained or trained[-1] >= death["after"]


def test_kills_at_the_worst_moments_change_nothing(
    finished: tuple[Path, dict[str, Any]], tmp_path: Path, compile_cache: Path
) -> None:
    moments = [
        "before any checkpoint",
        "while a checkpoint is written",
        "in the middle of a row",
        "before a checkpoint is committed",
        "SIGTERM",
    ]
    deaths, said = nursery(tmp_path, compile_cache, list(moments))
    check_steps(deaths)
    assert [death["code"] for death in deaths] == [-signal.SIGKILL] * 4 + [0], said
    first, saving, row, halfway, term = deaths
    assert (first["after"], first["steps"]) == (0, [1, 2])
    assert saving["after"] in (4, 6)  # whichever comes first: the death or the commit
    assert row["tail"] == '{"split": "train", "st'
    assert row["after"] in (4, 6)
    assert halfway["after"] == 8  # all files of 9 were written, and it was not committed
    assert term["after"] == 9
    assert "stopped after step 9, which is saved. Resume with: " in said
    check_same(tmp_path / "tiny-0", finished)


def test_five_kills_at_random_moments_change_nothing(
    finished: tuple[Path, dict[str, Any]], tmp_path: Path, compile_cache: Path
) -> None:
    seed = int.from_bytes(os.urandom(4), "big")
    deaths, said = nursery(tmp_path, compile_cache, [seed + k for k in range(5)])
    check_steps(deaths)
    assert {death["code"] for death in deaths} <= {-signal.SIGKILL, 0}, said
    assert deaths[0]["code"] == -signal.SIGKILL, said
    check_same(tmp_path / "tiny-0", finished)


@pytest.mark.slow
def test_fifty_kills_at_random_moments_change_nothing(tmp_path: Path, compile_cache: Path) -> None:
    """A run of 240 steps, against one of the same length that nothing disturbed."""
    calm = train(tiny_experiment(tmp_path / "calm", epochs=60), progress=False)
    deaths, said = nursery(
        tmp_path, compile_cache, [1000 + k for k in range(50)], epochs=60, limit=1500
    )
    check_steps(deaths)
    assert [death["code"] for death in deaths] == [-signal.SIGKILL] * 50, said
    assert deaths[-1]["after"] > 9  # most of them, but not all, come before the next checkpoint
    train(tiny_experiment(tmp_path, epochs=60), resume=True, progress=False)
    assert_same_run(tmp_path / "tiny-0", Path(calm["run_folder"]))
