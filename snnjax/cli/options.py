"""Command-line options from dataclasses with tyro; unknown options are errors."""

from __future__ import annotations

import contextlib
import io
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import tyro

from snnjax.cli.nearest import did_you_mean

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Common:
    """Options of every command."""

    debug: bool = False
    """Show the full traceback of an error."""


@dataclass(frozen=True, kw_only=True)
class ModuleOptions(Common):
    """Options of the commands that read an experiment or a run."""

    module: Annotated[
        tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="FILE|NAME")
    ] = ()
    """Import this .py file or module, which defines classes of the experiment or run; repeatable.
    A run folder never imports code by itself."""


@dataclass(frozen=True, kw_only=True)
class CacheOptions(ModuleOptions):
    """Options of the commands with long compilation."""

    compile_cache: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """Keep compiled programs in this folder instead of the user's cache ($XDG_CACHE_HOME/snnjax),
    so that the next start need not compile them."""
    no_compile_cache: tyro.conf.FlagCreatePairsOff[bool] = False
    """Do not keep compiled programs."""

    @property
    def cache(self) -> Path | bool:
        """The folder for compiled programs; True for the user's, False for none.

        Raises:
          ValueError: both options are given.
        """
        if self.compile_cache is not None and self.no_compile_cache:
            raise ValueError("give --compile-cache or --no-compile-cache, not both.")
        return not self.no_compile_cache if self.compile_cache is None else self.compile_cache


def import_modules(arguments: Sequence[str]) -> None:
    """Import the modules given by ``--module``, before anything may refer to them."""
    names = list(_values(arguments, "--module"))
    if names:
        from snnjax.experiment import load_module

        for name in names:
            load_module(name)


def _values(arguments: Sequence[str], option: str) -> Iterator[str]:
    for i, word in enumerate(arguments):
        if word == option and i + 1 < len(arguments):
            yield arguments[i + 1]
        elif word.startswith(f"{option}="):
            yield word.partition("=")[2]


def take_value(arguments: Sequence[str], option: str) -> tuple[str | None, list[str]]:
    """Split off an option: its last value, and the remaining arguments.

    >>> take_value(["a", "--model", "b", "--model.levels", "2"], "--model")
    ('b', ['a', '--model.levels', '2'])
    """
    found, rest, words = None, [], iter(arguments)
    for word in words:
        if word == option:
            found = next(words, None)
            if found is None or found.startswith("-"):
                raise ValueError(f"{option} needs a name, see `snnjax list`")
        elif word.startswith(f"{option}="):
            found = word.partition("=")[2]
        else:
            rest.append(word)
    return found, rest


def _flags(options: type, default: object | None) -> list[str]:
    """All options, parsed from the help text."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
        _tyro(options, ["--help"], "", "", default)
    return sorted(set(re.findall(r"--[a-z][\w.-]*\w", text.getvalue())))


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


def _valid(options: type, default: object | None) -> list[str]:
    """All valid options, including those parsed before tyro runs."""
    flags = _flags(options, default)
    return [*flags, "--model", "--task"] if any(f.startswith("--model.") for f in flags) else flags


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
      description: first paragraph of ``--help``.
      default: values to start from.

    Returns:
      The options. Help raises `SystemExit` (0) after tyro's text.

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
    box = io.StringIO()
    try:
        with contextlib.redirect_stderr(box):
            values, unknown = _tyro(options, arguments, f"snnjax {command}", description, default)
    except SystemExit as stop:
        if stop.code == 0:
            raise
        raise ValueError(_sentence(box.getvalue())) from None
    sys.stderr.write(box.getvalue())  # warnings, if there are any
    if unknown:
        raise ValueError(_complaint(unknown, options, default))
    return values


def _sentence(box: str) -> str:
    r"""The complaint in the box that tyro prints, without the help below it.

    >>> _sentence("╭─ Parsing error ─╮\n│ invalid │\n│ choice  │\n│ ─────── │\n│ help    │")
    'invalid choice; see --help'
    """
    plain = re.sub(r"\x1b\[[0-9;]*m", "", box)
    lines = [line.strip("│ ") for line in plain.splitlines()]
    lines = lines[1 if plain.startswith("╭") else 2 :]  # after the title, and a rule without UTF-8
    end = next((i for i, line in enumerate(lines) if line and not line.strip("─-╰╯")), len(lines))
    return " ".join(filter(None, lines[:end])).rstrip(".") + "; see --help"


def _complaint(unknown: Sequence[str], options: type, default: object | None) -> str:
    for word in unknown:
        if word.startswith("--"):
            flag = word.split("=", 1)[0]
            return f"there is no option {flag!r}; {did_you_mean(flag, _valid(options, default))}"
    return (
        f"unexpected argument {unknown[0]!r}; names and folders come first, switches take no value"
        " (--resume, --no-resume), see --help"
    )
