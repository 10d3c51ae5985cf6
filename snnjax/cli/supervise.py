"""A parent that waits for one process of several, and says in a line why it ended.

Where another process of a run dies or hangs, JAX's distributed service aborts this one from C++
(SIGABRT, exit code 134). Only a process outside of it can turn that into a message.
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
    # Threads of Gloo write word by word: of two lines at once, one is the rest of the other.
    r"|(?=.*[a-z])(?:is connected to|Expected number of connected|peer ranks|is :|[\d.\s])+$"
)
_TRACE = re.compile(r"\s+@ |\*\*\* ")
_KEPT = 100  # last lines of the service that are looked at, without stack traces


def wanted(arguments: Sequence[str]) -> bool:
    """Whether a command is one of several processes, and this is not yet the child."""
    several = any(word.startswith("--hosts.") for word in arguments)
    return several and not {"-h", "--help"} & set(arguments) and NOTES not in os.environ


def supervise(command: str, arguments: Sequence[str]) -> int:
    """Run the command in a child, wait for it, and return its exit code: 1 if a peer is gone."""
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
    """Hand signals on to the child; the handlers that stood before."""

    def hand_on(number: int, _: FrameType | None) -> None:
        process.send_signal(number)

    numbers = (signal.SIGINT, signal.SIGTERM)
    if threading.current_thread() is not threading.main_thread():
        return {}
    return {number: signal.signal(number, hand_on) for number in numbers}


def _copy(source: IO[str] | None, target: IO[str], service: deque[str]) -> threading.Thread:
    """Copy lines as they come, but for those of the distributed service, which are kept."""

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
    """Why a child died by a signal, and the exit code for it.

    Args:
      number: the signal.
      service: what the distributed service wrote last.
      facts: what the child told: coordinator, count, index, timeouts; once all had met, hosts; once
        a run folder was there, resume.
    """
    if number != signal.SIGABRT or not service:
        name = signal.Signals(number).name
        memory = "; often the machine had no more memory" if number == signal.SIGKILL else ""
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
    return f"{kept}End what is left of the run, then start all processes again{own}: {again}"


def _not_started(service: str, facts: dict[str, Any]) -> str:
    where, count, index = (facts.get(name) for name in ("coordinator", "count", "index"))
    if "Unexpected task" in service:
        return (
            f"process 0 at {where} expects no process {index}: it was started with another number "
            f"of processes. Here hosts.count is {count}; give all processes the same."
        )
    if "DEADLINE_EXCEEDED" in service:
        return (
            f"the {count or 'other'} processes of the run did not all meet at {where} in "
            f"{facts.get('start_timeout')} s. Check that all were started, with the same "
            "hosts.coordinator and hosts.count and with each hosts.index from 0 once."
        )
    return (
        f"process {index} cannot join the run at {where}: {_first(service)} Check that each "
        "hosts.index is given once and that no other run uses this port."
    )


def _first(service: str) -> str:
    """What the service said, without the line's head and the stack trace."""
    fatal = [line for line in service.splitlines() if re.match(r"F\d{4} ", line)]
    text = (fatal or service.splitlines())[-1]
    return text.rpartition("absl::Status: ")[2].rstrip(".") + "."


def child(argv: list[str]) -> None:
    """The process that works: the command, and then an end that waits for nobody who is gone."""
    from snnjax.cli.commands import main

    sys.argv = argv
    _end_with_parent(os.getppid())
    _no_core_file()
    code: int = 1
    try:
        code = main(argv[1:])
    except BaseException:  # noqa: BLE001 - the interpreter would print it, and then wait
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
    """An abort by the service is no defect that a dump of the memory would explain."""
    try:
        import resource
    except ImportError:  # Windows keeps none
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
