"""Models of chips and their networks, and of the time of a collective.

Figures are the makers' for dense products, and not measured here; latencies are assumptions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Level:
    """One level of a network, within which devices form rings.

    Attributes:
      size: devices, or groups of those of the level below.
      bandwidth: bytes per second that a device sends over all its links on this level.
      hop: seconds of latency to a neighbour.
      ring: only a ring is possible; else a double tree is used where it is faster, which sends
        `size` bytes in place of (n - 1) / n of them, and needs log2(n) hops in place of n - 1.
      both_ways: whether a closed ring is used in both directions at once: half of the hops.
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
      name: the product name.
      peak: operations per second for products by dtype, named as in `experiments.scale.costs`.
      memory: bytes. bandwidth: memory bandwidth in bytes per second.
      issue: minimum time of an operation in seconds.
      levels: function from a number of devices to its network levels, the innermost first.
      colours: number of parts of a message sent at once, each in a different order of the levels.
    """

    name: str
    peak: dict[str, float]
    memory: float
    bandwidth: float
    issue: float
    levels: Callable[[int], tuple[Level, ...]]
    colours: Callable[[int], int] = lambda _: 1

    def operation(self, flops: Mapping[str, int], size: int) -> tuple[str, float]:
        """The bound of an operation, and its time in seconds.

        Args:
          flops: FLOPs of its products by dtype. size: bytes read and written.

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
          devices: size of its group, which are neighbours.

        Raises:
          ValueError: the kind is not supported.
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
        """Sum the levels, each of which reduces the size of the next."""
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
    """The sides of the most cubic torus of `devices` chips.

    >>> torus(8), torus(4096), torus(2048)
    ((2, 2, 2), (16, 16, 16), (8, 16, 16))

    Raises:
      ValueError: the number of devices is not a power of two.
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
"""The chip that a program models, by its compilation target."""
