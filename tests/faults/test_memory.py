"""What a checkpoint costs in memory of the host: the state once more, and next to nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

MEASURE = """
import gc, json, sys
from pathlib import Path

import jax
import jax.numpy as jnp

from snnjax.runs.checkpoint import Checkpoints, quiet_orbax

LEAVES = 16

def state(size):  # MB
    make = jax.jit(lambda seed: jax.lax.iota(jnp.uint32, size * 250_000 // LEAVES) * 7 + seed)
    return jax.block_until_ready({f"w{i}": make(jnp.uint32(i)) for i in range(LEAVES)})

def status(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(l for l in lines if l.startswith(name)).split()[1])

def reset():
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    return status("VmRSS")

quiet_orbax()
folder = Path(sys.argv[1])
small = Checkpoints(folder / "small")  # libraries, threads and their first memory
small.save(1, state(1), {})
small.wait()
small.restore(1, state(1))
small.close()

whole = state(100)
size = sum(leaf.nbytes for leaf in whole.values())
checkpoints = Checkpoints(folder / "large")
before = reset()
for step in (1, 2):  # the second while the first is written
    checkpoints.save(step, whole, {})
checkpoints.wait()
saving = status("VmHWM") - before
shapes = {n: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=a.sharding) for n, a in whole.items()}
before = reset()
restored, _ = checkpoints.restore(2, shapes)
jax.block_until_ready(restored)
restoring = status("VmHWM") - before - size
equal = all(bool((restored[name] == leaf).all()) for name, leaf in whole.items())
checkpoints.close()
print(json.dumps({"saving": saving / size, "restoring": restoring / size, "equal": equal}))
"""


@pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="the peak of memory is read from /proc"
)
def test_saving_and_restoring_hold_the_state_once_more(tmp_path: Path) -> None:
    """Of a state of 100 MB, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["equal"]
    assert 0.8 < found["saving"] <= 1.2, found
    assert found["restoring"] <= 1.2, found
