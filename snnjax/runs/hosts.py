"""Communication and agreement between the processes of one run.

The engine is JAX's own: `jax.distributed` connects the processes, and the compiled programs do all
the work over the devices of all of them. This module exchanges only short messages.
Process 0 writes files and reports to the user.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from snnjax.runs.errors import HostError

NOTES = "SNNJAX_NOTES"
"""Environment variable with the file through which a process reports to its parent."""

_BLOCK = 1024  # bytes sent at a time
_PATIENCE = 24 * 3600.0  # one process may read its data for hours
_rounds = itertools.count()
_heartbeat = 100

T = TypeVar("T")


def expect_life(seconds: int) -> None:
    """Set the number of seconds without a heartbeat after which a process counts as dead."""
    global _heartbeat
    _heartbeat = seconds


def several() -> bool:
    """Whether more than one process works on this run."""
    return jax.process_count() > 1


def is_first() -> bool:
    """Whether this is the process that writes files and reports to the user."""
    return jax.process_index() == 0


def exchange(text: str) -> list[str]:
    """The messages of all processes, in order; all must call this, and wait for the last one.

    Raises:
      HostError: another process failed; the message has its number and error.
    """
    return _exchange({"text": text})


def _exchange(message: dict[str, str], *, patience: float = _PATIENCE) -> list[str]:
    if not several():
        return [message["text"]]
    wait = ocp.multihost.get_barrier_sync_fn()  # uses no CPU while waiting
    wait(key=f"snnjax-{next(_rounds)}", timeout_ms=round(1000 * patience))
    heard = [json.loads(part) for part in _gather(json.dumps(message).encode())]
    failed = [(i, m["error"]) for i, m in enumerate(heard) if "error" in m]
    if failed and "error" not in message:
        raise HostError("; ".join(f"process {i} failed: {why}" for i, why in failed))
    return [m.get("text", "") for m in heard]


def _gather(message: bytes) -> list[bytes]:
    """Gather the bytes of all processes, in blocks of one size, so that one program serves all."""
    parts = [b"" for _ in range(jax.process_count())]
    sizes = np.ones(len(parts), np.int64)
    for first in itertools.count(0, _BLOCK):
        if first and first >= sizes.max():
            return parts
        block = np.zeros(_BLOCK + 8, np.uint8)
        block[:8] = np.frombuffer(np.int64(len(message)).tobytes(), np.uint8)
        piece = message[first : first + _BLOCK]
        block[8 : 8 + len(piece)] = np.frombuffer(piece, np.uint8)
        every = np.asarray(multihost_utils.process_allgather(block))
        sizes = np.frombuffer(every[:, :8].tobytes(), np.int64)
        parts = [part + row[8:].tobytes() for part, row in zip(parts, every, strict=True)]
        parts = [part[:size] for part, size in zip(parts, sizes, strict=True)]
    raise AssertionError  # unreachable


def from_first(make: Callable[[], T]) -> T:
    """The result of `make` in process 0, sent to all as JSON; the others do not call it."""
    if not several():
        return make()
    return json.loads(exchange(json.dumps(make() if is_first() else None))[0])


@contextlib.contextmanager
def together() -> Iterator[None]:
    """A context whose body succeeds in all processes or fails in all of them.

    Inside, processes may use `exchange` and `from_first`. A program over devices of several
    processes delays the error: the others wait in it until the failed process has exited.
    """
    try:
        yield
    except HostError:
        raise  # the others have it already
    except Exception as error:
        if several():
            message = {"error": f"{type(error).__name__}: {first_line(error)}"}
            with contextlib.suppress(jax.errors.JaxRuntimeError):  # the others do not wait for it
                _exchange(message, patience=_heartbeat)
        raise
    exchange("")


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """If the connection to another process breaks, wait for the name of the dead one.

    JAX's service aborts this process (SIGABRT) when it detects the failure, and names it.

    Raises:
      HostError: the service did not do so in time.
    """
    try:
        yield
    except Exception as error:
        if not (several() and _broken(error)):
            raise
        time.sleep(1.5 * _heartbeat + 5)
        raise HostError(
            f"the connection to another process broke: {first_line(error)}. Stop the remaining "
            "processes of the run, and resume it."
        ) from error


def _broken(error: BaseException | None) -> bool:
    """Whether a program failed because another process is gone, not for lack of memory."""
    while error is not None:
        if isinstance(error, jax.errors.JaxRuntimeError) or "Gloo" in str(error):
            return "RESOURCE_EXHAUSTED" not in str(error)
        error = error.__cause__
    return False


class Agreement:
    """The maximum of a value over all processes, available to all at the same step.

    It does not block: a value is sent after the step and read `late` steps later. A single process
    gets its own value immediately.

    >>> agree = Agreement(late=2)
    >>> agree(0), agree(15)
    (0, 15)
    """

    def __init__(self, late: int):
        self._late = late
        self._cast: deque[jax.Array] = deque()
        if several():
            # All devices, as in a step: programs on a single device of a process are not ordered
            # with the steps, and gloo mixes its messages with those of a group of the same devices.
            mesh = Mesh(np.asarray(jax.devices()), ("all",), axis_types=(AxisType.Auto,))
            self._place = NamedSharding(mesh, P("all"))
            self._largest = jax.jit(jnp.max, out_shardings=NamedSharding(mesh, P()))

    def __call__(self, wish: int) -> int:
        """Submit the value of this process; returns the maximum of earlier values."""
        if not several():
            return wish
        own = np.full(jax.local_device_count(), wish, np.int32)
        wishes = jax.make_array_from_process_local_data(self._place, own)
        self._cast.append(self._largest(wishes))
        return int(self._cast.popleft()) if len(self._cast) > self._late else 0


def check_shared(path: Path, seconds: float = 30.0) -> None:
    """Raise unless a file written by process 0 is visible to this process.

    Raises:
      ValueError: the folder is on a disk that only process 0 can access.
    """
    deadline = time.monotonic() + seconds  # a network disk may lag
    while not path.exists():
        if time.monotonic() > deadline:
            raise ValueError(
                f"this host ({socket.gethostname()}) cannot access {path}, which process 0 wrote. "
                "Put the run folder on a disk that all hosts share (--run-root or --run-folder)."
            )
        time.sleep(0.1)


def check_mesh(mesh: Mesh) -> None:
    """Raise unless every process has devices on the mesh."""
    working = {device.process_index for device in mesh.devices.flat}
    idle = [i for i in range(jax.process_count()) if i not in working]
    if idle:
        raise ValueError(
            f"the mesh {','.join(f'{k}={v}' for k, v in mesh.shape.items())} leaves out process "
            f"{', '.join(map(str, idle))}: {jax.process_count()} processes have "
            f"{jax.device_count()} devices together. Take all of them, with data=-1."
        )


def note(**facts: Any) -> None:
    """Report facts to the parent process, if there is one, for its error messages."""
    name = os.environ.get(NOTES)
    if name is None:
        return
    path = Path(name)
    known = json.loads(path.read_text()) if path.is_file() else {}
    part = path.with_suffix(".part")
    part.write_text(json.dumps(known | facts))
    part.replace(path)


def leave(seconds: float) -> None:
    """Disconnect from the other processes if they do so too within `seconds`.

    Otherwise they still depend on this process, which has failed: its exit informs them.
    """
    if not jax.distributed.is_initialized():
        return
    try:
        ocp.multihost.get_barrier_sync_fn()(key="snnjax-leave", timeout_ms=round(1000 * seconds))
    except jax.errors.JaxRuntimeError:
        return
    jax.distributed.shutdown()


def first_line(error: BaseException) -> str:
    """The first line of an error message, truncated."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".")[:300] if lines else type(error).__name__
