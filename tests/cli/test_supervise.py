"""The parent of one process of several: what it hands on, and what it says at the end."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from snnjax.cli import supervise
from snnjax.cli.supervise import NOTES, explain, wanted

FACTS: dict[str, Any] = {
    "coordinator": "node0:9911",
    "count": 2,
    "index": 0,
    "start_timeout": 300,
    "heartbeat_timeout": 100,
}
MET = FACTS | {"hosts": ["node0", "node1"], "resume": "snnjax train x --resume"}

HEAD = (
    "F1128 12:38:44.866242   16508 client.h:80] Terminating process because the JAX distributed "
    "service detected fatal errors. absl::Status: "
)
UNHEALTHY = (
    "UNAVAILABLE: The following tasks are unhealthy (stopped sending heartbeats):\n1\n"
    "The tasks have crashed. Check the task logs for an earlier error.\n"
)
DEAD = (  # as jax 0.10.2 says it
    "E1128 12:38:44.865588   16496 coordination_service.cc:1549] Use error polling to propagate "
    f"the following error to all tasks: {UNHEALTHY}{HEAD}{UNHEALTHY}"
    "*** Check failure stack trace: ***\n"
    + 200
    * "    @     0x7f71b4c40634  absl::lts_20260107::log_internal::LogMessage::Flush()\n"
)


@pytest.mark.parametrize(
    ("number", "service", "facts", "words", "code"),
    [
        (signal.SIGABRT, DEAD, MET, "process 1 (host node1) died, hung for 100 s or lost", 1),
        (
            signal.SIGABRT,
            HEAD + "UNAVAILABLE: Failed to send RPC to coordination service.",
            MET,
            "process 0 (host node0) died",
            1,
        ),
        (
            signal.SIGABRT,
            HEAD
            + "DEADLINE_EXCEEDED: Deadline Exceeded\n\nRPC: /xla.CoordinationService/Heartbeat",
            MET,
            "process 0 (host node0) died",
            1,
        ),
        (signal.SIGABRT, HEAD + "INTERNAL: odd", MET, "ended this process: INTERNAL: odd. ", 1),
        (
            signal.SIGABRT,
            HEAD + "DEADLINE_EXCEEDED: Deadline Exceeded",
            FACTS,
            "the 2 processes of the run did not all connect to node0:9911 within 300 s",
            2,
        ),
        (
            signal.SIGABRT,
            HEAD + "INVALID_ARGUMENT: Unexpected task registered with task=2",
            FACTS | {"index": 2},
            "process 0 at node0:9911 does not expect process 2",
            2,
        ),
        (signal.SIGABRT, HEAD + "ABORTED: twice", FACTS, "hosts.index is given once", 2),
        (signal.SIGKILL, "", MET, "ended by SIGKILL; often the machine ran out of memory", 137),
        (signal.SIGSEGV, "", {}, "ended by SIGSEGV. ", 139),
    ],
)
def test_the_end_of_a_child_is_explained(
    number: int, service: str, facts: dict[str, Any], words: str, code: int
) -> None:
    said, got = explain(number, service, facts)
    assert words in said
    assert got == code
    if facts is MET:
        assert "Everything up to the last checkpoint is kept" in said
        assert "each with its own hosts.index: snnjax train x --resume" in said


def test_only_several_processes_have_a_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(NOTES, raising=False)
    assert wanted(["train", "x", "--hosts.auto"])
    assert not wanted(["train", "x"])
    assert not wanted(["train", "--hosts.auto", "--help"])
    monkeypatch.setenv(NOTES, "file")
    assert not wanted(["train", "x", "--hosts.auto"])


NOISY = f"""
import os, signal, sys
print("[Gloo] Rank [Gloo] Rank 1 is connected to 7 peer ranks. Expected number of connected ")
print("3 is connected to 7 peer ranks. Expected number of connected peer ranks is : 7")
print("is connected to 3 peer ranks. peer ranks is : 37")
print("0.5 is a number, 3 is : connected")
print("0.5 3")
print("the summary", sys.argv[1:])
sys.stderr.write("progress\\n" + {DEAD!r})
sys.stderr.flush(), sys.stdout.flush()
open(os.environ["{NOTES}"], "w").write({str(MET)!r}.replace("'", '"'))
os.kill(os.getpid(), signal.SIGABRT)
"""


def test_what_the_service_says_becomes_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(supervise, "_CODE", NOISY)
    assert supervise.supervise("train", ["x", "--hosts.auto"]) == 1
    out, err = capsys.readouterr()
    kept = "0.5 is a number, 3 is : connected\n0.5 3\n"
    assert out == kept + f"the summary {[sys.argv[0], 'train', 'x', '--hosts.auto']}\n"
    first, last = err.splitlines()
    assert first == "progress"
    assert last.startswith("snnjax train: error: process 1 (host node1) died")


PARENT = """
import sys
from snnjax.cli import supervise
supervise._CODE = '''
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
print("ready", flush=True)
time.sleep(60)
'''
sys.exit(supervise.supervise("train", []))
"""


def begin() -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_signals_and_exit_codes_pass() -> None:
    process = begin()
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=20) == 7
    process.communicate()


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_child_does_not_outlive_its_parent() -> None:
    """What `child` starts with; a run that nobody waits for would hold its folder."""
    code = (
        "import os, subprocess, sys, time\n"
        "inner = 'import os, time; from snnjax.cli.supervise import _end_with_parent;'\n"
        "inner += '_end_with_parent(os.getppid()); print(os.getpid(), flush=True);'\n"
        "inner += 'time.sleep(60)'\n"
        "subprocess.run([sys.executable, '-c', inner])\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    child = Path(f"/proc/{int(process.stdout.readline())}")
    assert child.exists()
    process.kill()
    deadline = time.monotonic() + 20
    while child.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not child.exists()
    process.communicate()
