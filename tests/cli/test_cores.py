from __future__ import annotations

import os
import subprocess
import sys

import pytest

from snnjax.cli.cores import core_count, device_count, mesh_devices

SCRIPT = """
import sys
from snnjax.cli.cores import use_cores
use_cores(32, *sys.argv[1:])
import jax
print(jax.local_device_count())
use_cores(32, "data=7")  # the backend runs: nothing changes, and nothing is raised
print(jax.local_device_count())
"""


def devices_of_a_process(*arguments: str, **environment: str) -> list[str]:
    names = ("XLA_FLAGS", "JAX_NUM_CPU_DEVICES")
    clean = {k: v for k, v in os.environ.items() if k not in names}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments],
        env={**clean, "JAX_PLATFORMS": "cpu", **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


@pytest.mark.parametrize(
    ("batch", "cores", "count"),
    [(32, 1, 1), (32, 2, 2), (32, 3, 2), (32, 8, 4), (64, 8, 8), (7, 4, 1), (24, 64, 3), (1, 8, 1)],
)
def test_a_batch_is_cut_evenly_and_not_too_finely(batch, cores, count):
    assert device_count(batch, cores) == count


def test_the_cores_become_devices_once():
    expected = str(device_count(32, core_count()))
    assert devices_of_a_process() == [expected, expected]


def test_a_number_that_was_asked_for_is_taken():
    assert devices_of_a_process("data=2,model=2") == ["4", "4"]


@pytest.mark.parametrize(
    "setting",
    [
        {"XLA_FLAGS": "--xla_force_host_platform_device_count=3"},
        {"JAX_NUM_CPU_DEVICES": "3"},
    ],
)
def test_the_environment_decides_first(setting):
    assert devices_of_a_process(**setting) == ["3", "3"]


def test_processes_share_a_mesh_evenly():
    assert mesh_devices("data=8,model=2", 32, 2, processes=4) == 4
    assert mesh_devices("data=-1", 64, 8, processes=4) == 2  # each has 16 samples
    with pytest.raises(ValueError, match="'data=3' has 3 devices, which 2 processes cannot share"):
        mesh_devices("data=3", 33, 8, processes=2)
