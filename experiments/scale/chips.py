"""Chips and the networks between them, and how long a collective takes there.

Figures are the makers' for dense products, and not measured here; latencies are assumptions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Level:
    """One level of a network, inside of which every device has a ring.

    Attributes:
      size: devices, or groups of those of the level below.
      bandwidth: bytes a second that a device sends, all its links on this level together.
      hop: seconds of latency to a neighbour.
      ring: only a ring is possible; else a double tree is taken where it is quicker, which sends
        `size` bytes in place of (n - 1) / n of them, and needs log2(n) hops in place of n - 1.
      both_ways: a ring that is closed goes both ways at once: half of the hops.
    """

    size: int
    bandwidth: float
    hop: float
    ring: bool = False
    both_ways: bool = False

    def half(self, size: float) -> tuple[float, float]:
        """Seconds of bandwidth and of latency for a reduce-scatter or all-gather of `size` bytes.

        An all-reduce is both, one after the other.
        """
        steps = self.size - 1
        ring = size * steps / self.size / self.bandwidth, steps * self.hop
        if self.both_ways:
            ring = ring[0], math.ceil(self.size / 2) * self.hop
        if self.ring or self.size == 1:
            return ring
        tree = size / self.bandwidth, math.ceil(math.log2(self.size)) * self.hop
        return min(ring, tree, key=sum)


@dataclass(frozen=True)
class Chip:
    """An accelerator.

    Attributes:
      name: as its maker calls it.
      peak: operations a second for products of each dtype, as `experiments.scale.costs` names them.
      memory: bytes. bandwidth: of the memory, bytes a second.
      issue: seconds that an operation takes at least.
      levels: of the network of so many devices, the innermost first.
      colours: how many parts of a message travel at once, each by another order of the levels.
    """

    name: str
    peak: dict[str, float]
    memory: float
    bandwidth: float
    issue: float
    levels: Callable[[int], tuple[Level, ...]]
    colours: Callable[[int], int] = lambda _: 1

    def operation(self, flops: Mapping[str, int], size: int) -> tuple[str, float]:
        """What bounds an operation, and its seconds.

        Args:
          flops: of its products by dtype. size: bytes that it reads and writes.

        >>> H100.operation({"f32": 495_000_000_000}, 3_350_000)
        ('compute', 0.001)
        """
        roofs = {
            "compute": sum(count / self.peak[kind] for kind, count in flops.items()),
            "memory": size / self.bandwidth,
            "issue": self.issue,
        }
        return max(roofs.items(), key=lambda roof: roof[1])

    def send(self, kind: str, size: int, devices: int) -> tuple[float, float]:
        """Seconds of bandwidth and of latency of a collective.

        Args:
          kind: as in `snnjax.sharding.collectives.KINDS`.
          size: bytes of its operands on one device.
          devices: of its group, which are neighbours.

        Raises:
          ValueError: the kind has no model here.
        """
        if kind == "all-reduce":
            return _twice(self._half(size, devices))
        if kind == "reduce-scatter":
            return self._half(size, devices)
        if kind == "all-gather":
            return self._half(size * devices, devices)
        if kind == "collective-permute":
            level = self.levels(devices)[-1]
            return size / level.bandwidth, level.hop
        raise ValueError(f"{kind!r} has no model; there are sums, gathers, scatters and shifts.")

    def _half(self, size: float, devices: int) -> tuple[float, float]:
        """Level by level, each with what the one before left: a share of its size."""
        colours = self.colours(devices)
        carried, latency, rest = 0.0, 0.0, size / colours
        for level in self.levels(devices):
            busy, waiting = level.half(rest)
            carried, latency, rest = carried + busy, latency + waiting, rest / level.size
        return carried, latency


def _twice(seconds: tuple[float, float]) -> tuple[float, float]:
    return 2 * seconds[0], 2 * seconds[1]


def _nodes(devices: int) -> tuple[Level, ...]:
    """NVLink between eight, then a 400 Gb/s InfiniBand port for each device."""
    inside = math.gcd(devices, 8)
    return (
        Level(inside, bandwidth=450e9, hop=1e-6),
        Level(devices // inside, bandwidth=50e9, hop=5e-6),
    )


def torus(devices: int) -> tuple[int, int, int]:
    """The sides of the most cubic torus of so many chips.

    >>> torus(8), torus(4096), torus(2048)
    ((2, 2, 2), (16, 16, 16), (8, 16, 16))

    Raises:
      ValueError: the devices are no power of two.
    """
    power = devices.bit_length() - 1
    if devices != 2**power:
        raise ValueError(f"a torus takes a power of two of chips; got {devices}.")
    return 2 ** (power // 3), 2 ** ((power + 1) // 3), 2 ** ((power + 2) // 3)


def _links(devices: int) -> tuple[Level, ...]:
    """Inter-chip links of 90 GB/s each way; a side of 4 or more is closed to a ring."""
    return tuple(
        Level(size, 180e9 if size >= 4 else 90e9, hop=1e-6, ring=True, both_ways=size >= 4)
        for size in torus(devices)
    )


H100 = Chip(
    "H100 SXM",
    peak={"f32": 495e12, "bf16": 989e12, "f32 highest": 67e12},
    memory=80e9,
    bandwidth=3.35e12,
    issue=2e-6,
    levels=_nodes,
)
"""Products of float32 are by default those of TF32."""

V5P = Chip(
    "TPU v5p",
    peak={"f32": 459e12, "bf16": 459e12, "f32 highest": 459e12 / 6},
    memory=95e9,
    bandwidth=2.765e12,
    issue=1e-6,
    levels=_links,
    colours=lambda devices: sum(side > 1 for side in torus(devices)) or 1,
)
"""Products of float32 are by default one pass of bfloat16, and six at full precision."""

CHIPS = {"cpu": H100, "tpu": V5P}
"""The chip that a program stands for, by what it was compiled for."""
