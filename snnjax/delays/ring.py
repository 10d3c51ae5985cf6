"""Delays one step at a time, with a ring buffer as state, for streams and recurrent networks."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from snnjax.delays.check import check_max_delay
from snnjax.sparse import event_matmul, narrow_product


class RingState(NamedTuple):
    """A ring buffer of the last input frames, or of the next output frames."""

    frames: Array  # [max_delay + 1, B, N]
    turn: Array  # int32 [], position where the next frame is written or read


def ring_init(max_delay: int, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> RingState:
    """An empty buffer of K = max_delay + 1 frames [B, N]."""
    frames = jnp.zeros((check_max_delay(max_delay) + 1, *shape), dtype)
    return RingState(frames, jnp.zeros((), jnp.int32))


def ring_push(state: RingState, x: Array) -> tuple[RingState, Array]:
    """Write a frame over the oldest one; returns all of them by age, [K, B, N], newest first.

    >>> state = ring_init(1, (1, 1))
    >>> for x in (1.0, 2.0, 3.0):
    ...     state, frames = ring_push(state, jnp.full((1, 1), x))
    ...     print(frames.ravel().tolist())
    [1.0, 0.0]
    [2.0, 1.0]
    [3.0, 2.0]
    """
    size = state.frames.shape[0]
    if jnp.shape(x) != state.frames.shape[1:]:
        raise ValueError(
            f"a ring of shape {state.frames.shape} needs frames of {state.frames.shape[1:]}; got "
            f"{jnp.shape(x)}. Make the ring with ring_init({size - 1}, {jnp.shape(x)})."
        )
    frames = state.frames.at[state.turn].set(x)
    by_age = frames[(state.turn - jnp.arange(size, dtype=jnp.int32)) % size]
    return RingState(frames, (state.turn + 1) % size), by_age


def ring_step(
    kernel: Array, state: RingState, x: Array, *, product_dtype: DTypeLike | None = None
) -> tuple[RingState, Array]:
    """One step of a delayed dense layer, `partial(ring_step, kernel)` in a scan.

        y[t] = sum_j x[t - j] @ kernel[j]

    Make the kernel once, outside the scan: `kernel_of(weight, delay, sigma, max_delay)`.

    Args:
      kernel: [K, I, O] with K = max_delay + 1. state: from `ring_init(max_delay, (B, I))`.
      x: [B, I].
      product_dtype: dtype to which both are rounded, see `snnjax.sparse.narrow_product`.

    Returns:
      The next state, and y [B, O].

    >>> kernel = jnp.array([0.0, 3.0]).reshape(2, 1, 1)
    >>> state = ring_init(1, (1, 1))
    >>> for x in (1.0, 0.0):
    ...     state, y = ring_step(kernel, state, jnp.full((1, 1), x))
    ...     print(float(y[0, 0]))
    0.0
    3.0
    """
    if kernel.ndim != 3 or state.frames.shape != (kernel.shape[0], *x.shape):
        raise ValueError(
            f"a kernel [K, I, O] needs a ring [K, B, I] and input [B, I]; got {kernel.shape}, "
            f"{state.frames.shape} and {x.shape}. Make the ring with ring_init(K - 1, x.shape)."
        )
    state, frames = ring_push(state, x)
    product = partial(jnp.einsum, "jbi,jio->bo")
    return state, narrow_product(product, frames, kernel, product_dtype)


def deliver_step(kernel: Array, state: RingState, spikes: Array) -> tuple[RingState, Array]:
    """`ring_step` driven by events: each spike is added to the future outputs that it reaches.

    The cost grows with the number of spikes, K * O additions each. It pays off at a density of a
    few percent, and for inference: derivatives cost as much as dense ones. The state holds future
    outputs.

    Args:
      kernel: [K, I, O], for instance of rounded delays.
      state: from `ring_init(max_delay, (B, O))`, with K = max_delay + 1 frames.
      spikes: [B, I], binary or graded.

    Returns:
      The next state, and y [B, O].
    """
    wanted = (*kernel.shape[:1], *spikes.shape[:1], *kernel.shape[2:])
    if kernel.ndim != 3 or spikes.ndim != 2 or state.frames.shape != wanted:
        raise ValueError(
            f"a kernel [K, I, O] needs a ring [K, B, O] and spikes [B, I]; got {kernel.shape}, "
            f"{state.frames.shape} and {spikes.shape}. Make the ring with ring_init(K - 1, (B, O))."
        )
    size, inputs, outputs = kernel.shape
    arrive = event_matmul(spikes, kernel.swapaxes(0, 1).reshape(inputs, -1))
    arrive = arrive.reshape(-1, size, outputs).swapaxes(0, 1)
    frames = state.frames.at[(state.turn + jnp.arange(size, dtype=jnp.int32)) % size].add(arrive)
    out = frames[state.turn]
    frames = frames.at[state.turn].set(0)
    return RingState(frames, (state.turn + 1) % size), out
