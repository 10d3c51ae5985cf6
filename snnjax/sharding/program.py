"""The text of a compiled program: its computations, their lines, and how often each runs."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from dataclasses import dataclass

_HEAD = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\) -> .*\{\s*$")
_LINE = re.compile(r"^\s*(ROOT )?%?([\w.\-]+) = ((?:\([^=]*?\)|\S+)) ([a-z][\w\-]*)\((.*)$")
_CALLED = re.compile(
    r"(?:calls|to_apply|body|condition|true_computation|false_computation)=%?([\w.\-]+)"
)
_BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}")
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')
_TYPE = re.compile(r"\b([a-z]+\d*\w*)\[([\d,]*)\](?:\{([^}]*)\})?")
_PASSED_ON = ("copy", "bitcast", "convert", "reshape")


@dataclass(frozen=True)
class Line:
    """One operation: ``name = shape operation(operands), rest``.

    Attributes:
      name, shape, operation, operands, rest: as written, without comments.
      root: whether it is the result of its computation.
    """

    name: str
    shape: str
    operation: str
    operands: str
    rest: str
    root: bool = False

    @property
    def called(self) -> list[str]:
        """The names of the computations that it calls."""
        names = _CALLED.findall(self.rest)
        for branches in _BRANCHES.findall(self.rest):
            names += [name.strip().lstrip("%") for name in branches.split(",")]
        return names

    @property
    def inputs(self) -> list[str]:
        """The operands as a list; commas inside brackets do not separate."""
        parts, depth, start = [], 0, 0
        for i, letter in enumerate(self.operands):
            depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(letter, 0)
            if letter == "," and depth == 0:
                parts.append(self.operands[start:i].strip())
                start = i + 1
        last = self.operands[start:].strip()
        return [*parts, last] if last else parts

    @property
    def second_half(self) -> bool:
        """Whether it waits for an operation that another line started."""
        return self.operation.endswith(("-done", "-update"))


@dataclass(frozen=True)
class ArrayType:
    """An array type.

    Attributes:
      dtype, sizes: as written.
      memory: its memory space, 0 for the main memory.
      entries: number of entries, including the padding of its layout's tiles.
    """

    dtype: str
    sizes: tuple[int, ...]
    memory: int
    entries: int

    @property
    def bits(self) -> int:
        """Bytes of one entry.

        Raises:
          ValueError: the dtype is unknown.
        """
        return _bits(self.dtype)

    @property
    def bytes(self) -> int:
        """Bytes without padding, as they are sent."""
        return math.ceil(self.bits * math.prod(self.sizes) / 8)

    @property
    def held(self) -> int:
        """Bytes in memory, with tiles padded."""
        return math.ceil(self.bits * self.entries / 8)


def arrays_of(shape: str) -> list[ArrayType]:
    """The arrays that a type, possibly a tuple, consists of.

    >>> [one.held for one in arrays_of("(f32[2,3]{1,0:T(8,128)S(1)}, bf16[5]{0}, s32[])")]
    [4096, 10, 4]
    """
    found = []
    for dtype, sizes, layout in _TYPE.findall(shape):
        memory = re.search(r"S\((\d+)\)", layout)
        dims = tuple(int(n) for n in sizes.split(",") if n)
        entries = math.prod(_filled(dims, layout))
        found.append(ArrayType(dtype, dims, int(memory[1]) if memory else 0, entries))
    return found


def _filled(dims: tuple[int, ...], layout: str) -> list[int]:
    """Sizes from the slowest axis to the fastest, the last ones padded to full tiles."""
    order, _, rest = layout.partition(":")
    axes = [int(axis) for axis in order.split(",") if axis]
    sizes = [dims[axis] for axis in reversed(axes)] if axes else list(dims)
    tile = re.match(r"T\(([\d,]+)\)", rest)
    sides = [int(side) for side in tile[1].split(",")] if tile else []
    for place, side in zip(range(len(sizes) - 1, -1, -1), reversed(sides), strict=False):
        sizes[place] = -(-sizes[place] // side) * side
    return sizes


def bytes_of(shape: str) -> int:
    """Bytes of an array or a tuple of arrays, such as ``(f32[2,3]{1,0}, bf16[])``."""
    return sum(array.bytes for array in arrays_of(shape))


class Program:
    """A compiled program, parsed from `compiled.as_text()`.

    Attributes:
      bodies: the lines of each computation, in order.
      entry: the computation that runs first.
      devices: number of devices that the program runs on.

    Raises:
      ValueError: the text has no entry.
    """

    def __init__(self, text: str):
        self.bodies: dict[str, list[Line]] = {}
        self._lines: dict[tuple[str, str], Line] = {}
        self.devices = _header_devices(text)
        entry, current = None, ""
        for raw in text.splitlines():
            if head := _HEAD.match(raw):
                current = head[2]
                self.bodies[current] = []
                entry = current if head[1] else entry
            elif current and (line := _read(raw)) is not None:
                self.bodies[current].append(line)
                self._lines[current, line.name] = line
        if entry is None:
            raise ValueError("this is not the text of a compiled program: it has no ENTRY.")
        self.entry = entry

    def runs(self, *, inside: bool = True) -> dict[tuple[str, bool], int]:
        """How often each computation runs, and which are in a loop of unknown length.

        Args:
          inside: whether to count the computations called by fusions and reductions too, which are
            not separate steps.
        """
        times: dict[tuple[str, bool], int] = defaultdict(int)

        def visit(name: str, count: int, at_least: bool) -> None:
            times[name, at_least] += count
            for line in self.bodies[name]:
                if line.second_half or not (inside or _steps(line)):
                    continue
                loop = line.operation == "while"
                trips = self.trips(name, line) if loop else 1
                for called in line.called:
                    if called in self.bodies:
                        visit(called, count * (trips or 1), at_least or trips is None)

        visit(self.entry, 1, False)
        return times

    def trips(self, body: str, loop: Line) -> int | None:
        """The number of iterations of a while loop, or None if the text does not determine it.

        Where the backend does not record it, the loop must count from a constant by one up to a
        constant in the condition.
        """
        if noted := _TRIPS.search(loop.rest):
            return int(noted[1])
        condition = re.search(r"condition=%?([\w.\-]+)", loop.rest)
        test = self.root(condition[1]) if condition and condition[1] in self.bodies else None
        if test is None or test.operation != "compare" or "direction=LT" not in test.rest:
            return None
        counter, limit = (self.source(condition[1], name) for name in test.inputs)  # type: ignore
        start = counter and self._entry_of(body, loop.inputs[0], _index(counter))
        first, last = _constant(start), _constant(limit)
        if first is None or last is None or not self._counts(loop, _index(counter)):
            return None
        return max(last - first, 0)

    def _counts(self, loop: Line, index: int | None) -> bool:
        """Whether an iteration adds 1 to an entry of the loop's carry."""
        body = re.search(r"body=%?([\w.\-]+)", loop.rest)
        result = self.root(body[1]) if body and body[1] in self.bodies else None
        if body is None or result is None or result.operation != "tuple" or index is None:
            return False
        new = self.source(body[1], result.inputs[index])
        if new is None or new.operation != "add":
            return False
        parts = [self.source(body[1], name) for name in new.inputs]
        return any(_constant(part) == 1 for part in parts) and any(
            _index(part) == index for part in parts
        )

    def _entry_of(self, body: str, name: str, index: int | None) -> Line | None:
        definition = self.source(body, name)
        if definition is None or definition.operation != "tuple" or index is None:
            return None
        return self.source(body, definition.inputs[index])

    def root(self, body: str) -> Line | None:
        """The result of a computation."""
        return next((line for line in self.bodies[body] if line.root), None)

    def source(self, body: str, operand: str) -> Line | None:
        """The line that computes an operand, looking through copies and conversions."""
        line = self._lines.get((body, _name(operand)))
        while line is not None and line.operation in _PASSED_ON:
            line = self._lines.get((body, _name(line.inputs[0])))
        return line

    def line(self, body: str, operand: str) -> Line | None:
        """The line that defines an operand."""
        return self._lines.get((body, _name(operand)))

    def type_of(self, body: str, operand: str) -> str:
        """The type of an operand, written before it or where it is defined.

        Raises:
          ValueError: it is not found.
        """
        shape, _, _ = operand.strip().rpartition(" ")
        line = None if shape else self.line(body, operand)
        if line is None and not shape:
            raise ValueError(f"the operand {operand!r} of an operation is not defined.")
        return shape or line.shape  # type: ignore[union-attr]


def _name(operand: str) -> str:
    return operand.strip().rpartition(" ")[2].lstrip("%")


def _steps(line: Line) -> bool:
    """Whether the computations that a line calls belong to the sequence of steps."""
    return line.operation in ("while", "call", "conditional", "async-start")


def _constant(line: Line | None) -> int | None:
    if line is None or line.operation != "constant" or not re.fullmatch(r"-?\d+", line.operands):
        return None
    return int(line.operands)


def _index(line: Line | None) -> int | None:
    """The index of the tuple entry that a line reads."""
    found = re.search(r"index=(\d+)", line.rest) if line else None
    return int(found[1]) if found and line and line.operation == "get-tuple-element" else None


def _read(raw: str) -> Line | None:
    match = _LINE.match(re.sub(r"/\*.*?\*/", "", raw))
    if match is None:
        return None
    depth = 1
    for end, letter in enumerate(match[5]):
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if depth == 0:
            operands, rest = match[5][:end], match[5][end + 1 :]
            return Line(match[2], match[3], match[4], operands, rest, bool(match[1]))
    return None


def _bits(dtype: str) -> int:
    if dtype in ("token", "opaque"):
        return 0
    if dtype == "pred":
        return 8
    match = re.match(r"[a-z]+(\d+)", dtype)  # also f8e4m3fn
    if match is None:
        raise ValueError(f"the dtype {dtype!r} of an operation is unknown.")
    return int(match[1])


def _header_devices(text: str) -> int:
    """The number of devices of the program."""
    header = text.split("\n", 1)[0]
    sizes = [re.search(rf"{name}=(\d+)", header) for name in ("num_partitions", "replica_count")]
    return math.prod(int(size[1]) for size in sizes if size)
