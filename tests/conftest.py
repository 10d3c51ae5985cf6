"""Shared set-up: eight fake CPU devices, quick compilation, and where the real data lies."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Before jax is imported anywhere: the backend reads its flags once, when it starts. A test runs its
# programs once or twice, so compiling is what costs: machine code is not optimised, and fusions are
# emitted without MLIR, which saves 35 % of the time to compile. CI also runs the tests of recorded
# values with the settings of a user. Should XLA drop a flag, it stops with "Unknown flag in
# XLA_FLAGS": remove its line here.
QUICK_FLAGS = {
    "--xla_force_host_platform_device_count": "8",
    "--xla_backend_optimization_level": "0",
    "--xla_cpu_use_fusion_emitters": "false",
}
for _flag, _value in QUICK_FLAGS.items():
    if _flag not in os.environ.get("XLA_FLAGS", ""):
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_flag}={_value}".strip()
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "agg")

import jax
import pytest

ROOT = Path(__file__).resolve().parents[1]
STATM = Path("/proc/self/statm")


def pytest_collection_finish() -> None:
    """What stays to the end, such as modules and tests, is not searched for garbage again."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Each file stays on one worker, as its fixtures do; the command line's share one run."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return "tests/cli" if file.startswith("tests/cli/") else file

    return ByFile(config, log)


@pytest.fixture(autouse=True, scope="session")
def compile_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Programs that several tests build alike, on any worker, are compiled once.

    Even the smallest is worth a file: an operation outside of `jit` takes 20 ms to compile, 4 to
    read, and is asked for again by the other workers and after `bounded_memory`.
    """
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "xla"
    options: dict[str, Any] = {
        "jax_compilation_cache_dir": str(folder),
        "jax_persistent_cache_min_compile_time_secs": 0.0,
        "jax_persistent_cache_min_entry_size_bytes": -1,
    }
    before = {name: getattr(jax.config, name) for name in options}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in options.items():
            jax.config.update(name, value)
            patch.setenv(name.upper(), str(value))  # for the processes that tests start
        yield folder
    for name, value in before.items():
        jax.config.update(name, value)


@pytest.fixture(autouse=True, scope="module")
def bounded_memory() -> Iterator[None]:
    """A worker drops its compiled programs after a file that leaves it above 1.5 GB.

    The C library keeps the freed memory unless it is asked for it: the worker would stay above the
    limit, and drop the programs after every file from then on.
    """
    yield
    pages = int(STATM.read_text().split()[1]) if STATM.exists() else 0
    if pages * os.sysconf("SC_PAGE_SIZE") > 1.5e9:
        jax.clear_caches()
        gc.collect()
        with contextlib.suppress(AttributeError):  # glibc alone has it
            ctypes.CDLL(None).malloc_trim(0)


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of real data sets: $SNNJAX_DATA, or ../shared/data beside the repository."""
    root = Path(os.environ.get("SNNJAX_DATA") or ROOT.parent / "shared" / "data")
    if not root.is_dir():
        pytest.skip(f"no data folder at {root}; set SNNJAX_DATA to the folder that holds it")
    return root


@pytest.fixture
def strict_promotion() -> Iterator[None]:
    """Refuse implicit dtype promotion, as neurons, delays, sparse and surrogates must."""
    with jax.numpy_dtype_promotion("strict"):
        yield
