"""The shape of the project: import arrows, public JAX only, tests that mirror the package."""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import snnjax

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = sorted(p.parent.name for p in (ROOT / "snnjax").glob("*/__init__.py"))
# Test folders without a package of that name.
OTHERS = {"reference", "notebooks", "experiments", "faults", "docs"}


def _sources(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def test_import_arrows_hold():
    pytest.importorskip("importlinter")
    result = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    assert f"{len(contracts['contracts'])} kept, 0 broken" in result.stdout


def test_only_public_jax():
    private = re.compile(r"\bjax\._" + r"src\b|\bjaxlib\._")
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in _sources("snnjax", "experiments", "tests", "notebooks")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if private.search(line)
    ]
    assert not found


def test_nothing_unpickles():
    """`numpy.load` of an object array unpickles; no reader may ask for it."""
    pickles = re.compile(r"^\s*(import|from) (c?[pP]ickle|dill|joblib)\b|allow_pickle=True", re.M)
    found = [str(p.relative_to(ROOT)) for p in _sources("snnjax") if pickles.search(p.read_text())]
    assert not found


def test_tests_mirror_the_packages():
    folders = {p.name for p in (ROOT / "tests").iterdir() if p.is_dir() and any(p.glob("*.py"))}
    assert folders - OTHERS <= set(PACKAGES)
    assert set(PACKAGES) <= folders


def test_every_package_is_reached_lazily():
    assert sorted(snnjax._SUBPACKAGES) == PACKAGES
    assert set(PACKAGES) <= set(dir(snnjax))
    with pytest.raises(AttributeError, match="no attribute 'neuron'"):
        snnjax.neuron  # noqa: B018


def test_import_loads_no_framework():
    loaded = subprocess.run(
        [sys.executable, "-c", "import sys, snnjax, snnjax.cli; print(*sys.modules)"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert not {"jax", "flax", "numpy", "tyro", "rich"} & set(loaded)


def test_version_has_one_source():
    assert importlib.metadata.version("snnjax") == snnjax.__version__


def test_type_marker_is_shipped():
    assert (ROOT / "snnjax" / "py.typed").is_file()
