"""The communication between devices of a compiled program, read from its text."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from snnjax.sharding.program import Line, Program, bytes_of

KINDS = (
    "all-gather",
    "all-reduce",
    "all-to-all",
    "collective-broadcast",
    "collective-permute",
    "ragged-all-to-all",
    "reduce-scatter",
)


@dataclass(frozen=True)
class Collective:
    """One collective operation of a program.

    Attributes:
      kind: one of `KINDS`.
      bytes: size of its operands on one device, each time it runs.
      group: number of devices that take part together.
      times: how often it runs: the lengths of the loops around it, multiplied.
      at_least: whether `times` is a lower bound: a loop of unknown length counts once.
    """

    kind: str
    bytes: int
    group: int
    times: int = 1
    at_least: bool = False

    @property
    def sent(self) -> float:
        """Bytes that a device sends in a ring of the group, over all executions."""
        share = {
            "all-reduce": 2 * (self.group - 1) / self.group,
            "all-gather": self.group - 1,
            "collective-permute": 1,
            "collective-broadcast": 1,
        }.get(self.kind, (self.group - 1) / self.group)
        return self.times * self.bytes * share


def collectives(text: str) -> list[Collective]:
    """The collectives of a program, from `compiled.as_text()`.

    Operands are counted by their dtype: all operands of a tuple, a start and its done together
    once, and every branch of a conditional.
    Groups of one device, which send nothing, are left out.

    Raises:
      ValueError: the format of an operand or a group is not recognised.
    """
    program = Program(text)
    found = []
    for (name, at_least), times in program.runs().items():
        for line in program.bodies[name]:
            found += _collective(program, name, line, times, at_least)
    return found


def bytes_by_kind(found: Iterable[Collective]) -> dict[str, int]:
    """Operand bytes of each kind of collective, counting every execution.

    >>> bytes_by_kind([Collective("all-reduce", 4, 8), Collective("all-reduce", 8, 8, times=3)])
    {'all-reduce': 28}
    """
    total: dict[str, int] = defaultdict(int)
    for one in found:
        total[one.kind] += one.bytes * one.times
    return dict(sorted(total.items()))


def _collective(
    program: Program, body: str, line: Line, times: int, at_least: bool
) -> Iterator[Collective]:
    """The collective that a line of a computation performs, or None."""
    kind = line.operation.removesuffix("-start")
    if kind not in KINDS:
        return
    group = _group(line.rest, program.devices)
    if group > 1:
        size = sum(bytes_of(program.type_of(body, operand)) for operand in line.inputs)
        yield Collective(kind, size, group, times, at_least)


def _group(rest: str, devices: int) -> int:
    """The number of devices in a group of a collective, in any of XLA's notations."""
    if "source_target_pairs=" in rest:
        return 2 if re.search(r"source_target_pairs=\{\{", rest) else 1
    if match := re.search(r"replica_groups=\{\{([\d,]*)\}", rest):
        return len(match[1].split(","))
    if re.search(r"replica_groups=\{\}", rest):
        return devices
    if match := re.search(r"replica_groups=\[\d+,(\d+)\]<=", rest):
        return int(match[1])
    if match := re.search(r"replica_groups=mesh\[([^\]]*)\].*?\{('[^}]*)\}", rest):
        sizes = dict(re.findall(r"'([^']*)'=(\d+)", match[1]))
        axes = re.findall(r"'([^']*)'(?::\(\d+\)(\d+))?", match[2])  # 'x':(2)4 is 4 of x
        return math.prod(int(part or sizes[axis]) for axis, part in axes)
    raise ValueError(f"the devices of a collective are in an unknown format: {rest[:200]}")
