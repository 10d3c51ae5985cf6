"""Shared set-up: eight fake CPU devices, strict warnings, and where the real data lies."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Before jax is imported anywhere: the number of host devices is fixed when the backend starts.
_DEVICES = "--xla_force_host_platform_device_count=8"
if "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_DEVICES}".strip()
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "agg")

import jax
import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Each file stays on one worker, as its fixtures do; the command line's share one run."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return "tests/cli" if file.startswith("tests/cli/") else file

    return ByFile(config, log)


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
