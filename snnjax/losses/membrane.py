"""Class scores from the membranes of a non-spiking readout."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike


def softmax_sum(membrane: ArrayLike, lengths: ArrayLike | None = None) -> Array:
    """The sum over time of the softmax of each step.

        score_bk = sum_t softmax(m_tb)_k

    As published for SNN-delays, where the loss is the cross-entropy of the score: a softmax of
    sums of softmaxes.

    Args:
      membrane: m, [T, B, K]. lengths: int [B], steps that count; T by default.

    Returns:
      [B, K].

    >>> softmax_sum(jnp.zeros((3, 1, 2)), jnp.array([2])).tolist()
    [[1.0, 1.0]]
    """
    membrane = jnp.asarray(membrane)
    return until_end(jax.nn.softmax(membrane, axis=-1), lengths).sum(0)


def membrane_mean(membrane: ArrayLike, lengths: ArrayLike | None = None) -> Array:
    """The mean over time of the membrane, [B, K]; for use with a plain cross-entropy.

    Args: as for `softmax_sum`. A sample without steps scores 0.

    >>> membrane_mean(jnp.array([1.0, 3.0, 9.0]).reshape(3, 1, 1), jnp.array([2])).tolist()
    [[2.0]]
    """
    membrane = jnp.asarray(membrane)
    if lengths is None:
        return membrane.mean(0)
    count = jnp.clip(jnp.asarray(lengths), 1, len(membrane)).astype(membrane.dtype)
    return until_end(membrane, lengths).sum(0) / count[:, None]


def until_end(values: ArrayLike, lengths: ArrayLike | None) -> Array:
    """Values [T, B, K] with zeros after the end of each sample, which also stop gradients.

    Args:
      values: one for every step. lengths: int [B], steps that count; T by default.

    >>> until_end(jnp.ones((3, 1, 1)), jnp.array([2])).ravel().tolist()
    [1.0, 1.0, 0.0]
    """
    values = jnp.asarray(values)
    if values.ndim != 3:
        raise ValueError(f"values over time must be [T, B, K]; got {values.shape}.")
    if lengths is None:
        return values
    lengths = jnp.asarray(lengths)
    if lengths.shape != values.shape[1:2]:
        raise ValueError(f"`lengths` must be [B] = {values.shape[1:2]}; got {lengths.shape}.")
    valid = jnp.arange(len(values), dtype=lengths.dtype)[:, None] < lengths
    return jnp.where(valid[..., None], values, 0)
