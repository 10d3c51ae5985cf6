"""A parent process that supervises one process of a run and reports why it ended.

Where another process of a run dies or hangs, JAX's distributed service aborts this one from C++
(SIGABRT, exit code 134). Only another process can turn that into a message.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import IO, Any

NOTES = "SNNJAX_NOTES"
_CODE = "import sys; from snnjax.cli.supervise import child; child(sys.argv[1:])"
_NOISE = re.compile(
    r"\[Gloo\] |[EF]\d{4} \d\d:\d\d:\d\d\.\d+ +\d+ [\w.]+:\d+\] |\d+$|The tasks have crashed"
    # Threads of Gloo write word by word, so that lines may be interleaved.
    r"|(?=.*[a-z])(?:is connected to|Expected number of connected|peer ranks|is :|[\d.\s])+$"
)
_TRACE = re.compile(r"\s+@ |\*\*\* ")
_KEPT = 100  # last lines of the service that are searched, without stack traces


def wanted(arguments: Sequence[str]) -> bool:
    """Whether a command runs as one of several processes and this is not yet the child."""
    several = any(word.startswith("--hosts.") for word in arguments)
    return several and not {"-h", "--help"} & set(arguments) and NOTES not in os.environ


def supervise(command: str, arguments: Sequence[str]) -> int:
    """Run the command in a child process and return its exit code; 1 if a peer is gone."""
    with tempfile.TemporaryDirectory(prefix="snnjax-") as folder:
        notes = Path(folder) / "notes.json"
        process = subprocess.Popen(
            [sys.executable, "-c", _CODE, sys.argv[0], command, *arguments],
            env={**os.environ, NOTES: str(notes)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        service: deque[str] = deque(maxlen=_KEPT)
        handlers = _forward(process)
        readers = [
            _copy(process.stdout, sys.stdout, service),
            _copy(process.stderr, sys.stderr, service),
        ]
        with process:
            code = process.wait()
            for reader in readers:
                reader.join()
        for number, handler in handlers.items():
            signal.signal(number, handler)
        facts = json.loads(notes.read_text()) if notes.is_file() else {}
    if code >= 0:
        return code
    why, code = explain(-code, "\n".join(service), facts)
    print(f"snnjax {command}: error: {why}", file=sys.stderr)
    return code


def _forward(process: subprocess.Popen[str]) -> dict[int, Any]:
    """Forward signals to the child; returns the previous handlers."""

    def hand_on(number: int, _: FrameType | None) -> None:
        process.send_signal(number)

    numbers = (signal.SIGINT, signal.SIGTERM)
    if threading.current_thread() is not threading.main_thread():
        return {}
    return {number: signal.signal(number, hand_on) for number in numbers}


def _copy(source: IO[str] | None, target: IO[str], service: deque[str]) -> threading.Thread:
    """Copy lines of output, except those of the distributed service, which are collected."""

    def work() -> None:
        fatal = False
        for line in source or ():
            fatal = fatal or bool(re.match(r"F\d{4} ", line))  # its stack trace follows
            if _TRACE.match(line) and fatal:
                continue
            if fatal or _NOISE.match(line):
                service.append(line.rstrip())
            else:
                target.write(line)
                target.flush()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def explain(number: int, service: str, facts: dict[str, Any]) -> tuple[str, int]:
    """Explain why a signal killed a child, with the exit code to return.

    Args:
      number: the signal.
      service: last output of the distributed service.
      facts: what the child reported: coordinator, count, index, timeouts; hosts, once all have
        connected; resume, once a run folder exists.
    """
    if number != signal.SIGABRT or not service:
        name = signal.Signals(number).name
        memory = "; often the machine ran out of memory" if number == signal.SIGKILL else ""
        return f"ended by {name}{memory}. {_remedy(facts)}", 128 + number
    if "hosts" not in facts:
        return _not_started(service, facts), 2
    gone = [int(n) for n in re.findall(r"^(?:.*task:)?(\d+)$", service, re.MULTILINE)]
    if "unhealthy" in service and gone:
        who = " and ".join(_named(index, facts) for index in sorted(set(gone)))
    elif "Failed to send RPC" in service or "/Heartbeat" in service:
        who = _named(0, facts)
    else:
        return f"the distributed service ended this process: {_first(service)} {_remedy(facts)}", 1
    limit = facts.get("heartbeat_timeout")
    return f"{who} died, hung for {limit} s or lost its network. {_remedy(facts)}", 1


def _named(index: int, facts: dict[str, Any]) -> str:
    return f"process {index} (host {facts['hosts'][index]})"


def _remedy(facts: dict[str, Any]) -> str:
    kept = "Everything up to the last checkpoint is kept. " if "resume" in facts else ""
    own = ", each with its own hosts.index" if facts.get("index") is not None else ""
    again = facts.get("resume", "the same command")
    return f"{kept}Stop the remaining processes, then start all processes again{own}: {again}"


def _not_started(service: str, facts: dict[str, Any]) -> str:
    where, count, index = (facts.get(name) for name in ("coordinator", "count", "index"))
    if "Unexpected task" in service:
        return (
            f"process 0 at {where} does not expect process {index}: it was started with another "
            f"number of processes. Here hosts.count is {count}; give all processes the same."
        )
    if "DEADLINE_EXCEEDED" in service:
        return (
            f"the {count or 'other'} processes of the run did not all connect to {where} within "
            f"{facts.get('start_timeout')} s. Check that all were started, with the same "
            "hosts.coordinator and hosts.count and with every hosts.index from 0 exactly once."
        )
    return (
        f"process {index} cannot join the run at {where}: {_first(service)} Check that each "
        "hosts.index is given once and that no other run uses this port."
    )


def _first(service: str) -> str:
    """The message of the service, without its prefix and stack trace."""
    fatal = [line for line in service.splitlines() if re.match(r"F\d{4} ", line)]
    text = (fatal or service.splitlines())[-1]
    return text.rpartition("absl::Status: ")[2].rstrip(".") + "."


def child(argv: list[str]) -> None:
    """The child process: run the command, then exit without waiting for peers that are gone."""
    from snnjax.cli.commands import main

    sys.argv = argv
    _end_with_parent(os.getppid())
    _no_core_file()
    code: int = 1
    try:
        code = main(argv[1:])
    except BaseException:  # noqa: BLE001 - the interpreter would wait after printing it
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        if "jax" in sys.modules:
            from snnjax.runs import hosts

            hosts.leave(30.0 if code == 0 else 5.0)
        os._exit(code)


def _end_with_parent(parent: int) -> None:
    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    _thread(watch)


def _thread(work: Callable[[], None]) -> None:
    threading.Thread(target=work, daemon=True).start()


def _no_core_file() -> None:
    """Disable core dumps: an abort by the service is not a crash to be debugged."""
    try:
        import resource
    except ImportError:  # not available on Windows
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
