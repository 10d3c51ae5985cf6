"""Helpers for neurons with a window: the inputs of the last steps, and their weighted sum."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from snnjax.neurons.membrane import as_current


def check_window(window: int) -> int:
    """`window`, checked to be an int of at least 1."""
    if isinstance(window, bool) or not isinstance(window, int) or window < 1:
        raise ValueError(f"`window` must be an int of at least 1 step; got {window!r}.")
    return window


def like_step(recent: Array) -> Array:
    """An array like one step of the inputs, for checks of shape and dtype."""
    return jnp.zeros(recent.shape[:-1], recent.dtype)


def push(recent: Array, current: ArrayLike) -> Array:
    """The last K inputs, [..., N, K], with the current as the newest."""
    like = like_step(recent)
    x = jnp.broadcast_to(as_current(current, like), like.shape)
    return jnp.concatenate([recent, x[..., None]], axis=-1)


def dot(weight: Array, x: Array) -> Array:
    """Sum over the last axis of the weight and the first, time, of `x`, in the dtype of `x`."""
    return jnp.tensordot(weight.astype(x.dtype), x, 1)
