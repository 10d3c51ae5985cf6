"""Batch normalisation of padded rows, where only the first `n` rows of each sample count."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from snnjax.nn.layer import Layer
from snnjax.sparse import masked_moments, masked_normalise
from snnjax.sparse.norm import occupied_rows


class MaskedBatchNorm(Layer):
    """Base of the masked norms: scale, shift and running moments of each channel.

    Training uses the moments of the batch, summed over `axis_name` where one is given, and moves
    the running ones: r = decay * r + (1 - decay) * batch, with the unbiased variance. A batch
    without rows (on all devices together) leaves them as they are.

    Args:
      channels: C. eps: added to the variance. decay: decay rate of the running statistics.
    """

    def __init__(self, channels: int, *, eps: float, decay: float):
        if not 0 <= decay < 1:
            raise ValueError(f"decay must be in [0, 1); got {decay}.")
        if not 0 < eps < math.inf:
            raise ValueError(
                f"eps must be positive and finite, since a channel may have variance 0; got {eps}."
            )
        self.eps, self.decay = eps, decay
        self.scale = nnx.Param(jnp.ones((channels,)))
        self.shift = nnx.Param(jnp.zeros((channels,)))
        self.mean = nnx.BatchStat(jnp.zeros((channels,)))
        self.var = nnx.BatchStat(jnp.ones((channels,)))

    def normalise(
        self, feats: Array, n: Array | None, *, train: bool, axis_name: str | None
    ) -> Array:
        """`feats` [T?, B, R, C] of which the first `n` [B] rows count; the others become 0.

        Without `n` all rows of any [..., C] count.
        """
        if train:
            mean, var = masked_moments(feats, n, axis_name=axis_name)
            self._move(mean, var, occupied_rows(feats, n), axis_name)
        else:
            mean, var = self.mean[...], self.var[...]
        scale, shift = self.scale[...], self.shift[...]
        return masked_normalise(feats, n, mean, var, scale, shift, eps=self.eps)

    def _move(self, mean: Array, var: Array, count: Array, axis_name: str | None) -> None:
        """Update the running moments; count / (count - 1) unbiases the variance, 1 for one row.

        A batch without rows leaves the running moments unchanged.
        """
        count = count.astype(var.dtype)
        if axis_name is not None:
            count = jax.lax.psum(count, axis_name)
        unbiased = var * (count / jnp.maximum(count - 1, 1))
        for running, batch in ((self.mean, mean), (self.var, unbiased)):
            fresh = (1 - self.decay) * jax.lax.stop_gradient(batch)
            moved = self.decay * running[...] + fresh
            running.set_value(jnp.where(count > 0, moved, running[...]))
