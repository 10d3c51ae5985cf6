"""One of several processes dies, hangs or is stopped: what is lost, and what the user sees."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.train.members import CONFIG, check_curve, ends, environment, members, train_here

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="finds children in /proc")


def child(parent: subprocess.Popen[str]) -> int:
    """The process that works, of the one that waits for it."""
    text = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text()
    (only,) = text.split()
    return int(only)


def newest(folder: Path) -> int:
    """The last complete checkpoint, seen from outside; 0 for none."""
    names = [p.name for p in folder.glob("checkpoints/*") if p.name.isdigit()]
    return max(map(int, names), default=0)


def wait_beyond(folder: Path, step: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 200
    while newest(folder) <= step and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_run_survives_the_death_of_a_process_and_a_preemption_of_another(
    tmp_path: Path, compile_cache: Path
) -> None:
    """Two processes, one is killed; four go on, one gets SIGTERM; one alone ends the run.

    It ends as the run that nothing disturbed, in one process.
    """
    (tmp_path / "tiny.py").write_text(CONFIG)
    folder = tmp_path / "run"
    words = [tmp_path / "tiny.py", "--run-folder", folder]

    env = environment(2, compile_cache, SLOW="0.3")
    pair = members(words, 2, env, "--hosts.heartbeat-timeout", 3)
    wait_beyond(folder, 0, pair[0])
    os.kill(child(pair[1]), signal.SIGKILL)
    (code, out, err), (died, _, last) = ends(pair)
    assert (code, out, died) == (1, "", 128 + signal.SIGKILL), err
    errors = [line for line in err.splitlines() if "error" in line.lower()]
    assert len(errors) == 1, err
    assert re.search(r"process 1 \(host .+\) died, hung for 3 s or lost its network", errors[0])
    assert "Everything up to the last checkpoint is kept" in errors[0]
    assert f"--run-folder {folder} --resume" in errors[0]
    assert "Traceback" not in err
    assert "ended by SIGKILL" in last

    before = newest(folder)
    assert 3 <= before < 9
    env = environment(1, compile_cache, SLOW="0.3")
    four = members([*words, "--resume"], 4, env)
    wait_beyond(folder, before, four[0])
    four[2].send_signal(signal.SIGTERM)
    found = ends(four)
    assert [code for code, _, _ in found] == [0, 0, 0, 0], found
    assert not any(out for _, out, _ in found)
    saved = newest(folder)
    assert before < saved < 12
    for _, _, err in found:
        assert f"stopped after step {saved}, which is saved. Go on with: snnjax train" in err

    train_here(run_folder=folder, resume=True)
    check_curve(folder, train_here(run_folder=tmp_path / "undisturbed"))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
@pytest.mark.parametrize("victim", [0, 1])
def test_the_one_that_died_or_hangs_is_named(
    tmp_path: Path, compile_cache: Path, number: int, victim: int
) -> None:
    (tmp_path / "tiny.py").write_text(CONFIG)
    folder = tmp_path / "run"
    env = environment(2, compile_cache, SLOW="0.3")
    words = [tmp_path / "tiny.py", "--run-folder", folder]
    pair = members(words, 2, env, "--hosts.heartbeat-timeout", 3)
    wait_beyond(folder, 0, pair[0])
    hit = child(pair[victim])
    os.kill(hit, number)
    began = time.monotonic()
    code = pair[1 - victim].wait(timeout=60)
    assert time.monotonic() - began < 30
    os.kill(hit, signal.SIGKILL)
    _, _, err = ends(pair)[1 - victim]
    assert code == 1, err
    assert err.count("error") == 1
    assert f"process {victim} (host " in err
