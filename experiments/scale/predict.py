"""The time of a step by a roofline, over so many devices, and where it stops to scale.

step           = sum over operations of max(compute, memory, issue), + communication
compute        products of each dtype / peak of that dtype
memory         bytes / bandwidth
issue          the least time of an operation
communication  of all collectives, each for itself; nothing of it is hidden behind the rest
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from experiments.scale.chips import Chip

ROOFS = ("compute", "memory", "issue")
ENOUGH = 0.8
"""Efficiency at which weak scaling is said to stop."""
MOST = 2**20
"""Devices up to which that is looked for."""
SMALL = 64 * 1024
"""Bytes below which a message is called small."""


@dataclass(frozen=True)
class Step:
    """Seconds of a predicted step.

    Attributes:
      devices: of the mesh.
      compute, memory, issue: of the operations that each of them bounds.
      carried: communication, by bandwidth. waiting: by latency.
    """

    devices: int
    compute: float
    memory: float
    issue: float
    carried: float
    waiting: float

    @property
    def alone(self) -> float:
        """Without communication."""
        return self.compute + self.memory + self.issue

    @property
    def bound(self) -> str:
        """What bounds most of it."""
        return max(ROOFS, key=lambda name: getattr(self, name))

    @property
    def seconds(self) -> float:
        """All together."""
        return self.alone + self.carried + self.waiting

    @property
    def efficiency(self) -> float:
        """Of weak scaling: the rate of a device against that of one that waits for nobody."""
        return self.alone / self.seconds


def predict(record: dict[str, Any], chip: Chip, devices: int | None = None) -> Step:
    """The step of a compiled program.

    Args:
      record: of `experiments.scale.step`.
      chip: that the program stands for.
      devices: of the mesh; None takes those that it was compiled for. Otherwise its collectives,
        which join all of them, join so many: under weak scaling nothing else changes.

    Raises:
      ValueError: the program is moved to other devices, but does not join all or cuts parameters.
    """
    own = record["devices"]
    count = own if devices is None else devices
    if count != own and (record["sharding"] != "replicated" or not _joins_all(record)):
        raise ValueError(
            f"a program for {own} devices says what {count} would do only where parameters are "
            f"whole and every collective joins all devices; this one is {record['sharding']!r}."
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
    """A step that computes its products at the peak and does nothing else but send."""
    compute = sum(count / chip.peak[kind] for kind, count in record["flops"].items())
    return replace(step, compute=compute, memory=0.0, issue=0.0)


def stops_at(record: dict[str, Any], chip: Chip, *, ideal: bool = False) -> Step | None:
    """The step on the fewest devices, of the powers of two, that scales below `ENOUGH`.

    Args:
      record, chip: as for `predict`.
      ideal: of steps `at_peak`.
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
    """How many small messages a step sends, and bytes of the large ones."""
    parts = record["collectives"]
    few = sum(one["times"] for one in parts if one["bytes"] < SMALL)
    return few, sum(one["times"] * one["bytes"] for one in parts if one["bytes"] >= SMALL)


def verdict(record: dict[str, Any], chip: Chip) -> str:
    """Where weak scaling stops and why, when an epoch is a single step, and what a quicker step
    would come to.
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
    """What the communication of a step is made of."""
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
    """Predicted steps, and for how many devices the program of each was compiled.

    A count without a program of its own takes that of the most devices.
    """
    known = {record["devices"]: record for record in records}
    rows = []
    for count in devices:
        record = known.get(count) or known[max(known)]
        rows.append((predict(record, chip, count), record["devices"]))
    return rows
