"""Rate coding: a value as the probability or the intensity of spikes."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from snnjax.encoders.check import check_steps, check_values


def rate(values: ArrayLike, steps: int, *, key: Array) -> Array:
    """Bernoulli spikes: in each step, independently, a spike with the value as probability.

        z[t] ~ Bernoulli(value),   E[sum_t z] = T value

    Args:
      values: probabilities in [0, 1], shape [B, ...].
      steps: T.
      key: random key; one draw for all of [T, B, ...].

    Returns:
      Spikes in {0, 1}, shape [T, B, ...], dtype of `values`. No gradient passes.

    Raises:
      ValueError: concrete values out of [0, 1] or not finite.

    >>> rate(jnp.array([0.0, 1.0]), 3, key=jax.random.key(0)).tolist()
    [[0.0, 1.0], [0.0, 1.0], [0.0, 1.0]]
    """
    values = check_values(values, 0.0, 1.0)
    shape = (check_steps(steps), *values.shape)
    return jax.random.bernoulli(key, values.astype(jnp.float32), shape).astype(values.dtype)


def poisson(values: ArrayLike, steps: int, *, key: Array, dt: float = 1.0) -> Array:
    """Poisson spikes: a spike where a Poisson process has at least one event in the step.

        z[t] ~ Bernoulli(1 - exp(-value * dt))

    Args:
      values: intensities in events per unit of time, at least 0, shape [B, ...].
      steps: T.
      key: random key; one draw for all of [T, B, ...].
      dt: length of a step in the unit of time, above 0.

    Returns:
      Spikes in {0, 1}, shape [T, B, ...], dtype of `values`. No gradient passes.

    Raises:
      ValueError: concrete values below 0 or not finite; dt not above 0.

    >>> poisson(jnp.array([0.0, 1e3]), 2, key=jax.random.key(0)).tolist()
    [[0.0, 1.0], [0.0, 1.0]]
    """
    if not dt > 0:
        raise ValueError(f"`dt` must be above 0; got {dt}.")
    values = check_values(values, 0.0)
    probability = -jnp.expm1(-dt * values.astype(jnp.float32))
    shape = (check_steps(steps), *values.shape)
    return jax.random.bernoulli(key, probability, shape).astype(values.dtype)
