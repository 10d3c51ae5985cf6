"""docs/extending.md: its Python runs as one file, its sessions show what they say."""

from __future__ import annotations

import doctest
import os
import re
import shlex
import subprocess
import sys
import types
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "extending.md").read_text()
BLOCKS = re.findall(r"^```(python|pycon|console)\n(.*?)^```", TEXT, flags=re.S | re.M)
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `my_series.py`, all Python of the page."""
    folder = tmp_path_factory.mktemp("extending")
    (folder / "my_series.py").write_text("\n".join(b for kind, b in BLOCKS if kind == "python"))
    return folder


@pytest.fixture
def module(folder: Path, monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """The module `my_series`, still empty, in that folder."""
    from snnjax.experiment.registry import REGISTRY

    module = types.ModuleType("my_series")
    monkeypatch.setitem(sys.modules, "my_series", module)
    monkeypatch.setitem(REGISTRY, "task", dict(REGISTRY["task"]))
    monkeypatch.chdir(folder)
    return module


def test_python_and_its_sessions(module: types.ModuleType) -> None:
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    parser = doctest.DocTestParser()
    for number, (kind, block) in enumerate(BLOCKS):
        if kind == "python":
            exec(compile(block, f"extending.md, block {number}", "exec"), vars(module))
        elif kind == "pycon":
            found = parser.get_doctest(block, {}, f"block {number}", "extending.md", 0)
            found.globs = vars(module)  # shared, where get_doctest copies
            runner.run(found, clear_globs=False)
    assert runner.summarize(verbose=False).attempted > 15
    assert runner.failures == 0


def test_the_command_line(folder: Path) -> None:
    """Every command of the page in turn, in processes of their own."""
    commands = [
        (command, expected)
        for kind, block in BLOCKS
        if kind == "console"
        for command, expected in re.findall(r"^\$ (.*)\n((?:[^$].*\n)*)", block, flags=re.M)
    ]
    assert len(commands) > 5
    for command, expected in commands:
        program, *words = shlex.split(command)
        start = [sys.executable, "-m", "snnjax"] if program == "snnjax" else [sys.executable]
        found = subprocess.run(
            [*start, *words],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(folder / "cache")},
            capture_output=True,
            text=True,
            check=False,
        )
        fails = "error:" in expected
        assert found.returncode == (2 if fails else 0), found.stderr
        shown = found.stderr if fails else found.stdout
        check = doctest.OutputChecker().check_output
        assert check(expected.removeprefix("...\n"), shown, FLAGS), f"$ {command}\n{shown}"
