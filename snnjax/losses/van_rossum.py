"""The van Rossum distance between spike trains."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike


def van_rossum(
    spikes: ArrayLike, target: ArrayLike, *, tau: float, lengths: ArrayLike | None = None
) -> Array:
    """The squared distance of two spike trains after an exponential filter.

        e[t] = exp(-1 / tau) * e[t - 1] + (spikes[t] - target[t]),    D = sum_t e[t]^2 / tau

    Differentiable in `spikes` wherever their surrogate is; a spike that is early or late by less
    than tau costs less than one that is missing.

    Args:
      spikes, target: [T, B, ..., N].
      tau: time constant of the filter in steps.
      lengths: int [B], steps of each sample that count; None counts all.

    Returns:
      float32 [B], summed over the trains of a sample.

    Source: van Rossum, "A novel spike distance", Neural Computation 13, 2001.

    >>> one = jnp.zeros((8, 1, 1)).at[2].set(1.0)
    >>> near, far = jnp.roll(one, 1, 0), jnp.roll(one, 4, 0)
    >>> float(van_rossum(near, one, tau=4.0)[0]) < float(van_rossum(far, one, tau=4.0)[0])
    True
    """
    spikes, target = jnp.asarray(spikes), jnp.asarray(target)
    if spikes.shape != target.shape or spikes.ndim < 3:
        raise ValueError(
            f"spikes and target must both be [T, B, ..., N]; got {spikes.shape} and {target.shape}."
        )
    if not tau > 0:
        raise ValueError(f"tau must be above 0; got {tau}.")
    difference = spikes.astype(jnp.float32) - target.astype(jnp.float32)
    decay = jnp.exp(jnp.float32(-1.0 / tau))

    def step(trace: Array, now: Array) -> tuple[Array, Array]:
        trace = decay * trace + now
        return trace, trace

    _, traces = jax.lax.scan(step, jnp.zeros_like(difference[0]), difference)
    squares = (traces**2).sum(axis=tuple(range(2, traces.ndim)))
    if lengths is not None:
        squares = jnp.where(jnp.arange(len(squares))[:, None] < jnp.asarray(lengths), squares, 0.0)
    return squares.sum(axis=0) / tau
