"""Roofline predictions of the time of a step by number of devices, and the limit of scaling.

step           = sum over operations of max(compute, memory, issue), + communication
compute        products of each dtype / peak of that dtype
memory         bytes / bandwidth
issue          the least time of an operation
communication  sum over all collectives; no overlap with computation
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from experiments.scale.chips import Chip

ROOFS = ("compute", "memory", "issue")
ENOUGH = 0.8
"""Efficiency below which weak scaling counts as exhausted."""
MOST = 2**20
"""Largest number of devices in that search."""
SMALL = 64 * 1024
"""Bytes below which a message is called small."""


@dataclass(frozen=True)
class Step:
    """A predicted step; times in seconds.

    Attributes:
      devices: number of devices.
      compute, memory, issue: time of the operations with that bound.
      carried: communication time by bandwidth. waiting: communication time by latency.
    """

    devices: int
    compute: float
    memory: float
    issue: float
    carried: float
    waiting: float

    @property
    def alone(self) -> float:
        """The time without communication."""
        return self.compute + self.memory + self.issue

    @property
    def bound(self) -> str:
        """The dominant bound."""
        return max(ROOFS, key=lambda name: getattr(self, name))

    @property
    def seconds(self) -> float:
        """The total time."""
        return self.alone + self.carried + self.waiting

    @property
    def efficiency(self) -> float:
        """Weak-scaling efficiency: the rate of a device relative to one without communication."""
        return self.alone / self.seconds


def predict(record: dict[str, Any], chip: Chip, devices: int | None = None) -> Step:
    """Predict the step of a compiled program.

    Args:
      record: record of `experiments.scale.step`.
      chip: the chip that the program models.
      devices: number of devices; None uses that of the compilation. Otherwise its collectives,
        which join all devices, join this many: under weak scaling nothing else changes.

    Raises:
      ValueError: the program is scaled to other devices, but shards parameters or does not join
        all.
    """
    own = record["devices"]
    count = own if devices is None else devices
    if count != own and (record["sharding"] != "replicated" or not _joins_all(record)):
        raise ValueError(
            f"a program for {own} devices predicts {count} only where parameters are replicated "
            f"and every collective joins all devices; this one is {record['sharding']!r}."
        )
    carried = waiting = 0.0
    for one in record["collectives"]:
        group = one["group"] if count == own else count
        busy, latency = chip.send(one["kind"], one["bytes"], group) if group > 1 else (0.0, 0.0)
        carried += one["times"] * busy
        waiting += one["times"] * latency
    roofs = {name: record["roofline"].get(name, 0.0) for name in ROOFS}
    return Step(devices=count, **roofs, carried=carried, waiting=waiting)


def _joins_all(record: dict[str, Any]) -> bool:
    return all(one["group"] == record["devices"] for one in record["collectives"])


def at_peak(record: dict[str, Any], chip: Chip, step: Step) -> Step:
    """A step that only computes its products at the peak and communicates."""
    compute = sum(count / chip.peak[kind] for kind, count in record["flops"].items())
    return replace(step, compute=compute, memory=0.0, issue=0.0)


def stops_at(record: dict[str, Any], chip: Chip, *, ideal: bool = False) -> Step | None:
    """The step on the fewest devices, of the powers of two, that scales below `ENOUGH`.

    Args:
      record, chip: as for `predict`.
      ideal: whether to use steps `at_peak`.
    """
    devices = 2
    while devices <= MOST:
        step = predict(record, chip, devices)
        step = at_peak(record, chip, step) if ideal else step
        if step.efficiency < ENOUGH:
            return step
        devices *= 2
    return None


def small(record: dict[str, Any]) -> tuple[int, int]:
    """Number of small messages of a step, and bytes of the large ones."""
    parts = record["collectives"]
    few = sum(one["times"] for one in parts if one["bytes"] < SMALL)
    return few, sum(one["times"] * one["bytes"] for one in parts if one["bytes"] >= SMALL)


def verdict(record: dict[str, Any], chip: Chip) -> str:
    """A conclusion: where weak scaling stops and why, when an epoch is a single step, and the limit
    for a faster step.
    """
    step, most = stops_at(record, chip), predict(record, chip, MOST)
    head = (
        f"weak scaling stays above {ENOUGH:.0%}, at {most.efficiency:.0%} on {MOST:,} devices"
        if step is None
        else f"weak scaling falls below {ENOUGH:.0%} at {step.devices:,} devices"
    )
    quick = stops_at(record, chip, ideal=True)
    at = f"nowhere up to {MOST:,}" if quick is None else f"at {quick.devices:,}"
    alone = at_peak(record, chip, most).alone
    return (
        f"{record['workload']} on {chip.name}: {head}, where {_cause(record, step or most)}. "
        f"Its {record['train_size']:,} training samples, {record['samples']} a device, fill one "
        f"step on {record['train_size'] // record['samples']:,} devices. Were a step as quick as "
        f"its products at the peak, {_ms(alone)}, it would fall below {ENOUGH:.0%} {at}."
    )


def _cause(record: dict[str, Any], step: Step) -> str:
    """A description of the communication of a step."""
    messages, size = small(record)
    if step.carried >= step.waiting:
        why = f"{size / 1e6:.1f} MB of gradients take {_ms(step.carried)} of bandwidth"
    else:
        why = (
            f"{sum(one['times'] for one in record['collectives'])} sums one after the other, "
            f"{messages} of them below {SMALL // 1024} KiB, wait {_ms(step.waiting)} for latency"
        )
    return f"{why}, and the rest of the step takes {_ms(step.alone)} ({step.bound})"


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:.2f} ms"


def weak_scaling(
    records: Iterable[dict[str, Any]], chip: Chip, devices: Iterable[int]
) -> list[tuple[Step, int]]:
    """Predicted steps, with the number of devices for which each program was compiled.

    A count without its own program uses that of the most devices.
    """
    known = {record["devices"]: record for record in records}
    rows = []
    for count in devices:
        record = known.get(count) or known[max(known)]
        rows.append((predict(record, chip, count), record["devices"]))
    return rows
