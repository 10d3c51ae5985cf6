"""Shared set-up: eight fake CPU devices, strict warnings, and where the real data lies."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

# Before jax is imported anywhere: the number of host devices is fixed when the backend starts.
_DEVICES = "--xla_force_host_platform_device_count=8"
if "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_DEVICES}".strip()
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "agg")

import jax
import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With several workers each file stays on one; the command line too: one run serves it all."""
    if not config.pluginmanager.hasplugin("xdist"):
        return
    for item in items:
        whole = item.path.parent == ROOT / "tests" / "cli"
        item.add_marker(pytest.mark.xdist_group(str(item.path.parent if whole else item.path)))


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
