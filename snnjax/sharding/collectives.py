"""What a compiled program sends between devices, read off its text."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

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
      bytes: of its operands on one device, each time it runs.
      group: devices that take part together.
      times: how often it runs: the lengths of the loops around it, multiplied.
      at_least: it is in a loop whose length the text does not tell, and which counts once.
    """

    kind: str
    bytes: int
    group: int
    times: int = 1
    at_least: bool = False

    @property
    def sent(self) -> float:
        """Bytes that a device sends in a ring of the group, all times together."""
        share = {
            "all-reduce": 2 * (self.group - 1) / self.group,
            "all-gather": self.group - 1,
            "collective-permute": 1,
            "collective-broadcast": 1,
        }.get(self.kind, (self.group - 1) / self.group)
        return self.times * self.bytes * share


def collectives(text: str) -> list[Collective]:
    """The collectives of a program, from `compiled.as_text()`.

    Operands are counted by their dtype, all those of a tuple, a start and its done once, and every
    branch of a conditional.
    Groups of one device, which send nothing, are left out.

    Raises:
      ValueError: an operand or a group is written in a way that is not known here.
    """
    program = _Program(text)
    found = []
    for (name, at_least), times in program.runs().items():
        for line in program.bodies[name]:
            found += program.collective(name, line, times, at_least)
    return found


def bytes_by_kind(found: Iterable[Collective]) -> dict[str, int]:
    """Operand bytes of each kind, by the times that they are sent.

    >>> bytes_by_kind([Collective("all-reduce", 4, 8), Collective("all-reduce", 8, 8, times=3)])
    {'all-reduce': 28}
    """
    total: dict[str, int] = defaultdict(int)
    for one in found:
        total[one.kind] += one.bytes * one.times
    return dict(sorted(total.items()))


_HEAD = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\) -> .*\{\s*$")
_LINE = re.compile(r"^\s*(?:ROOT )?%?([\w.\-]+) = ((?:\([^=]*?\)|\S+)) ([a-z][\w\-]*)\((.*)$")
_CALLED = re.compile(
    r"(?:calls|to_apply|body|condition|true_computation|false_computation)=%?([\w.\-]+)"
)
_BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}")
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')
_TYPE = re.compile(r"\b([a-z]+\d*\w*)\[([\d,]*)\]")


@dataclass(frozen=True)
class _Line:
    name: str
    shape: str
    operation: str
    operands: str
    rest: str


class _Program:
    """The computations of a program: their lines, and the type of every value."""

    def __init__(self, text: str):
        self.bodies: dict[str, list[_Line]] = {}
        self._types: dict[tuple[str, str], str] = {}
        self.entry: str | None = None
        self._devices = _header_devices(text)
        current = ""
        for raw in text.splitlines():
            if head := _HEAD.match(raw):
                current = head[2]
                self.bodies[current] = []
                self.entry = current if head[1] else self.entry
            elif current and (line := _read(raw)) is not None:
                self.bodies[current].append(line)
                self._types[current, line.name] = line.shape
        if self.entry is None:
            raise ValueError("this is not the text of a compiled program: it has no ENTRY.")

    def runs(self) -> dict[tuple[str, bool], int]:
        """How often each computation runs, apart where in a loop of unknown length."""
        times: dict[tuple[str, bool], int] = defaultdict(int)

        def visit(name: str, count: int, at_least: bool) -> None:
            times[name, at_least] += count
            for line in self.bodies.get(name, ()):
                if line.operation.endswith(("-done", "-update")):
                    continue
                loop = line.operation == "while"
                trips = _TRIPS.search(line.rest) if loop else None
                turns = count * (int(trips[1]) if trips else 1)
                for called in _called(line):
                    if called in self.bodies:
                        visit(called, turns, at_least or (loop and trips is None))

        visit(str(self.entry), 1, False)
        return times

    def collective(
        self, body: str, line: _Line, times: int, at_least: bool
    ) -> Iterator[Collective]:
        """The collective of a line of a computation, if it is one that sends."""
        kind = line.operation.removesuffix("-start")
        if kind not in KINDS:
            return
        group = _group(line.rest, self._devices)
        if group > 1:
            size = sum(_bytes(self._type(body, operand)) for operand in _split(line.operands))
            yield Collective(kind, size, group, times, at_least)

    def _type(self, body: str, operand: str) -> str:
        """The type of an operand, written before it or where it is defined."""
        shape, _, name = operand.strip().rpartition(" ")
        known = shape or self._types.get((body, name.lstrip("%")))
        if not known:
            raise ValueError(f"the operand {operand!r} of a collective is defined nowhere.")
        return known


def _read(raw: str) -> _Line | None:
    match = _LINE.match(re.sub(r"/\*.*?\*/", "", raw))
    if match is None:
        return None
    depth = 1
    for end, letter in enumerate(match[4]):
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if depth == 0:
            return _Line(match[1], match[2], match[3], match[4][:end], match[4][end + 1 :])
    return None


def _called(line: _Line) -> list[str]:
    names = _CALLED.findall(line.rest)
    for branches in _BRANCHES.findall(line.rest):
        names += [name.strip().lstrip("%") for name in branches.split(",")]
    return names


def _split(operands: str) -> list[str]:
    """The operands of a call; commas inside of brackets do not separate."""
    parts, depth, start = [], 0, 0
    for i, letter in enumerate(operands):
        depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(letter, 0)
        if letter == "," and depth == 0:
            parts.append(operands[start:i])
            start = i + 1
    last = operands[start:]
    return [*parts, last] if last.strip() else parts


def _bytes(shape: str) -> int:
    """Bytes of an array or a tuple of arrays, such as ``(f32[2,3]{1,0}, bf16[])``."""
    return sum(
        math.ceil(_bits(dtype) * math.prod(int(n) for n in dims.split(",") if n) / 8)
        for dtype, dims in _TYPE.findall(shape)
    )


def _bits(dtype: str) -> int:
    if dtype in ("token", "opaque"):
        return 0
    if dtype == "pred":
        return 8
    match = re.match(r"[a-z]+(\d+)", dtype)  # also f8e4m3fn
    if match is None:
        raise ValueError(f"the dtype {dtype!r} of a collective is not known here.")
    return int(match[1])


def _header_devices(text: str) -> int:
    """Devices of the whole program."""
    header = text.split("\n", 1)[0]
    sizes = [re.search(rf"{name}=(\d+)", header) for name in ("num_partitions", "replica_count")]
    return math.prod(int(size[1]) for size in sizes if size)


def _group(rest: str, devices: int) -> int:
    """How many devices a collective joins, in the ways in which groups are written."""
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
    raise ValueError(f"the devices of a collective are written in an unknown way: {rest[:200]}")
