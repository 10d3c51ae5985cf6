"""Options made from dataclasses with tyro, strict about what it does not know."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import tyro

from snnjax.cli.nearest import did_you_mean

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Common:
    """Options of every command."""

    debug: bool = False
    """Show the whole traceback of an error."""


def _flags(options: type, default: object | None) -> list[str]:
    """Every option, read off the help text: what is listed there is what exists."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
        _tyro(options, ["--help"], "", "", default)
    return sorted(set(re.findall(r"--[a-z][\w.-]*", text.getvalue())))


def _tyro(
    options: type[T], arguments: Sequence[str], prog: str, description: str, default: T | None
) -> tuple[T, list[str]]:
    start: dict[str, Any] = {} if default is None else {"default": default}
    return tyro.cli(
        options,
        args=list(arguments),
        prog=prog,
        description=description,
        return_unknown_args=True,
        **start,
    )


def parse(
    options: type[T],
    arguments: Sequence[str],
    *,
    command: str,
    description: str,
    default: T | None = None,
) -> T:
    """Read `arguments` into the dataclass `options`.

    Args:
      options: a dataclass whose docstrings document the fields.
      arguments: what follows the command's name.
      command: the command as typed, for the usage line.
      description: what ``--help`` says first.
      default: values to start from.

    Returns:
      The options. Help and malformed values raise `SystemExit` (0 and 2) after tyro's text.

    Raises:
      ValueError: an option or value that no field takes; names the nearest valid option.

    >>> @dataclass(frozen=True)
    ... class Pair:
    ...     left: int = 1
    ...     width: int = 2
    >>> parse(Pair, ["--left", "5"], command="pair", description="")
    Pair(left=5, width=2)
    >>> parse(Pair, ["--lift", "5"], command="pair", description="")
    Traceback (most recent call last):
    ValueError: there is no option '--lift'; did you mean '--left'?
    """
    values, unknown = _tyro(options, arguments, f"snnjax {command}", description, default)
    if unknown:
        raise ValueError(_complaint(unknown, options, default))
    return values


def _complaint(unknown: Sequence[str], options: type, default: object | None) -> str:
    for word in unknown:
        if word.startswith("--"):
            flag = word.split("=", 1)[0]
            return f"there is no option {flag!r}; {did_you_mean(flag, _flags(options, default))}"
    return (
        f"unexpected argument {unknown[0]!r}; names and folders come first, switches take no value"
        " (--resume, --no-resume), see --help"
    )
