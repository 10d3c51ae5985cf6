"""What the README shows runs, and it begins with the two commands."""

from __future__ import annotations

import re
from pathlib import Path

import jax.numpy as jnp
import pytest

from snnjax.cli.commands import COMMANDS

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
SNIPPETS = re.findall(r"^```python\n(.*?)^```", README, flags=re.S | re.M)


def test_it_begins_with_the_two_commands():
    lines = [line.strip() for line in README.splitlines() if line.startswith("    ")]
    assert [line.split("#")[0].strip() for line in lines[:2]] == ["make train", "make test"]


def test_the_quick_start_runs():
    scope: dict = {"__name__": "readme"}
    exec(compile(SNIPPETS[0], "README.md", "exec"), scope)
    logits = scope["logits"]
    assert logits.shape == (8, 4)
    assert bool(jnp.isfinite(logits).all())
    assert float(jnp.abs(logits).max()) > 0, "the network of the quick start is silent"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_described(command):
    assert f"`snnjax {command}" in README


def test_linked_files_exist():
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert targets
    assert all((ROOT / target).exists() for target in targets)
