"""Resets of a membrane after a spike. A reset is a function of (v, z, threshold)."""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array
from jax.tree_util import Partial
from jax.typing import ArrayLike

from snnjax.surrogates import lookup

Reset = Callable[[Array, Array, Array], Array]


def subtract(v: Array, z: Array, threshold: Array) -> Array:
    """The soft reset: v - z * threshold. What exceeds the threshold is kept.

    >>> float(subtract(jnp.array(1.5), jnp.array(1.0), jnp.array(1.0)))
    0.5
    """
    return v - z * threshold


def zero(v: Array, z: Array, threshold: Array) -> Array:
    """The hard reset: (1 - z) * v, for integer spikes (1 - min(z, 1)) * v.

    >>> float(zero(jnp.array(1.5), jnp.array(1.0), jnp.array(1.0)))
    0.0
    """
    del threshold
    return v * (1.0 - jnp.where(z > 1.0, jnp.ones_like(z), z))


def reset_to(value: ArrayLike) -> Reset:
    """The hard reset to `value`, a number or [N], instead of 0: (1 - z) * v + z * value.

    For integer spikes z counts as min(z, 1), as in `zero`. Equal numbers give the same object.

    >>> float(reset_to(-0.25)(jnp.array(1.5), jnp.array(1.0), jnp.array(1.0)))
    -0.25
    """
    if isinstance(value, (int, float)):
        return _reset_to_number(float(value))
    return Partial(_reset_to, jnp.asarray(value))


@functools.cache
def _reset_to_number(value: float) -> Reset:
    return functools.partial(_reset_to, value)


def _reset_to(value: ArrayLike, v: Array, z: Array, threshold: Array) -> Array:
    del threshold
    fired = jnp.where(z > 1.0, jnp.ones_like(z), z)
    return (1.0 - fired) * v + fired * jnp.asarray(value, v.dtype)


def none(v: Array, z: Array, threshold: Array) -> Array:
    """No reset: v. The potential continues as if there had been no spike."""
    del z, threshold
    return v


@functools.cache
def detach(reset: Reset) -> Reset:
    """The same reset, with no gradient through the spike in it.

    Args:
      reset: `subtract`, `zero` or a function with the same signature.

    Returns:
      `reset(v, stop_gradient(z), threshold)`; the same object for the same reset.

    >>> v, z = jnp.array(1.5), jnp.array(1.0)
    >>> float(jax.grad(detach(subtract), argnums=1)(v, z, 1.0))
    0.0
    """

    def detached(v: Array, z: Array, threshold: Array) -> Array:
        return reset(v, jax.lax.stop_gradient(z), threshold)

    detached.__name__ = detached.__qualname__ = f"detach_{getattr(reset, '__name__', 'reset')}"
    return detached


RESETS: dict[str, Reset] = {
    "subtract": subtract,
    "zero": zero,
    "none": none,
    "detach_subtract": detach(subtract),
    "detach_zero": detach(zero),
}


def get_reset(name: str) -> Reset:
    """The reset with a given name, for configuration files; a ValueError suggests the nearest name.

    >>> get_reset("zero") is zero
    True
    """
    return lookup(RESETS, name, "reset")
