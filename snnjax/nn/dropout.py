"""Dropout layers whose mask is the same at every time step."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from snnjax.nn.layer import Layer


class Dropout(Layer):
    """Drop entries of each sample, the same at every step; scale the rest by 1 / (1 - rate).

        y[t, b, i] = keep[b, i] * x[t, b, i] / (1 - rate),   keep ~ Bernoulli(1 - rate)

    A mask that changed from step to step would only be noise to a membrane that integrates.

    Args:
      rate: share that is dropped, in [0, 1).

    >>> y = Dropout(0.5)(jnp.ones((3, 1, 8)), key=jax.random.key(0), train=True)
    >>> sorted(set(y.ravel().tolist())), bool((y == y[0]).all())
    ([0.0, 2.0], True)
    """

    def __init__(self, rate: float):
        self.rate = check_rate(type(self).__name__, rate)

    def __call__(self, x: ArrayLike, *, key: Array | None = None, train: bool = False) -> Array:
        """`x` is [T, B, ..., N]; with `train` entries are dropped by `key`."""
        x = jnp.asarray(x)
        return self._drop(x, x.shape[1:], key, train)

    def _drop(self, x: Array, shape: tuple[int, ...], key: Array | None, train: bool) -> Array:
        if not train or not self.rate:
            return x
        if key is None:
            raise ValueError(
                f"{type(self).__name__}({self.rate}) draws in training; pass key=, such as "
                "jax.random.key(0), to the model."
            )
        keep = jax.random.bernoulli(key, 1 - self.rate, shape)
        return jnp.where(keep, x / (1 - self.rate), 0)


class DropPath(Dropout):
    """Drop a branch for random samples; scale the rest by 1 / (1 - rate).

        y[t, b] = keep[b] * x[t, b] / (1 - rate),   keep ~ Bernoulli(1 - rate)

    Args:
      rate: share of the samples that lose the branch, in [0, 1).

    Huang et al., "Deep networks with stochastic depth", ECCV 2016.

    >>> y = DropPath(0.5)(jnp.ones((3, 8, 2)), key=jax.random.key(0), train=True)
    >>> sorted(set(y.ravel().tolist())), bool((y == y[:1, :, :1]).all())
    ([0.0, 2.0], True)
    """

    def __call__(self, x: ArrayLike, *, key: Array | None = None, train: bool = False) -> Array:
        """`x` is [T, B, ...]; with `train` samples are dropped by `key`."""
        x = jnp.asarray(x)
        return self._drop(x, (x.shape[1], *(1,) * (x.ndim - 2)), key, train)


def check_rate(layer: str, rate: float) -> float:
    """Check that a dropout rate is in [0, 1)."""
    if not 0 <= rate < 1:
        raise ValueError(f"{layer}: the rate must be in [0, 1); got {rate}.")
    return rate
