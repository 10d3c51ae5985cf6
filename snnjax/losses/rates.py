"""Penalties on how often neurons fire."""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike


def rate_band(spikes: ArrayLike, low: float, high: float, *, axes: Sequence[int] = (0, 1)) -> Array:
    """The squared distance of firing rates from a band, averaged over neurons.

        r_n = mean over time and batch of spikes_n
        penalty = mean_n max(low - r_n, 0)^2 + max(r_n - high, 0)^2

    Silent neurons get a gradient through their surrogate, saturated ones the opposite one; inside
    the band there is none. The rate is a mean over samples, so a neuron may fire often for a few.

    Args:
      spikes: [T, B, ..., N], binary or graded.
      low, high: spikes per step, low <= high; 0 and infinity leave a side open.
      axes: the axes over which a rate is averaged.

    Returns:
      A scalar in float32, or wider.

    Zenke and Vogels, "The remarkable robustness of surrogate gradient learning", Neural Computation
    2021, with a band instead of an upper bound.

    >>> z = jnp.array([[[1.0, 0.0, 1.0]], [[1.0, 0.0, 0.0]]])  # rates 1, 0, 1/2
    >>> float(rate_band(z, 0.25, 0.75))
    0.0416666679084301
    """
    if not 0 <= low <= high:
        raise ValueError(f"the band needs 0 <= low <= high; got low={low}, high={high}.")
    spikes = jnp.asarray(spikes)
    wide = jnp.promote_types(spikes.dtype, jnp.float32)
    rate = spikes.astype(wide).mean(axis=tuple(axes))
    return (jnp.maximum(low - rate, 0) ** 2 + jnp.maximum(rate - high, 0) ** 2).mean()


def spike_count(spikes: ArrayLike) -> Array:
    """The mean number of spikes of a neuron in a sample: an L1 penalty on energy.

        penalty = mean_{b, ..., n} sum_t |spikes_{t, b, ..., n}|

    Args:
      spikes: [T, B, ..., N], binary, ternary or graded.

    Returns:
      A scalar in float32, or wider.

    >>> float(spike_count(jnp.array([[[1.0, 0.0]], [[1.0, -1.0]]])))
    1.5
    """
    spikes = jnp.asarray(spikes)
    wide = jnp.promote_types(spikes.dtype, jnp.float32)
    return jnp.abs(spikes.astype(wide)).sum(axis=0).mean()
