"""Freed memory stays with the process: a second array of the same size faults no pages."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from types import SimpleNamespace

import pytest

from snnjax.runs import memory
from snnjax.runs.memory import ENVIRONMENT, keep_memory

SCRIPT = """
import resource
import sys
import numpy as np
from snnjax.runs.memory import keep_memory

if sys.argv[1:] == ["keep"]:
    print(keep_memory())
np.ones(2**24)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
np.ones(2**24)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def run(*arguments: str, **environment: str) -> list[str]:
    clean = {k: v for k, v in os.environ.items() if k not in ENVIRONMENT}
    command = [sys.executable, "-c", SCRIPT, *arguments]
    return subprocess.run(
        command, env={**clean, **environment}, capture_output=True, text=True, check=True
    ).stdout.split()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has these settings")
def test_pages_are_kept():
    loose = int(run()[0])
    kept, faults = run("keep")
    assert kept == "True"
    assert int(faults) < loose / 10
    assert int(run(**ENVIRONMENT)[0]) < loose / 10


def test_the_environment_decides_first():
    assert run("keep", MALLOC_TOP_PAD_="1")[0] == "False"


@pytest.mark.skipif(os.name != "posix", reason="asks no C library elsewhere")
@pytest.mark.parametrize("refused", [None, -4, -1, -2])
def test_a_refused_setting_leaves_the_defaults(monkeypatch, refused):
    """A stand-in for a C library that knows only some of the settings."""
    held = dict(memory._DEFAULTS)

    def mallopt(name, value):
        if name == refused:
            return 0
        held[name] = value
        return 1

    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    library = SimpleNamespace(mallopt=mallopt)
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: library)
    assert keep_memory() == (refused is None)
    assert held == dict(memory._SETTINGS if refused is None else memory._DEFAULTS)
