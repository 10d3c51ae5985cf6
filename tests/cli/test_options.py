from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import pytest

from snnjax.cli.options import Common, parse


@dataclass(frozen=True)
class Inner:
    rate: float = 0.1
    """How fast."""
    kind: Literal["adamw", "sgd"] = "adamw"
    """Which rule."""


@dataclass(frozen=True, kw_only=True)
class Outer(Common):
    inner: Inner = field(default_factory=Inner)
    """Nested."""
    size: int | None = None
    """How many, as in --inner.rate."""
    resume: bool = False
    """Continue."""


def read(*arguments: str) -> Outer:
    return parse(Outer, arguments, command="test", description="About this.")


def test_every_field_can_be_overridden():
    got = read("--inner.rate", "0.5", "--inner.kind", "sgd", "--size", "3", "--resume", "--debug")
    assert got == Outer(inner=Inner(0.5, "sgd"), size=3, resume=True, debug=True)


def test_defaults_are_those_given():
    default = Outer(inner=Inner(rate=7.0))
    got = parse(Outer, ["--size", "1"], command="x", description="", default=default)
    assert got.inner.rate == 7.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--inner.rat", "1"], "no option '--inner.rat'; did you mean '--inner.rate'"),
        (["--rate=1"], "no option '--rate'; did you mean '--inner.rate'"),
        (["--resume", "True"], "unexpected argument 'True'"),
        (["stray"], "unexpected argument 'stray'"),
    ],
)
def test_what_no_field_takes_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        read(*arguments)


@pytest.mark.parametrize("arguments", [["--size", "many"], ["--inner.kind", "adam"], ["--size"]])
def test_malformed_values_are_one_line(arguments, capsys):
    """Without the box and the help that tyro prints around it."""
    with pytest.raises(ValueError, match=rf"{arguments[0]}.*; see --help$") as stop:
        read(*arguments)
    assert not set(str(stop.value)) & set("│╭─\n")
    assert capsys.readouterr() == ("", "")


def test_help_documents_every_option(capsys):
    with pytest.raises(SystemExit) as stop:
        read("--help")
    assert stop.value.code == 0
    text = capsys.readouterr().out
    for words in (
        "About this.",
        "How fast.",
        "Which rule.",
        "How many, as",
        "Continue.",
        "traceback",
    ):
        assert words in text


def test_a_full_stop_in_the_help_is_no_part_of_an_option():
    with pytest.raises(ValueError, match=r"did you mean '--inner\.rate'\?"):
        read("--inner.rte", "1")


def test_the_rulers_of_the_help_are_no_options():
    with pytest.raises(ValueError, match=r"valid names: --\w") as stop:
        read("--zzzzzz", "1")
    assert "---" not in str(stop.value)
