"""Entry point of ``snnjax``: runs the command and reports expected errors in one line."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Sequence

from snnjax.cli.nearest import did_you_mean
from snnjax.cli.supervise import NOTES, supervise, wanted

# Each command is the module of that name, _ for -, with `run(arguments) -> None`; it is imported
# only when called, so that `snnjax --help` needs neither jax nor tyro.
COMMANDS = {
    "train": "train an experiment; the last line on stdout is a JSON summary",
    "evaluate": "test a trained run; the last line on stdout is a JSON summary",
    "predict": "print the prediction of a trained run for one file",
    "list": "names of experiments, models, tasks and sources",
    "compare": "put several run folders side by side",
    "info": "parameters, capacities and synaptic operations of an experiment",
    "profile": "time, bytes and FLOPs of the compiled step and of each layer",
    "shard-plan": "bytes and messages of a step on a mesh, without its devices",
    "doctor": "devices, versions, flags and extras of this machine",
}

# Errors that a user can cause and fix. Anything else is a bug and keeps its traceback.
EXPECTED = (ValueError, TypeError, OSError, ImportError, FloatingPointError)


def usage() -> str:
    """The text of ``snnjax --help``."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {summary}" for name, summary in COMMANDS.items()]
    return "\n".join(
        [
            "usage: snnjax COMMAND [ARGUMENTS]",
            "",
            "Spiking neural networks in JAX: train, evaluate and inspect.",
            "",
            "commands:",
            *lines,
            "",
            "options:",
            "  -h, --help   show this text; `snnjax COMMAND --help` lists a command's options",
            "  --version    show the version",
            "  --debug      after a command: the full traceback of an error (or SNNJAX_DEBUG=1)",
        ]
    )


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _run(command: str, arguments: list[str]) -> int:
    """Run one command; 0 on success, 2 for expected errors, 130 or its own code if interrupted."""
    debug = "--debug" in arguments or os.environ.get("SNNJAX_DEBUG", "0") not in ("", "0")
    try:
        importlib.import_module(f"snnjax.cli.{command.replace('-', '_')}").run(arguments)
    except BrokenPipeError:  # the reader of our output has closed it, as `head` does
        return _closed()
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except KeyboardInterrupt as stop:
        print(f"snnjax {command}: {_one_line(stop)}", file=sys.stderr)
        return getattr(stop, "exit_code", 130)
    except EXPECTED as error:
        if debug:
            raise
        print(f"snnjax {command}: error: {_one_line(error)}", file=sys.stderr)
        return 2
    return 0


def _closed() -> int:
    """Exit silently if stdout is closed; the interpreter would raise when it flushes."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 128 + 13  # as if by SIGPIPE


def quiet_compiler(arguments: Sequence[str]) -> None:
    """Suppress XLA's warnings about slow compilation; --debug shows them.

    They require no action by the user. Failures are raised as exceptions in any case.
    """
    if "--debug" not in arguments and os.environ.get("SNNJAX_DEBUG", "0") in ("", "0"):
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Args:
      argv: arguments after the program's name; those of the process by default.

    >>> main(["--version"])
    snnjax 0.1.0
    0
    """
    try:
        code = _main(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
    except BrokenPipeError:
        return _closed()
    return code


def _main(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(usage())
        return 0 if arguments else 2
    if arguments[0] == "--version":
        from snnjax import __version__

        print(f"snnjax {__version__}")
        return 0
    command = arguments[0]
    if command not in COMMANDS:
        hint = did_you_mean(command, COMMANDS)
        print(f"snnjax: error: there is no command {command!r}; {hint}", file=sys.stderr)
        return 2
    if command == "train" and wanted(arguments):
        return supervise(command, arguments[1:])
    if NOTES not in os.environ:  # the parent process needs the messages of the distributed service
        quiet_compiler(arguments)
    return _run(command, arguments[1:])
