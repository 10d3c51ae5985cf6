"""Integer delays: rounding at evaluation, and its effect on the taps."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from snnjax.delays.check import as_delay, check_delay, check_max_delay, check_sequence
from snnjax.delays.kernels import kernel_of, two_taps


def clamp_delay(delay: ArrayLike, max_delay: int) -> Array:
    """The delay clamped to 0 .. max_delay, in its own dtype. Apply it after an update.

    >>> clamp_delay(jnp.array([-1.0, 2.5, 9.0]), 4).tolist()
    [0.0, 2.5, 4.0]
    """
    return jnp.clip(jnp.asarray(delay), 0, check_max_delay(max_delay))


def round_delay(delay: ArrayLike, max_delay: int) -> Array:
    """Delays rounded to integers in 0 .. max_delay, as floats, for evaluation and hardware.

    Rounds half to even. The published code rounds the position max_delay / 2 - d this way, which
    can differ only for a delay exactly between two steps. With `two_taps` their kernel has a single
    tap.

    >>> round_delay(jnp.array([0.5, 1.5, 3.7, 8.0]), 4).tolist()
    [0.0, 2.0, 4.0, 4.0]
    """
    return jnp.round(clamp_delay(as_delay(delay), max_delay))


def integer_delayed(x: ArrayLike, delay: ArrayLike, max_delay: int) -> Array:
    """Delay every channel by an integer number of steps: a gather, without multiplications.

        y[t, b, n] = x[t - d[n], b, n], 0 before the start

    Args:
      x: [T, B, N]. delay: d, int [N], in 0 .. max_delay; traced values are clamped.
      max_delay: the longest delay.

    Returns:
      [T, B, N].

    >>> x = jnp.arange(1.0, 4.0).reshape(3, 1, 1)
    >>> integer_delayed(x, jnp.array([2]), 2).ravel().tolist()
    [0.0, 0.0, 1.0]
    """
    delay = jnp.asarray(delay)
    if not jnp.issubdtype(delay.dtype, jnp.integer) or delay.ndim != 1:
        raise TypeError(
            f"`delay` must be integers [N]; got {delay.dtype}{list(delay.shape)}. Round it with "
            "round_delay(delay, max_delay).astype(jnp.int32)."
        )
    check_delay(delay, check_max_delay(max_delay))
    x = check_sequence(x, len(delay))
    delay = jnp.clip(delay, 0, max_delay).astype(jnp.int32)
    source = jnp.arange(len(x), dtype=jnp.int32)[:, None] - delay
    source = source.reshape(len(x), *(1,) * (x.ndim - 2), -1)
    gathered = jnp.take_along_axis(x, jnp.maximum(source, 0), axis=0)
    return jnp.where(source >= 0, gathered, 0)


def rounded_kernel(weight: ArrayLike, delay: ArrayLike, max_delay: int) -> Array:
    """The kernel of integer delays, [K, I, O]: each weight on one step; coinciding taps add up."""
    return kernel_of(weight, round_delay(delay, max_delay), 0.0, max_delay, taps=two_taps)


def clamp_occupancy(delay: ArrayLike, max_delay: int, margin: float = 0.5) -> Array:
    """The fraction of delays within `margin` of 0 or max_delay.

    For a uniform draw it is about 2 margin / max_delay. A much larger value means that delays
    drift to the ends: lower their learning rate, or let sigma shrink sooner.

    >>> float(clamp_occupancy(jnp.array([0.0, 2.0, 3.9, 4.0]), 4))
    0.75
    """
    delay = as_delay(delay)
    at_end = (delay <= margin) | (delay >= max_delay - margin)
    return at_end.mean()


def count_collisions(delay: ArrayLike, max_delay: int) -> Array:
    """The number of taps that round to a step already used by another tap of their synapse.

    `delay.size` minus this is the number of connections that hardware must store.

    Args:
      delay: [I, O, Kc].

    Returns:
      int32 [].

    >>> int(count_collisions(jnp.array([[[1.2, 0.9, 3.0]]]), 4))
    1
    """
    delay = as_delay(delay)
    if delay.ndim != 3:
        raise ValueError(f"`delay` must be [I, O, Kc]; got {delay.shape}.")
    order = jnp.sort(round_delay(delay, max_delay), axis=-1)
    return (order[..., 1:] == order[..., :-1]).sum(dtype=jnp.int32)
