"""Several processes on loopback: how they meet, share batches, speak and agree."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from snnjax.cli.supervise import NOTES, explain
from snnjax.runs import HostError, Hosts, hosts, start
from snnjax.sharding import parse_mesh
from snnjax.train import replicate, shard
from snnjax.train.mesh import local_rows, put, shard_rows
from tests.train.members import begin, ends, environment, free_port

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="needs signals of POSIX")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"count": 2, "index": 0}, "hosts.coordinator must be given too; or hosts.auto"),
        ({"coordinator": "a:1"}, "hosts.count and hosts.index must be given too"),
        ({"coordinator": "a", "count": 2, "index": 0}, "HOST:PORT, such as node0:1234; got 'a'"),
        ({"coordinator": "a:x", "count": 2, "index": 0}, "HOST:PORT"),
        ({"coordinator": "a:70000", "count": 2, "index": 0}, "HOST:PORT"),
        ({"coordinator": "a:1", "count": 2, "index": 2}, "from 0 to 1, .*count is 2; got 2"),
        ({"coordinator": "a:1", "count": 2, "index": -1}, "from 0 to 1, .*got -1"),
        ({"coordinator": "a:1", "count": 0, "index": 0}, "hosts.count must be at least 1; got 0"),
        ({"heartbeat_timeout": 0}, "hosts.heartbeat_timeout must be at least 1 second; got 0"),
        ({"heartbeat_timeout": 9}, "hosts.heartbeat_timeout is only for several processes; got 9"),
        ({"start_timeout": -1}, "hosts.start_timeout must be at least 1 second; got -1"),
    ],
)
def test_impossible_hosts_are_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        start(Hosts(**fields))


def test_one_process_is_as_none() -> None:
    start(Hosts())
    start(Hosts(coordinator="nowhere:1", count=1, index=0))
    assert not jax.distributed.is_initialized()
    assert hosts.is_first()
    assert not hosts.several()
    assert hosts.exchange("alone") == ["alone"]
    assert hosts.from_first(lambda: ("kept", "as it is")) == ("kept", "as it is")
    with pytest.raises(ZeroDivisionError), hosts.together():
        _ = 1 / 0
    with pytest.raises(jax.errors.JaxRuntimeError), hosts.guarded():
        raise jax.errors.JaxRuntimeError("at once")


def test_an_address_where_nothing_listens_is_named() -> None:
    address = f"127.0.0.1:{free_port()}"
    began = time.monotonic()
    with pytest.raises(HostError, match=f"nothing answered at the coordinator {address} in 1 s"):
        start(Hosts(coordinator=address, count=2, index=1, start_timeout=1))
    assert time.monotonic() - began < 5
    assert not jax.distributed.is_initialized()


@pytest.mark.parametrize("mesh", ["data=4", "data=2,model=2", "model=2,data=4"])
def test_rows_and_states_are_placed_as_device_put_would(mesh: str) -> None:
    """Where all devices are this process', the general way must equal the short one."""
    made = parse_mesh(mesh)
    rows = local_rows(8, made)
    np.testing.assert_array_equal(rows, np.arange(8))
    array = np.arange(24.0, dtype=np.float32).reshape(8, 3)
    got, want = shard_rows(array, rows, 8, made), shard(array, made)
    assert got.sharding == want.sharding
    for mine, other in zip(got.addressable_shards, want.addressable_shards, strict=True):
        np.testing.assert_array_equal(mine.data, other.data)
    whole = replicate(array, made)
    np.testing.assert_array_equal(put(array, whole.sharding), whole)


TALK = """
import json, os, signal, sys, time
import jax
import numpy as np
from snnjax.sharding import parse_mesh
from snnjax.runs import HostError, Hosts, hosts, start
from snnjax.train.mesh import local_rows

coordinator, index = sys.argv[1], int(sys.argv[2])
start(Hosts(coordinator=coordinator, count=2, index=index, heartbeat_timeout=3))
heard = {"rows": local_rows(8, parse_mesh("data=4")).tolist()}
heard["model"] = local_rows(8, parse_mesh("model=2,data=2")).tolist()
heard["names"] = hosts.exchange(f"I am {index}")
heard["long"] = [len(text) for text in hosts.exchange("x" * (3000 * index))]
heard["first"] = hosts.from_first(lambda: {"asked": index})
try:
    hosts.check_mesh(parse_mesh("data=2"))
except ValueError as error:
    heard["mesh"] = str(error)
agree = hosts.Agreement(2)
heard["wishes"] = [agree(15 if index == 1 and step == 3 else 0) for step in range(8)]
for guilty in (0, 1):
    try:
        with hosts.together():
            if index == guilty:
                raise ValueError("a file is bad. Mend it.")
            hosts.from_first(lambda: "never told")
    except (ValueError, HostError) as error:
        heard[f"error {guilty}"] = f"{type(error).__name__}: {error}"
print(json.dumps(heard), flush=True)
if index == 1:
    os.kill(os.getpid(), signal.SIGSTOP)
hosts.exchange("the other one hangs")
"""


def test_processes_speak_and_a_hung_one_is_named(tmp_path: Path, compile_cache: Path) -> None:
    coordinator = f"127.0.0.1:{free_port()}"
    notes = tmp_path / "notes.json"
    env = environment(2, compile_cache)
    one = begin(TALK, [coordinator, 1], env)
    zero = begin(TALK, [coordinator, 0], env | {NOTES: str(notes)})
    out, err = zero.communicate(timeout=100)
    one.kill()
    other, _ = one.communicate()
    assert zero.returncode == -signal.SIGABRT, err
    said = [
        json.loads(next(line for line in text.splitlines() if line.startswith("{")))
        for text in (out, other)
    ]
    assert [heard["rows"] for heard in said] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert [heard["model"] for heard in said] == [list(range(8))] * 2
    for heard in said:
        assert heard["names"] == ["I am 0", "I am 1"]
        assert heard["long"] == [0, 3000]
        assert heard["first"] == {"asked": 0}
        assert heard["mesh"].startswith("the mesh data=2 leaves out process 1: 2 processes have 4")
        assert heard["wishes"] == [0, 0, 0, 0, 0, 15, 0, 0]
    for guilty in (0, 1):
        assert said[guilty][f"error {guilty}"] == "ValueError: a file is bad. Mend it."
        assert said[1 - guilty][f"error {guilty}"] == (
            f"HostError: process {guilty} failed: ValueError: a file is bad. Mend it"
        )
    why, code = explain(signal.SIGABRT, err, json.loads(notes.read_text()))
    assert code == 1
    assert why.startswith("process 1 (host ")
    assert "hung for 3 s" in why


JOIN = """
import sys
from snnjax.runs import Hosts, start

coordinator, index, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
start(Hosts(coordinator=coordinator, count=count, index=index, heartbeat_timeout=3))
"""


def test_another_number_of_processes_is_told_in_all(compile_cache: Path) -> None:
    coordinator, env = f"127.0.0.1:{free_port()}", environment(1, compile_cache)
    processes = [begin(JOIN, [coordinator, i, count], env) for i, count in ((0, 2), (1, 3))]
    zero, one = ends(processes)
    words = "process 1 was started with hosts.count=3, and process 0 with 2"
    assert (zero[0], one[0]) == (1, 1)
    assert f"ValueError: {words}. Give all processes the same number." in one[2]
    assert f"HostError: process 1 failed: ValueError: {words}" in zero[2]


def test_names_of_the_notes_agree() -> None:
    """The parent must not import jax, and so cannot ask for it."""
    assert NOTES == hosts.NOTES
    code = "import sys, snnjax.cli; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
