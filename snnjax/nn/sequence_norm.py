"""Batch normalisation over time and samples for sequences of different lengths."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from snnjax.nn.masked_norm import MaskedBatchNorm
from snnjax.nn.neurons.population import check_count


class SequenceBatchNorm(MaskedBatchNorm):
    """Normalise each channel over T * B, ignoring the steps after a sample's end.

    Args:
      channels, eps, decay: as in `MaskedBatchNorm`.

    >>> norm = SequenceBatchNorm(1)
    >>> y = norm(jnp.array([1.0, 3.0, 99.0]).reshape(3, 1, 1), jnp.array([2]), train=True)
    >>> y.ravel().round(3).tolist()
    [-1.0, 1.0, 0.0]
    """

    def __init__(self, channels: int, *, eps: float = 1e-5, decay: float = 0.9):
        check_count("channels", channels)
        super().__init__(channels, eps=eps, decay=decay)

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
        return self.normalise(rows, n, train=train, axis_name=axis_name).swapaxes(0, 1)
