"""Batch normalisation over time and samples, of sequences that end at different times."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.typing import ArrayLike

from snnjax.nn.population import check_count
from snnjax.sparse import masked_moments, masked_normalise


class SequenceBatchNorm(nnx.Module):
    """Normalise each channel over T * B, leaving out the steps after a sample's end.

    Training uses the moments of the batch, summed over `axis_name` where one is given, and moves
    the running ones: r = decay * r + (1 - decay) * batch, with the unbiased variance.

    Args:
      channels: C. eps: added to the variance. decay: of the running statistics.

    >>> norm = SequenceBatchNorm(1)
    >>> y = norm(jnp.array([1.0, 3.0, 99.0]).reshape(3, 1, 1), jnp.array([2]), train=True)
    >>> y.ravel().round(3).tolist()
    [-1.0, 1.0, 0.0]
    """

    def __init__(self, channels: int, *, eps: float = 1e-5, decay: float = 0.9):
        check_count("channels", channels)
        if not 0 <= decay < 1:
            raise ValueError(f"`decay` must be in [0, 1); got {decay}.")
        self.eps, self.decay = eps, decay
        self.scale = nnx.Param(jnp.ones((channels,)))
        self.shift = nnx.Param(jnp.zeros((channels,)))
        self.mean = nnx.BatchStat(jnp.zeros((channels,)))
        self.var = nnx.BatchStat(jnp.ones((channels,)))

    def __call__(
        self,
        x: ArrayLike,
        lengths: ArrayLike | None = None,
        *,
        train: bool = False,
        axis_name: str | None = None,
    ) -> Array:
        """`x` is [T, B, C] and `lengths` int [B], T where not given; later steps become 0."""
        x = jnp.asarray(x)
        channels = len(self.scale[...])
        if x.ndim != 3 or x.shape[-1] != channels:
            raise ValueError(f"SequenceBatchNorm takes [T, B, {channels}]; got {x.shape}.")
        n = jnp.full(x.shape[1:2], x.shape[0]) if lengths is None else jnp.asarray(lengths)
        if n.shape != x.shape[1:2]:
            raise ValueError(f"`lengths` must be [B] = {x.shape[1:2]}; got {n.shape}.")
        n = jnp.clip(n, 0, x.shape[0])
        rows = x.swapaxes(0, 1)  # samples of T rows
        if train:
            mean, var = masked_moments(rows, n, axis_name=axis_name)
            self._move(mean, var, n, axis_name)
        else:
            mean, var = self.mean[...], self.var[...]
        y = masked_normalise(rows, n, mean, var, self.scale[...], self.shift[...], eps=self.eps)
        return y.swapaxes(0, 1)

    def _move(self, mean: Array, var: Array, n: Array, axis_name: str | None) -> None:
        count = n.sum().astype(var.dtype)
        if axis_name is not None:
            count = jax.lax.psum(count, axis_name)
        var = var * count / jnp.maximum(count - 1, 1)
        for running, batch in ((self.mean, mean), (self.var, var)):
            fresh = (1 - self.decay) * jax.lax.stop_gradient(batch)
            running[...] = self.decay * running[...] + fresh
