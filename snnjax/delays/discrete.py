"""Integer delays: rounding at evaluation, and its effect on the taps."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from snnjax.delays.check import as_delay, check_delay, check_sequence, check_size
from snnjax.delays.kernels import kernel_of, two_taps


def clamp_delay(delay: ArrayLike, size: int) -> Array:
    """The delay clamped to the buffer, 0 .. size - 1, in its own dtype. Apply it after an update.

    >>> clamp_delay(jnp.array([-1.0, 2.5, 9.0]), 5).tolist()
    [0.0, 2.5, 4.0]
    """
    return jnp.clip(jnp.asarray(delay), 0, check_size(size) - 1)


def to_discrete(delay: ArrayLike, size: int) -> Array:
    """Delays rounded to integers within the buffer, as floats, for evaluation and hardware.

    Rounds half to even. The published code rounds the position (size - 1) / 2 - d this way, which
    can differ only for a delay exactly between two steps. With `two_taps` their kernel has a single
    tap.

    >>> to_discrete(jnp.array([0.5, 1.5, 3.7, 8.0]), 5).tolist()
    [0.0, 2.0, 4.0, 4.0]
    """
    return jnp.round(clamp_delay(as_delay(delay), size))


def integer_delayed(x: ArrayLike, delay: ArrayLike, size: int) -> Array:
    """Delay every channel by an integer number of steps: a gather, without multiplications.

        y[t, b, n] = x[t - d[n], b, n], 0 before the start

    Args:
      x: [T, B, N]. delay: d, int [N], in 0 .. size - 1; traced values are clamped.
      size: K, the largest delay + 1.

    Returns:
      [T, B, N].

    >>> x = jnp.arange(1.0, 4.0).reshape(3, 1, 1)
    >>> integer_delayed(x, jnp.array([2]), 3).ravel().tolist()
    [0.0, 0.0, 1.0]
    """
    delay = jnp.asarray(delay)
    if not jnp.issubdtype(delay.dtype, jnp.integer) or delay.ndim != 1:
        raise TypeError(
            f"`delay` must be integers [N]; got {delay.dtype}{list(delay.shape)}. Round it with "
            "to_discrete(delay, size).astype(jnp.int32)."
        )
    check_delay(delay, check_size(size))
    x = check_sequence(x, len(delay))
    delay = jnp.clip(delay, 0, size - 1).astype(jnp.int32)
    source = jnp.arange(len(x), dtype=jnp.int32)[:, None] - delay
    source = source.reshape(len(x), *(1,) * (x.ndim - 2), -1)
    gathered = jnp.take_along_axis(x, jnp.maximum(source, 0), axis=0)
    return jnp.where(source >= 0, gathered, 0)


def discrete_kernel(weight: ArrayLike, delay: ArrayLike, size: int) -> Array:
    """The kernel of integer delays, [K, I, O]: each weight on one step; coinciding taps add up."""
    return kernel_of(weight, to_discrete(delay, size), 0.0, size, taps=two_taps)


def clamp_occupancy(delay: ArrayLike, size: int, margin: float = 0.5) -> Array:
    """The fraction of delays within `margin` of either end of the buffer.

    For a uniform draw it is about 2 margin / (size - 1). A much larger value means that delays
    drift to the ends: lower their learning rate, or let sigma shrink sooner.

    >>> float(clamp_occupancy(jnp.array([0.0, 2.0, 3.9, 4.0]), 5))
    0.75
    """
    delay = as_delay(delay)
    at_end = (delay <= margin) | (delay >= size - 1 - margin)
    return at_end.mean()


def count_collisions(delay: ArrayLike, size: int) -> Array:
    """The number of taps that round to a step already used by another tap of their synapse.

    delays.size minus this is the number of connections that hardware must store.

    Args:
      delay: [I, O, Kc].

    Returns:
      int32 [].

    >>> int(count_collisions(jnp.array([[[1.2, 0.9, 3.0]]]), 5))
    1
    """
    delay = as_delay(delay)
    if delay.ndim != 3:
        raise ValueError(f"`delay` must be [I, O, Kc]; got {delay.shape}.")
    order = jnp.sort(to_discrete(delay, size), axis=-1)
    return (order[..., 1:] == order[..., :-1]).sum(dtype=jnp.int32)
