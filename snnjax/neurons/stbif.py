"""The ternary bipolar integrate-and-fire neuron, which settles at a quantised activation."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike, DTypeLike

from snnjax.neurons.membrane import ABOVE_0, as_current, as_params
from snnjax.surrogates import atan


class STBIFParams(NamedTuple):
    """Parameters of ternary bipolar neurons."""

    scale: ArrayLike  # [] or [N], above 0: the step of the quantiser, one spike's worth


class STBIFState(NamedTuple):
    """State of ternary bipolar neurons, both in units of the scale."""

    q: Array  # [..., N], charge not yet emitted, plus 1/2
    count: Array  # [..., N], int32: spikes emitted so far, by sign


def stbif_init(shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> STBIFState:
    """The resting state of a population of `shape`: half a spike's charge, nothing emitted."""
    return STBIFState(q=jnp.full(shape, 0.5, dtype), count=jnp.zeros(shape, jnp.int32))


def stbif_step(
    params: STBIFParams,
    state: STBIFState,
    current: ArrayLike,
    *,
    low: int = 0,
    high: int = 15,
    spike: Callable[[Array], Array] = atan,
) -> tuple[STBIFState, Array]:
    """One step of ternary bipolar integrate-and-fire: integrate, fire within the bounds, subtract.

        q' = q + current / scale
        s  = +1 if q' >= 1 and count < high;  -1 if q' < 0 and count > low;  else 0
        count, q = count + s, q' - s
        out = scale * s

    There is no leak. A negative spike cancels a positive one. Once the input has stopped and
    enough steps have passed, the sum of the outputs is the quantised sum of the inputs,

        scale * count = scale * clip(floor(sum / scale + 1/2), low, high)

    At most one spike is emitted in a step, so n levels can need n steps. The comparisons with the
    bounds carry no gradient; those of the charge carry the surrogate's, though the model is meant
    for converted networks.

    Args:
      params: scales, shape [] or [N]; cast to the state's dtype.
      state: charge, float32 by default, and count, shape [..., N].
      current: input of the step, floating, shape [..., N]: a change of the pre-activation.
      low, high: bounds of the count, the quantiser's lowest and highest level; static.
      spike: surrogate spike function.

    Returns:
      The next state, and -scale, 0 or scale in the state's dtype, of the state's shape.

    Raises:
      TypeError: current not floating, or wider than the state. ValueError: shapes do not fit, or
        low <= 0 <= high does not hold.

    You et al., "SpikeZIP-TF: conversion is all you need for transformer-based SNN", ICML 2024.

    >>> state, outs = stbif_init((1,)), []
    >>> for x in (1.3, 0.0, -0.6, 0.0):
    ...     state, out = stbif_step(STBIFParams(0.5), state, jnp.array([x]))
    ...     outs.append(float(out[0]))
    >>> outs, int(state.count[0])
    ([0.5, 0.5, -0.5, 0.0], 1)
    """
    if not low <= 0 <= high:
        raise ValueError(
            f"`low` and `high` must enclose 0, where the count starts; got low={low}, high={high}."
        )
    (scale,) = as_params(params, state.q, scale=ABOVE_0)
    q = state.q + as_current(current, state.q) / scale
    up = jnp.where(state.count < high, spike(q - 1.0), jnp.zeros_like(q))
    down = jnp.where(state.count > low, 1.0 - spike(q), jnp.zeros_like(q))
    s = up - down
    return STBIFState(q - s, state.count + s.astype(state.count.dtype)), scale * s
