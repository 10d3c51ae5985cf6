"""One of several processes dies, hangs or is stopped: what is lost, and what the user sees."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from snnjax.runs import read_run
from tests.train.members import (
    CONFIG,
    check_curve,
    check_weights,
    curve,
    ends,
    environment,
    members,
    train_here,
)

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


def test_a_run_survives_a_preemption_and_the_death_of_a_process(
    tmp_path: Path, compile_cache: Path
) -> None:
    """Four processes, one gets SIGTERM; two go on, one is killed; two end the run.

    Parameters are whole in the first, cut over "data" in the second, and over "model" in the third,
    where devices of both processes share channels and devices of each share the batch. The run ends
    as one that nothing disturbed, in one process; the first process alone writes and speaks.
    """
    (tmp_path / "tiny.py").write_text(CONFIG)
    folder = tmp_path / "run"
    words = [tmp_path / "tiny.py", "--run-folder", folder]

    four = members(words, 4, environment(1, compile_cache, SLOW="0.3"))
    wait_beyond(folder, 0, four[0])
    four[2].send_signal(signal.SIGTERM)
    found = ends(four)
    assert [code for code, _, _ in found] == [0, 0, 0, 0], found
    assert not any(out for _, out, _ in found)
    saved = newest(folder)
    for _, _, err in found:
        assert f"stopped after step {saved}, which is saved. Resume with: snnjax train" in err

    env = environment(2, compile_cache, SLOW="0.3")
    cut = [*words, "--resume", "--sharding", "fsdp"]
    pair = members(cut, 2, env, "--hosts.heartbeat-timeout", 3)
    wait_beyond(folder, saved, pair[0])
    os.kill(child(pair[1]), signal.SIGKILL)
    (code, out, err), (died, _, last) = ends(pair)
    assert (code, out, died) == (1, "", 128 + signal.SIGKILL), err
    check_message(err, 1)
    assert f"--run-folder {folder} --resume" in err
    assert "ended by SIGKILL" in last
    assert saved < newest(folder) < 12

    env = environment(2, compile_cache)
    both = [*words, "--resume", "--mesh", "data=2,model=2", "--sharding", "tensor"]
    zero, one = ends(members(both, 2, env))
    assert zero[0] == one[0] == 0, zero[2] + one[2]
    assert one[1:] == ("", "")
    summary = json.loads(zero[1])
    assert summary["devices"] == 4
    assert summary == read_run(folder).summary
    undisturbed = train_here(run_folder=tmp_path / "undisturbed")
    check_curve(folder, undisturbed)
    check_weights(folder, undisturbed)


def check_message(err: str, victim: int) -> None:
    """One line of error, with who died and what is kept; nothing of the distributed service."""
    errors = [line for line in err.splitlines() if "error:" in line]
    assert len(errors) == 1, err
    who = rf"process {victim} \(host .+\) died, hung for 3 s or lost its network"
    assert re.search(who, errors[0])
    assert "Everything up to the last checkpoint is kept" in errors[0]
    for word in ("Traceback", "Gloo", "absl", "tasks"):
        assert word not in err


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
    if number == signal.SIGSTOP:
        os.kill(hit, signal.SIGKILL)
    _, _, err = ends(pair)[1 - victim]
    assert code == 1, err
    check_message(err, victim)


@pytest.mark.slow
def test_a_killed_run_goes_on_bit_for_bit_in_as_many_processes(
    tmp_path: Path, compile_cache: Path
) -> None:
    """Against a run of two processes that nothing disturbed."""
    (tmp_path / "tiny.py").write_text(CONFIG)
    whole, folder = tmp_path / "whole", tmp_path / "run"
    env = environment(2, compile_cache)
    words = [tmp_path / "tiny.py", "--sharding", "fsdp", "--run-folder"]
    assert [code for code, _, _ in ends(members([*words, whole], 2, env))] == [0, 0]
    pair = members([*words, folder], 2, env | {"SLOW": "0.3"}, "--hosts.heartbeat-timeout", 3)
    wait_beyond(folder, 0, pair[0])
    os.kill(child(pair[0]), signal.SIGKILL)
    assert [code for code, _, _ in ends(pair)] == [128 + signal.SIGKILL, 1]
    assert newest(folder) < 12
    assert [code for code, _, _ in ends(members([*words, folder, "--resume"], 2, env))] == [0, 0]
    assert curve(folder) == curve(whole)
    check_weights(folder, whole, exactly=True)


ALONE = """
from snnjax.train.loop import Loop
import jax
ready = Loop._step


def fail(self, *arguments):
    if self.progress.step == 5 and jax.process_index() == VICTIM:
        raise OSError("the data of this host are gone. Mount them.")
    return ready(self, *arguments)


Loop._step = fail
"""


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_an_error_of_one_process_in_the_middle_ends_the_other(
    tmp_path: Path, compile_cache: Path, victim: int
) -> None:
    """The one says what is wrong, the other says which one to look at."""
    (tmp_path / "tiny.py").write_text(CONFIG + ALONE.replace("VICTIM", str(victim)))
    env = environment(2, compile_cache)
    words = [tmp_path / "tiny.py", "--run-folder", tmp_path / "run"]
    found = ends(members(words, 2, env, "--hosts.heartbeat-timeout", 3))
    assert [found[victim][0], found[1 - victim][0]] == [2, 1], found
    assert "error: the data of this host are gone. Mount them." in found[victim][2]
    check_message(found[1 - victim][2], victim)
