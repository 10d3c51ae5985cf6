"""Kernel sizes, strides, paddings and dilations along the three axes of a grid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

Size = int | Sequence[int]
"""One integer for all axes, or three in the order z, y, x."""

Triple = tuple[int, int, int]


class Geometry(NamedTuple):
    """The static geometry of a convolution, each field for z, y, x; built by `Geometry.of`.

    An output site u reads the input sites u * stride + offset * dilation - padding, with offsets
    0 to kernel_size - 1 on every axis.
    """

    kernel_size: Triple
    stride: Triple
    padding: Triple
    dilation: Triple

    @classmethod
    def of(
        cls, kernel_size: Size = 2, stride: Size = 2, padding: Size = 0, dilation: Size = 1
    ) -> Geometry:
        """The geometry of these sizes, each one integer or three.

        >>> Geometry.of((3, 1, 1), (2, 1, 1)).stride
        (2, 1, 1)
        """
        kernel, step = three("kernel_size", kernel_size), three("stride", stride)
        made = cls(kernel, step, three("padding", padding), three("dilation", dilation))
        if min(made.kernel_size + made.stride + made.dilation) < 1 or min(made.padding) < 0:
            raise ValueError(
                "need kernel_size >= 1, stride >= 1, padding >= 0 and dilation >= 1; got "
                f"kernel_size={kernel_size}, stride={stride}, padding={padding}, "
                f"dilation={dilation}."
            )
        return made

    @property
    def volume(self) -> int:
        """Kernel offsets, K."""
        return math.prod(self.kernel_size)

    @property
    def reach(self) -> int:
        """The largest number of output sites that one input site feeds."""
        return math.prod(self.offsets(axis).shape[1] for axis in range(3))

    def span(self, axis: int) -> int:
        """Cells from the first to the last offset along an axis, dilation included."""
        return self.dilation[axis] * (self.kernel_size[axis] - 1) + 1

    def offsets(self, axis: int) -> np.ndarray:
        """The offsets that map an input position to an output position, by residue: [s, J], or -1.

        Position p reaches u = (p + padding - k * dilation) / s for the offsets k with k * dilation
        congruent to p + padding modulo s.
        """
        stride, dilation = self.stride[axis], self.dilation[axis]
        found: list[list[int]] = [[] for _ in range(stride)]
        for k in range(self.kernel_size[axis]):
            found[k * dilation % stride].append(k)
        width = max(map(len, found))
        return np.array([row + [-1] * (width - len(row)) for row in found], np.int32)

    def out_extent(self, extent: Triple) -> Triple:
        """The extent of a convolution's output: floor((E + 2p - span) / s) + 1 on each axis.

        Raises:
          ValueError: the kernel does not fit into the padded extent.
        """
        z, y, x = (
            (e + 2 * p - self.span(axis)) // s + 1
            for axis, (e, p, s) in enumerate(zip(extent, self.padding, self.stride, strict=True))
        )
        if min(z, y, x) < 1:
            raise ValueError(
                f"a kernel of {self.kernel_size} with dilation {self.dilation} and padding "
                f"{self.padding} does not fit into extent {extent}."
            )
        return z, y, x

    def transposed_extent(self, extent: Triple, output_padding: Triple = (0, 0, 0)) -> Triple:
        """The extent of a transposed convolution's output: (E - 1) s - 2p + span + extra.

        Raises:
          ValueError: padding removes everything, or output_padding is not below the stride.
        """
        if any(not 0 <= o < s for o, s in zip(output_padding, self.stride, strict=True)):
            raise ValueError(
                f"output_padding must be below the stride {self.stride}; got {output_padding}."
            )
        z, y, x = (
            (extent[a] - 1) * self.stride[a] - 2 * self.padding[a] + self.span(a) + extra
            for a, extra in enumerate(output_padding)
        )
        if min(z, y, x) < 1:
            raise ValueError(
                f"padding {self.padding} leaves nothing of a transposed convolution of extent "
                f"{extent} with kernel {self.kernel_size} and stride {self.stride}."
            )
        return z, y, x


def three(name: str, size: Size) -> Triple:
    """The size along z, y and x as Python ints.

    >>> three("stride", 2), three("stride", (2, 1, 1))
    ((2, 2, 2), (2, 1, 1))
    """
    if _is_integer(size):
        return (int(size),) * 3  # type: ignore[arg-type]
    if not isinstance(size, (tuple, list)) or len(size) != 3 or not all(map(_is_integer, size)):
        raise TypeError(
            f"{name} must be one integer for all axes, or three for z, y and x; got {size!r}."
        )
    z, y, x = (int(part) for part in size)
    return z, y, x


def _is_integer(size: object) -> bool:
    return isinstance(size, (int, np.integer)) and not isinstance(size, bool)
