"""Weight initialisers: functions of a key and a shape."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

Initializer = Callable[[Array, tuple[int, ...]], Array]


def kaiming_uniform(key: Array, shape: tuple[int, ...]) -> Array:
    """Uniform in +-1 / sqrt(K * C) for a weight [K, C, O]: Kaiming initialisation with a = sqrt(5).

    He et al., "Delving deep into rectifiers", ICCV 2015.
    """
    bound = 1.0 / (shape[0] * shape[1]) ** 0.5
    return jax.random.uniform(key, shape, jnp.float32, -bound, bound)


def truncated_normal(key: Array, shape: tuple[int, ...]) -> Array:
    """Normal with standard deviation 0.02, truncated at two standard deviations."""
    return nnx.initializers.truncated_normal(0.02)(key, shape, jnp.float32)
