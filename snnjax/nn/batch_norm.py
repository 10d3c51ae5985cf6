"""Batch normalisation of dense sequences: all of time, samples and places together."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from snnjax.nn.masked_norm import MaskedBatchNorm
from snnjax.nn.neurons.population import check_count


class BatchNorm(MaskedBatchNorm):
    """Normalise each channel over every other axis.

    The mesh axis over which statistics are summed is an argument of the call, so that one module
    serves any mesh.

    Args:
      channels, eps, decay: as in `MaskedBatchNorm`.

    >>> norm = BatchNorm(1)
    >>> norm(jnp.array([1.0, 3.0]).reshape(2, 1, 1), train=True).ravel().round(3).tolist()
    [-1.0, 1.0]
    """

    def __init__(self, channels: int, *, eps: float = 1e-5, decay: float = 0.9):
        check_count("channels", channels, "BatchNorm")
        super().__init__(channels, eps=eps, decay=decay)

    def __call__(self, x: ArrayLike, *, train: bool = False, axis_name: str | None = None) -> Array:
        """Normalise `x` [T, B, ..., C]; `train` uses and updates with this batch's statistics."""
        x = jnp.asarray(x)
        channels = len(self.scale[...])
        if x.ndim < 2 or x.shape[-1] != channels or 0 in x.shape:
            raise ValueError(
                f"BatchNorm({channels}) takes [T, B, ..., {channels}], no axis of which is 0; got "
                f"{x.shape}. Channels are the last axis."
            )
        return self.normalise(x, None, train=train, axis_name=axis_name)
