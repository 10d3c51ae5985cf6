"""Several processes as one run: what they say to each other, and what they agree on.

The engine is JAX's own: `jax.distributed` connects the processes, and the compiled programs do all
the work over the devices of all of them. What stands here is said in few words between them.
Process 0 writes files and speaks to the user.
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
"""Environment variable with the file in which a process tells the one that waits for it."""

_BLOCK = 1024  # bytes of a message that go at once
_PATIENCE = 24 * 3600.0  # one process may read its data for hours
_rounds = itertools.count()
_heartbeat = 100

T = TypeVar("T")


def expect_life(seconds: int) -> None:
    """Set after how many seconds without a sign of life the service takes a process for dead."""
    global _heartbeat
    _heartbeat = seconds


def several() -> bool:
    """Whether more than one process works on this run."""
    return jax.process_count() > 1


def is_first() -> bool:
    """Whether this is the process that writes files and speaks."""
    return jax.process_index() == 0


def exchange(text: str) -> list[str]:
    """What each process says, in their order; all must call this, and wait for the last one.

    Raises:
      HostError: another process failed; says which one, and how.
    """
    return _exchange({"text": text})


def _exchange(message: dict[str, str], *, patience: float = _PATIENCE) -> list[str]:
    if not several():
        return [message["text"]]
    wait = ocp.multihost.get_barrier_sync_fn()  # costs nothing while others are busy
    wait(key=f"snnjax-{next(_rounds)}", timeout_ms=round(1000 * patience))
    heard = [json.loads(part) for part in _gather(json.dumps(message).encode())]
    failed = [(i, m["error"]) for i, m in enumerate(heard) if "error" in m]
    if failed and "error" not in message:
        raise HostError("; ".join(f"process {i} failed: {why}" for i, why in failed))
    return [m.get("text", "") for m in heard]


def _gather(message: bytes) -> list[bytes]:
    """The bytes of all processes, in blocks of one size, so that one program serves all."""
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
    raise AssertionError  # the loop does not end otherwise


def from_first(make: Callable[[], T]) -> T:
    """What `make` gives in process 0, as JSON brings it to all; the others do not call it."""
    if not several():
        return make()
    return json.loads(exchange(json.dumps(make() if is_first() else None))[0])


@contextlib.contextmanager
def together() -> Iterator[None]:
    """What is inside succeeds in all processes or in none: an error in one is raised in all.

    Inside, processes may speak by `exchange` and `from_first`. A program over devices of others
    that runs inside holds up the error: they wait in it until the process that failed has gone.
    """
    try:
        yield
    except HostError:
        raise  # the others know
    except Exception as error:
        if several():
            message = {"error": f"{type(error).__name__}: {first_line(error)}"}
            with contextlib.suppress(jax.errors.JaxRuntimeError):  # nobody waits for it
                _exchange(message, patience=_heartbeat)
        raise
    exchange("")


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """Where the connection to another process breaks, learn which one died before ending.

    JAX's service ends this process (SIGABRT) as soon as it knows, and names the dead one.

    Raises:
      HostError: it did not in time.
    """
    try:
        yield
    except Exception as error:
        if not (several() and _broken(error)):
            raise
        time.sleep(1.5 * _heartbeat + 5)
        raise HostError(
            f"the connection to another process broke: {first_line(error)}. End what is left of "
            "the run, and resume it."
        ) from error


def _broken(error: BaseException | None) -> bool:
    """Whether a program failed for want of another process; of memory it may run out alone."""
    while error is not None:
        if isinstance(error, jax.errors.JaxRuntimeError) or "Gloo" in str(error):
            return "RESOURCE_EXHAUSTED" not in str(error)
        error = error.__cause__
    return False


class Agreement:
    """The largest wish of any process, told to all of them at the same step.

    Nobody waits: a wish goes over the network behind the step, and is read `late` steps later.
    Alone, a process gets its own wish at once.

    >>> agree = Agreement(late=2)
    >>> agree(0), agree(15)
    (0, 15)
    """

    def __init__(self, late: int):
        self._late = late
        self._cast: deque[jax.Array] = deque()
        if several():
            # All devices, as of a step: what runs on one of a process alone is not kept in order
            # with the steps, and gloo mixes its messages with those of a group of the same devices.
            mesh = Mesh(np.asarray(jax.devices()), ("all",), axis_types=(AxisType.Auto,))
            self._place = NamedSharding(mesh, P("all"))
            self._largest = jax.jit(jnp.max, out_shardings=NamedSharding(mesh, P()))

    def __call__(self, wish: int) -> int:
        """Say what this process wishes now; get what all wished before."""
        if not several():
            return wish
        own = np.full(jax.local_device_count(), wish, np.int32)
        wishes = jax.make_array_from_process_local_data(self._place, own)
        self._cast.append(self._largest(wishes))
        return int(self._cast.popleft()) if len(self._cast) > self._late else 0


def check_shared(path: Path, seconds: float = 30.0) -> None:
    """Raise unless this process sees a file that process 0 wrote.

    Raises:
      ValueError: the folder lies on a disk of process 0 alone.
    """
    deadline = time.monotonic() + seconds  # a network disk may be late
    while not path.exists():
        if time.monotonic() > deadline:
            raise ValueError(
                f"this host ({socket.gethostname()}) does not see {path}, which process 0 wrote. "
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
    """Tell the waiting parent, if there is one, what it may have to explain later."""
    name = os.environ.get(NOTES)
    if name is None:
        return
    path = Path(name)
    known = json.loads(path.read_text()) if path.is_file() else {}
    part = path.with_suffix(".part")
    part.write_text(json.dumps(known | facts))
    part.replace(path)


def leave(seconds: float) -> None:
    """Part from the other processes, if they part as well within so many seconds.

    If not, they need this process, which has failed: they learn it when it is gone.
    """
    if not jax.distributed.is_initialized():
        return
    try:
        ocp.multihost.get_barrier_sync_fn()(key="snnjax-leave", timeout_ms=round(1000 * seconds))
    except jax.errors.JaxRuntimeError:
        return
    jax.distributed.shutdown()


def first_line(error: BaseException) -> str:
    """What an error says, short enough to be passed on."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".")[:300] if lines else type(error).__name__
