"""Computation and memory traffic of a compiled program, parsed from its text with loop counts.

XLA's own `cost_analysis` counts the body of a loop once, which hides most of a spiking network.
Counted here are

    flops       of matrix products and convolutions: 2 per multiplication, none with padding
    bytes       that array operations read from and write to main memory, with the padding of
                tiled layouts: only the selected part of a slice or gather, only the written part
                of an in-place update, and no intermediates of a fusion
    operations  number of array operations
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from experiments.scale.chips import Chip
from snnjax.sharding.collectives import KINDS
from snnjax.sharding.program import ArrayType, Line, Program, arrays_of

NOTHING = {
    "after-all",
    "bitcast",
    "call",
    "conditional",
    "constant",
    "get-tuple-element",
    "opt-barrier",
    "parameter",
    "partition-id",
    "replica-id",
    "tuple",
    "while",
}
"""Operations that move no data themselves."""

SLICES = ("slice", "dynamic-slice", "gather")
UPDATES = {"dynamic-update-slice": 1, "scatter": 2}
"""Operations that write in place, with the index of the written operand."""


@dataclass
class Costs:
    """Costs on one device for one run.

    Attributes:
      flops: by dtype of the larger operand, with " highest" appended for full precision.
      bytes: bytes read and written. operations: number of operations.
      roofline: seconds on a chip, by bound of the operation: compute, memory, or issue.
      cycles: the compiler's own estimate; 0 if it has none.
      loops: number of loops of unknown length, counted once.
    """

    flops: Counter[str] = field(default_factory=Counter)
    bytes: int = 0
    operations: int = 0
    roofline: dict[str, float] = field(default_factory=dict)
    cycles: int = 0
    loops: int = 0


def costs(text: str, chip: Chip) -> Costs:
    """The costs of a program, from `compiled.as_text()`.

    Each operation takes the longest of its products at the peak, its bytes at the bandwidth, and
    the time of issue.
    """
    program, total = Program(text), Costs()
    for (body, _), times in program.runs(inside=False).items():
        for line in program.bodies[body]:
            total.loops += line.operation == "while" and program.trips(body, line) is None
            if not _works(line):
                continue
            flops, moved = Counter[str](), _moved(program, body, line)
            for kind, count in _flops(program, body, line):
                flops[kind] += count
            total.flops.update({kind: times * count for kind, count in flops.items()})
            total.bytes += times * moved
            total.operations += times
            bound, seconds = chip.operation(flops, moved)
            total.roofline[bound] = total.roofline.get(bound, 0.0) + times * seconds
            cycles = re.search(r'"estimated_cycles":"(\d+)"', line.rest)
            total.cycles += times * int(cycles[1]) if cycles else 0
    return total


def _works(line: Line) -> bool:
    """Whether a line is an operation on arrays; scalar operations are free."""
    if line.operation in NOTHING or line.second_half or _sends(line.operation):
        return False
    arrays = arrays_of(line.shape)
    return "AllocateBuffer" not in line.rest and any(math.prod(a.sizes) > 1 for a in arrays)


def _flops(program: Program, body: str, line: Line) -> Iterator[tuple[str, int]]:
    """Products of a line, and of the fusions that it calls, by dtype and precision."""
    if line.operation in ("dot", "convolution"):
        left, right = (_array(program, body, name) for name in line.inputs[:2])
        result = arrays_of(line.shape)[0]
        count = _dot if line.operation == "dot" else _convolution
        dtype = max(left, right, key=lambda array: array.bits).dtype
        precise = "highest" in (re.search(r"operand_precision=\{([^}]*)\}", line.rest) or "  ")[0]
        yield dtype + " highest" * precise, 2 * count(line, left, right, result)
    elif line.operation == "fusion":
        for called in line.called:
            for inner in program.bodies[called]:
                yield from _flops(program, called, inner)


def _array(program: Program, body: str, operand: str) -> ArrayType:
    return arrays_of(program.type_of(body, operand))[0]


def _dot(line: Line, left: ArrayType, right: ArrayType, result: ArrayType) -> int:
    """Multiplications of a matrix product."""
    del right
    axes = re.search(r"lhs_contracting_dims=\{([\d,]*)\}", line.rest)
    summed = [int(axis) for axis in axes[1].split(",") if axis] if axes else []
    return math.prod(result.sizes) * math.prod(left.sizes[axis] for axis in summed)


def _convolution(line: Line, left: ArrayType, right: ArrayType, result: ArrayType) -> int:
    """Multiplications of a convolution with entries of the input, not with padding or holes."""
    labels = re.search(r"dim_labels=(\w+)_(\w+)->(\w+)", line.rest)
    if labels is None:
        raise ValueError(f"a convolution does not name its axes: {line.rest[:200]}")
    ins, kernel, outs = labels[1], labels[2], labels[3]
    spatial = sorted(axis for axis in outs if axis.isdigit())
    window = _window(line.rest, len(spatial))
    total = result.sizes[outs.index("b")] * result.sizes[outs.index("f")]
    total *= right.sizes[kernel.index("i")]
    for axis, options in zip(spatial, window, strict=True):
        total *= _meetings(
            left.sizes[ins.index(axis)],
            right.sizes[kernel.index(axis)],
            result.sizes[outs.index(axis)],
            **options,
        )
    return total


def _window(rest: str, rank: int) -> list[dict[str, int]]:
    """Stride, low padding and dilations along each spatial axis."""
    text = re.search(r"window=\{([^}]*)\}", rest)
    given = dict(part.split("=") for part in text[1].split()) if text else {}
    columns = {
        name: [int(n.partition("_")[0]) for n in given[name].split("x")]
        if name in given
        else [default] * rank
        for name, default in (("stride", 1), ("pad", 0), ("lhs_dilate", 1), ("rhs_dilate", 1))
    }
    return [{name: column[axis] for name, column in columns.items()} for axis in range(rank)]


def _meetings(
    size: int, taps: int, outputs: int, *, stride: int, pad: int, lhs_dilate: int, rhs_dilate: int
) -> int:
    """Pairs of an output and a tap that use an entry of the input, along one axis."""
    at = np.arange(outputs)[:, None] * stride + np.arange(taps) * rhs_dilate - pad
    inside = (at >= 0) & (at <= (size - 1) * lhs_dilate) & (at % lhs_dilate == 0)
    return int(inside.sum())


def _moved(program: Program, body: str, line: Line) -> int:
    """Bytes of main memory that a line reads and writes."""
    results = arrays_of(line.shape)
    if line.operation == "fusion":
        inner = line.called[0]
        types = {
            number: arrays_of(program.type_of(body, x)) for number, x in enumerate(line.inputs)
        }
        read = sum(_read(program, inner, made, types[n]) for n, made in _parameters(program, inner))
        return read + _written(program, inner, program.root(inner), results)
    if line.operation == "copy-start":
        results = results[:1]  # then the source and a context
    read = sum(
        _share(program, body, line, number, arrays_of(program.type_of(body, operand)))
        for number, operand in enumerate(line.inputs)
    )
    return read + _written(program, body, line, results)


def _sends(kind: str) -> bool:
    return kind == "async-start" or kind.removesuffix("-start") in KINDS


def _parameters(program: Program, body: str) -> Iterator[tuple[int, Line]]:
    for line in program.bodies[body]:
        if line.operation == "parameter":
            yield int(line.operands), line


def _read(program: Program, body: str, made: Line, types: list[ArrayType]) -> int:
    """Bytes that a fusion reads of a parameter of this type: slices where it takes only those."""
    total, taken = _main(types), 0
    for line in program.bodies[body]:
        for number, operand in enumerate(line.inputs):
            if taken >= total or operand.rpartition(" ")[2].lstrip("%") != made.name:
                continue
            if line.operation == "bitcast":
                taken += _read(program, body, line, types)
            elif line.operation == "fusion":
                inner = line.called[0]
                taken += _read(program, inner, dict(_parameters(program, inner))[number], types)
            else:
                taken += _share(program, body, line, number, types)
    return min(taken, total)


def _share(program: Program, body: str, line: Line, number: int, types: list[ArrayType]) -> int:
    """Bytes that an operation reads of its operand `number`, of this type."""
    total = _main(types)
    if number == 0 and line.operation in SLICES:
        return min(total, sum(array.held for array in arrays_of(line.shape)))
    if number == 0 and line.operation == "dynamic-update-slice":
        return 0
    if number == 0 and line.operation == "scatter":  # it adds to what was there
        return min(total, _array(program, body, line.inputs[UPDATES["scatter"]]).held)
    return total


def _written(program: Program, body: str, made: Line | None, types: list[ArrayType]) -> int:
    """Bytes that are written of a result of this type, made by this line."""
    total = _main(types)
    if made is None or total == 0:
        return total
    if made.operation == "bitcast":
        return _written(program, body, program.line(body, made.inputs[0]), types)
    if made.operation == "fusion":
        return _written(program, made.called[0], program.root(made.called[0]), types)
    if made.operation == "tuple":
        parts = [program.line(body, name) for name in made.inputs]
        return sum(
            _written(program, body, part, [array]) for part, array in zip(parts, types, strict=True)
        )
    if made.operation in UPDATES:
        update = made.inputs[UPDATES[made.operation]]
        return min(total, _array(program, body, update).held)
    return total


def _main(types: list[ArrayType]) -> int:
    """Bytes of an array in main memory."""
    return sum(array.held for array in types if array.memory == 0)
