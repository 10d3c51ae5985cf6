"""A convolution in space whose taps learn where they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.typing import ArrayLike

from snnjax.delays import (
    Taps,
    spaced_conv,
    triangle_taps,
    two_taps,
)
from snnjax.delays.check import (
    check_dimensions,
    check_sigma,
    check_taps,
)
from snnjax.metrics import dense_activity
from snnjax.nn.bounded import Bounded
from snnjax.nn.counting import Counts, count_inputs, with_steps
from snnjax.nn.delay_buffer import (
    Sigma,
    draw_weight,
)
from snnjax.nn.neurons.population import check_count


class SpacedConv(Bounded):
    """A spatial convolution with learnable tap positions: DCLS in 1 to 3 dimensions.

    For delays in time between images see `DelayedConv`.

    Args:
      in_features, out_features: C, O. sizes: extent of the kernel in each dimension.
      kernel_count: Kc, taps of each kernel.
      groups, strides, padding, taps: see `snnjax.delays.spaced_conv`.
      sigma: width of the taps at first; 0 for triangles interpolates.

    >>> conv = SpacedConv(2, 4, (5, 5), kernel_count=3, rngs=nnx.Rngs(0))
    >>> conv(jnp.ones((2, 1, 8, 8, 2))).shape
    (2, 1, 8, 8, 4)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        sizes: Sequence[int],
        *,
        kernel_count: int,
        groups: int = 1,
        strides: Sequence[int] | None = None,
        padding: str | Sequence[tuple[int, int]] = "SAME",
        sigma: float = 0.0,
        taps: Taps = triangle_taps,
        rngs: nnx.Rngs,
    ):
        for name, count in (
            ("in_features", in_features),
            ("out_features", out_features),
            ("kernel_count", kernel_count),
            ("groups", groups),
        ):
            check_count(name, count)
        if in_features % groups or out_features % groups:
            raise ValueError(
                f"`groups` must divide both features; got {groups} with {in_features} and "
                f"{out_features}."
            )
        check_sigma(sigma)
        shape = (in_features // groups, out_features, kernel_count)
        self.sizes, self.groups = check_dimensions(sizes, strides), groups
        self.strides, self.padding, self.taps = strides, padding, check_taps(taps)
        self.weight = draw_weight(shape, "synapse", rngs)
        half = self._half()
        unit = jax.random.uniform(
            rngs.params(), (len(self.sizes), *shape), jnp.float32, minval=-1.0, maxval=1.0
        )
        self.position = nnx.Param(half * unit)
        self.sigma = Sigma(jnp.asarray(sigma, jnp.float32))

    def bounds(self) -> dict[str, tuple[ArrayLike, ArrayLike]]:
        """Lower and upper bounds of this module's parameters."""
        return {"position": (-self._half(), self._half())}

    def __call__(self, x: ArrayLike) -> Array:
        """`x` is [T, B, X_1, .., X_D, C], or without T."""
        weight, place = self.weight[...], self.position[...]
        return self._convolve(x, weight, place, self.sigma[...], self.taps)

    def _convolve(
        self, x: ArrayLike, weight: Array, position: Array, sigma: Array, taps: Taps
    ) -> Array:
        return spaced_conv(
            x,
            weight,
            position,
            sigma,
            self.sizes,
            strides=self.strides,
            padding=self.padding,
            groups=self.groups,
            taps=taps,
        )

    def _half(self) -> Array:
        return ((jnp.array(self.sizes, jnp.float32) - 1) / 2).reshape(-1, 1, 1, 1)


@count_inputs.register
def _(layer: SpacedConv, name: str, x: Array, **_: Any) -> Counts:
    """Count, per entry, the taps of its group whose nearest position reaches an output."""
    half = layer._half()
    place = jnp.round(layer.position[...] + half) - half

    def reached(x: Array) -> Array:
        ones = jnp.ones_like(layer.weight[...])
        return layer._convolve(x, ones, place, jnp.zeros(()), two_taps).sum()

    axes = len(layer.sizes) + 1
    one = jnp.zeros((1, *x.shape[-axes:]))
    degree = jnp.round(jax.grad(reached)(one)[0]).astype(jnp.int32)
    return (dense_activity(name, with_steps(x, axes - 1)[..., None], 1, degree),)
