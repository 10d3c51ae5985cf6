"""The commands of docs/launch.md are commands of ours."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from snnjax.cli import main
from snnjax.runs import Hosts

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "launch.md").read_text()
COMMANDS = [c.strip() for c in re.findall(r"snnjax train e3dsnn_t_shapes3d[^\n'&]*", TEXT)]


def test_every_recipe_has_its_command() -> None:
    assert len(COMMANDS) == 5
    assert len(set(COMMANDS)) == 3


@pytest.mark.parametrize("command", sorted(set(COMMANDS)))
def test_a_recipe_reaches_the_trainer(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Hosts] = []
    monkeypatch.setenv("SNNJAX_NOTES", "as in a child")
    monkeypatch.setattr("snnjax.cli.train.start", started.append)
    monkeypatch.setattr("snnjax.cli.train.train", lambda *_, **options: {"folder": options})
    words = shlex.split(command.replace("$RUN", "/shared/run").replace("$RESUME", "--resume"))
    assert main(words[1:]) == 0
    (hosts,) = started
    hosts.check()
    assert hosts.asked
    assert hosts.auto or (hosts.coordinator, hosts.count) == ("127.0.0.1:9911", 2)


def test_what_the_table_says_is_what_is_said() -> None:
    """Each message of the last table is in the code, but for numbers and paths."""
    source = Path(__file__).resolve().parents[2] / "snnjax"
    code = " ".join(
        re.sub(r'"\s*f?"', "", (source / name).read_text())
        for name in ("runs/hosts.py", "runs/launch.py", "cli/supervise.py")
    )
    rows = re.findall(r"^\| (.+?) \|", TEXT, re.MULTILINE)[2:]
    assert len(rows) == 6
    for row in rows:
        words = max(re.split(r"\.\.\.|,|\(\w+\)|\d+|data=", row), key=len).strip()
        assert words in code, words
