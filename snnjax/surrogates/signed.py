"""The signed spike function, with a positive and a negative threshold."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from snnjax.surrogates.core import Spike, check_floating, soft, with_primitive
from snnjax.surrogates.smooth import atan


def _ternary_primitive(v: Array, threshold: ArrayLike = 1.0, base: Spike = atan) -> Array:
    """P(v) = P_base(v - theta) - P_base(-v - theta)."""
    return ternary(v, threshold, base=soft(base))


@with_primitive(_ternary_primitive, uncast=("base",))
def ternary(v: ArrayLike, threshold: ArrayLike = 1.0, *, base: Spike = atan) -> Array:
    """The signed spike: +1 at or above the threshold, -1 at or below its negative, else 0.

        s(v) = base(v - theta) - base(-v - theta)
        g(v) = g_base(v - theta) + g_base(-v - theta)
        P(v) = P_base(v - theta) - P_base(-v - theta)

    Unlike most spike functions it takes the membrane itself and subtracts the threshold on both
    sides; the threshold gets gradients. The area of g is twice that of the base.

    Args:
      v: membrane potential, any shape.
      threshold: theta, above 0, broadcastable to the shape of `v`; traced.
      base: the binary spike function of both sides; slope, gain and strict are set in it, as in
        `partial(atan, slope=3.0, strict=True)`.

    Returns:
      Spikes in {-1, 0, 1} with the shape and dtype of `v`.

    Guo et al., "Ternary spike: Learning ternary spikes for spiking neural networks", AAAI 2024.

    >>> ternary(jnp.array([-1.2, -1.0, 0.0, 0.9, 1.0])).tolist()
    [-1.0, -1.0, 0.0, 0.0, 1.0]
    """
    v = check_floating(v, "v")
    theta = jnp.asarray(threshold, v.dtype)
    return base(v - theta) - base(-v - theta)
