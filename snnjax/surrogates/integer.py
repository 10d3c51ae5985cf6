"""The integer spike function: a clipped, rounded membrane."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from snnjax.surrogates.core import check_floating, compute_dtype, with_primitive


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def _round_clipped(v: Array, levels: int) -> Array:
    # in float32 at least: 0.498 + 0.5 would round up to 1 in bfloat16
    wide = v.astype(compute_dtype(v.dtype))
    return jnp.floor(jnp.clip(wide, 0.0, levels) + 0.5).astype(v.dtype)


@_round_clipped.defjvp
def _round_clipped_jvp(levels, primals, tangents):
    (v,), (dv,) = primals, tangents
    inside = (v > 0) & (v < levels)
    return _round_clipped(v, levels), jnp.where(inside, dv, jnp.zeros((), dv.dtype))


def _clip_primitive(v: Array, levels: ArrayLike = 4) -> Array:
    """P(v) = clip(v, 0, D)."""
    top = jnp.asarray(levels, v.dtype)
    return jnp.where(v <= 0, jnp.zeros((), v.dtype), jnp.where(v >= top, top, v))


@with_primitive(_clip_primitive)
def multi_level(v: ArrayLike, levels: int = 4) -> Array:
    """The integer spike: the membrane, clipped to [0, D] and rounded with halves up.

        s(v) = floor(clip(v, 0, D) + 0.5),   g(v) = 1 for 0 < v < D, else 0,   P(v) = clip(v, 0, D)

    Both inequalities of g are strict. Library rounding (half to even) would differ at 0.5 and 2.5.
    No threshold is subtracted or applied: v is in units of the threshold. NaN stays NaN.

    Args:
      v: membrane potential, any shape.
      levels: D, the largest integer emitted; static, at least 1.

    Returns:
      Integers 0..D with the shape and dtype of `v`.

    Luo et al., "Integer-valued training and spike-driven inference", ECCV 2024.

    >>> multi_level(jnp.array([-0.5, 0.49, 0.5, 1.5, 2.5, 4.2])).tolist()
    [0.0, 0.0, 1.0, 2.0, 3.0, 4.0]
    """
    if isinstance(levels, bool) or not isinstance(levels, int) or levels < 1:
        raise ValueError(f"`levels` must be a Python int of at least 1; got {levels!r}.")
    return _round_clipped(check_floating(v, "v"), levels)
