"""How the processes of a run connect."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass

import jax

from snnjax.runs.errors import HostError
from snnjax.runs.hosts import exchange, expect_life, first_line, note, together


@dataclass(frozen=True, kw_only=True)
class Hosts:
    """How the processes of a run connect; each is started with the same command.

    A process is named by `coordinator`, `count` and `index`. With `auto` JAX takes missing
    fields from the scheduler: Slurm, Kubernetes (JobSet), TPU pods, Open MPI.
    """

    coordinator: str | None = None
    """HOST:PORT at which process 0 listens, the same in all processes."""
    count: int | None = None
    """Number of processes."""
    index: int | None = None
    """Index of this process, from 0."""
    auto: bool = False
    """Take missing fields from the scheduler (Slurm, Kubernetes JobSet, TPU pod, Open MPI)."""
    start_timeout: int = 300
    """Seconds to wait for all processes to connect."""
    heartbeat_timeout: int = 100
    """Seconds without a heartbeat after which a process counts as dead, and the run ends."""

    @property
    def asked(self) -> bool:
        """Whether several processes are configured."""
        return self.auto or any(v is not None for v in (self.coordinator, self.count, self.index))

    def check(self) -> None:
        """Raise unless the fields are consistent.

        Raises:
          ValueError: one is missing or impossible; names the option.

        >>> Hosts(coordinator="node0:1234", count=2, index=2).check()
        Traceback (most recent call last):
        ValueError: hosts.index must be from 0 to 1, since hosts.count is 2; got 2.
        """
        for name in ("start_timeout", "heartbeat_timeout"):
            seconds = getattr(self, name)
            if seconds < 1:
                raise ValueError(f"hosts.{name} must be at least 1 second; got {seconds}.")
            if not self.asked and seconds != getattr(Hosts, name):
                raise ValueError(
                    f"hosts.{name} is only for several processes; got {seconds} for one. Leave it "
                    "out, or give hosts.coordinator, hosts.count and hosts.index, or hosts.auto."
                )
        if self.count is not None and self.count < 1:
            raise ValueError(f"hosts.count must be at least 1; got {self.count}.")
        if self.index is not None and not 0 <= self.index < (self.count or self.index + 1):
            most = "" if self.count is None else f" to {self.count - 1}"
            since = "" if self.count is None else f", since hosts.count is {self.count}"
            raise ValueError(f"hosts.index must be from 0{most}{since}; got {self.index}.")
        if self.coordinator is not None:
            _address(self.coordinator)
        names = ("coordinator", "count", "index")
        missing = [f"hosts.{name}" for name in names if getattr(self, name) is None]
        if missing and self.asked and not self.auto:
            raise ValueError(
                f"{' and '.join(missing)} must be given too; or hosts.auto, where a scheduler "
                "started the processes."
            )


def start(hosts: Hosts) -> None:
    """Connect to the other processes of the run; does nothing for a single process.

    Call it before any use of a device.

    Raises:
      ValueError: an invalid field, no scheduler, or a number of processes that differs from that of
        the others.
      HostError: process 0 cannot be reached, or cannot open its port.
    """
    hosts.check()
    if not hosts.asked or hosts.count == 1:
        return
    note(coordinator=hosts.coordinator, count=hosts.count, index=hosts.index)
    note(start_timeout=hosts.start_timeout, heartbeat_timeout=hosts.heartbeat_timeout)
    jax.config.update("jax_enable_preemption_service", False)  # it would swallow SIGTERM
    deadline = time.monotonic() + hosts.start_timeout
    if hosts.index and hosts.coordinator:
        _reach(hosts.coordinator, hosts.start_timeout)
    _initialize(hosts, max(round(deadline - time.monotonic()), 1))
    expect_life(hosts.heartbeat_timeout)
    with together():
        if hosts.count not in (None, jax.process_count()):
            raise ValueError(
                f"process {hosts.index} was started with hosts.count={hosts.count}, and process 0 "
                f"with {jax.process_count()}. Give all processes the same number."
            )
    note(hosts=exchange(socket.gethostname()), index=jax.process_index())


def _initialize(hosts: Hosts, seconds: int) -> None:
    try:
        jax.distributed.initialize(
            hosts.coordinator,
            hosts.count,
            hosts.index,
            cluster_detection_method=None if hosts.auto else "deactivate",
            initialization_timeout=seconds,
            heartbeat_timeout_seconds=hosts.heartbeat_timeout,
            shutdown_timeout_seconds=hosts.heartbeat_timeout,
        )
    except ValueError as error:
        if not hosts.auto:
            raise
        raise ValueError(
            f"no scheduler describes the processes of this run ({error}). Give hosts.coordinator, "
            "hosts.count and hosts.index."
        ) from error
    except jax.errors.JaxRuntimeError as error:
        raise HostError(
            f"process {hosts.index} cannot start at {hosts.coordinator}: {first_line(error)}. "
            "Give a port that is free on the host of process 0."
        ) from error


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not (host and port.isdecimal() and 0 < int(port) < 65536):
        raise ValueError(f"hosts.coordinator must be HOST:PORT, such as node0:1234; got {text!r}.")
    return host.strip("[]"), int(port)


def _reach(coordinator: str, seconds: float) -> None:
    """Wait until process 0 accepts connections: JAX itself would abort this process."""
    deadline, why = time.monotonic() + seconds, ""
    while time.monotonic() < deadline:
        try:
            socket.create_connection(_address(coordinator), timeout=2.0).close()
        except OSError as error:
            why = str(error)
            time.sleep(0.2)
        else:
            return
    raise HostError(
        f"nothing answered at the coordinator {coordinator} in {seconds} s ({why}). Check that "
        "process 0 runs there, that hosts.coordinator is the address of its host as seen from "
        "here, and that no firewall closes the port."
    )
