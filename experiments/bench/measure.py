"""Timing: programs compiled beforehand, cases run in interleaved rounds, one record each."""

from __future__ import annotations

import dataclasses
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import jax

import snnjax


class Program(NamedTuple):
    """A compiled function with its arguments.

    Attributes:
      run: calls it and waits for its outputs.
      compile_s: seconds of tracing and compiling.
      temp_bytes: peak scratch memory without inputs and outputs; None if XLA does not report it.
    """

    run: Callable[[], Any]
    compile_s: float
    temp_bytes: int | None


def compile_program(function: Callable[..., Any], *args: Any) -> Program:
    """Compile for these arguments.

    >>> import jax.numpy as jnp
    >>> float(compile_program(lambda x: x + 1, jnp.float32(2)).run())
    3.0
    """
    began = time.perf_counter()
    compiled = jax.jit(function).lower(*args).compile()
    seconds = time.perf_counter() - began
    return Program(lambda: jax.block_until_ready(compiled(*args)), seconds, temp_bytes(compiled))


def temp_bytes(compiled: Any) -> int | None:
    """Peak scratch memory of a compiled program."""
    found = getattr(compiled.memory_analysis(), "temp_size_in_bytes", None)
    return None if found is None else int(found)


@dataclass(frozen=True)
class Case:
    """Something to time.

    Attributes:
      library: name of the library. version: its version.
      what: description of the work; `library` and `what` identify the case.
      once: does the work once; returns milliseconds.
      shapes: sizes that the time depends on.
      facts: further keys of the record.
      ratio_to: name of the case to divide by, in the same round.
    """

    library: str
    version: str
    what: str
    once: Callable[[], float]
    shapes: Mapping[str, Any]
    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    ratio_to: str | None = None

    @property
    def name(self) -> str:
        """Name of the case, unique in a group."""
        return f"{self.library}: {self.what}"


def our_case(
    what: str, program: Program, shapes: Mapping[str, Any], *, library: str = "snnjax", **rest: Any
) -> Case:
    """The case of a compiled program; `rest` are facts and `ratio_to`."""
    ratio_to = rest.pop("ratio_to", None)
    facts = {"compile_s": round(program.compile_s, 3), "temp_bytes": program.temp_bytes, **rest}
    return Case(library, our_version(), what, clocked(program.run), shapes, facts, ratio_to)


def clocked(run: Callable[[], Any]) -> Callable[[], float]:
    """`run`, timed in milliseconds."""

    def once() -> float:
        began = time.perf_counter()
        run()
        return 1e3 * (time.perf_counter() - began)

    return once


def interleave(
    calls: Sequence[Callable[[], float]], repeats: int, *, pause: float = 0.005
) -> list[list[float]]:
    """Run calls in turn, A B C A B C ..., and return the times of each.

    Each timed call follows an untimed one of the same case, so that caches are equally warm, and a
    pause, so that threads of the previous case are asleep.

    >>> interleave([lambda: 1.0, lambda: 2.0], 3, pause=0)
    [[1.0, 1.0, 1.0], [2.0, 2.0, 2.0]]
    """
    times: list[list[float]] = [[] for _ in calls]
    for call in calls:
        call()
    for _ in range(repeats):
        for call, own in zip(calls, times, strict=True):
            time.sleep(pause)
            call()
            own.append(call())
    return times


def measure(row: str, cases: Sequence[Case], repeats: int) -> list[dict[str, Any]]:
    """Time a group of cases in turn; one record each.

    Raises:
      ValueError: two cases have one name, or `ratio_to` names a case that is not in the group.
    """
    names = [case.name for case in cases]
    missing = {case.ratio_to for case in cases} - {None, *names}
    if len(set(names)) < len(names) or missing:
        raise ValueError(f"case names must be unique and hold {sorted(map(str, missing))}: {names}")
    times = dict(zip(names, interleave([case.once for case in cases], repeats), strict=True))
    return [_record(row, case, times, repeats) for case in cases]


def _record(
    row: str, case: Case, times: Mapping[str, Sequence[float]], repeats: int
) -> dict[str, Any]:
    own = times[case.name]
    record = {
        "row": row,
        "library": case.library,
        "version": case.version,
        "what": case.what,
        "median_ms": round(statistics.median(own), 4),
        "min_ms": round(min(own), 4),
        "max_ms": round(max(own), 4),
        "repeats": repeats,
        "shapes": dict(case.shapes),
        "device": device(),
        **case.facts,
    }
    if case.ratio_to is not None:
        pairs = zip(own, times[case.ratio_to], strict=True)
        record["ratio_to"] = case.ratio_to
        record["ratio"] = round(statistics.median(a / b for a, b in pairs), 4)
    return record


@cache
def our_version() -> str:
    """Versions of the library and of JAX."""
    return f"{snnjax.__version__} (jax {jax.__version__})"


@cache
def device() -> str:
    """Description of the device, with the number of cores of a CPU."""
    kind = jax.devices()[0].device_kind
    if jax.default_backend() != "cpu":
        return kind
    return f"{_processor() or kind}, {os.cpu_count()} cores"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
