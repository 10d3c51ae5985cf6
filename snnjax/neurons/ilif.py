"""The integer leaky integrate-and-fire neuron, and its exact unrolling to binary spikes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, errors
from jax.typing import ArrayLike, DTypeLike

from snnjax.neurons.integrate_fire import IFParams, IFState, if_step
from snnjax.neurons.membrane import FACTOR, as_current, as_param, as_params
from snnjax.neurons.reset import Reset, subtract
from snnjax.surrogates import multi_level


class ILIFParams(NamedTuple):
    """Parameters of integer leaky integrate-and-fire neurons."""

    decay: ArrayLike  # [] or [N]: beta in [0, 1]


class ILIFState(NamedTuple):
    """State of integer leaky integrate-and-fire neurons."""

    v: Array  # [..., N], h - s: membrane potential after the reset


def ilif_init(shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> ILIFState:
    """The resting state of a population of `shape`."""
    return ILIFState(v=jnp.zeros(shape, dtype))


def ilif_step(
    params: ILIFParams,
    state: ILIFState,
    current: ArrayLike,
    *,
    levels: int = 4,
    spike: Callable[[Array, int], Array] = multi_level,
    reset: Reset = subtract,
) -> tuple[ILIFState, Array]:
    """One step of the integer LIF neuron: leak, integrate, emit an integer, reset by it.

        h[t] = beta * (h[t-1] - s[t-1]) + current
        s[t] = floor(clip(h[t], 0, D) + 0.5)
        v[t] = h[t] - s[t]                          (state; reset=zero: 0 where s > 0)

    The threshold is 1 and the input is not scaled. From rest the first step is
    `multi_level(current, D)`, which is the complete T = 1 model. In training s is used directly; at
    inference `ilif_unroll_spikes` turns it into D binary steps.

    Args:
      params: decay beta, shape [] or [N]; cast to the membrane's dtype.
      state: h - s, float32 by default, shape [..., N].
      current: input current, floating, shape [..., N]; cast to the membrane's dtype.
      levels: D, the largest integer emitted; static.
      spike: integer spike function, called as `spike(h, levels)`.
      reset: `subtract`, `zero`, `none`, or one of them with `detach`.

    Returns:
      The next state, and integers 0..D with the state's shape and the dtype of `current`.

    Raises:
      TypeError: current not floating, or wider than the membrane. ValueError: shapes do not fit.

    Luo et al., "Integer-valued training and spike-driven inference", ECCV 2024.

    >>> state, s = ilif_step(ILIFParams(0.25), ilif_init((2,)), jnp.array([2.5, 9.0]))
    >>> s.tolist(), state.v.tolist()
    ([3.0, 4.0], [-0.5, 5.0])
    """
    current = jnp.asarray(current)
    (decay,) = as_params(params, state.v, decay=FACTOR)
    h = decay * state.v + as_current(current, state.v)
    s = spike(h, levels)
    return ILIFState(reset(h, s, as_param(1.0, h))), s.astype(current.dtype)


def ilif_unroll_spikes(s: ArrayLike, levels: int = 4) -> Array:
    """Integers as binary spikes over D virtual steps: the d-th slice is 1 where s >= d.

        s = sum_d 1[s >= d],   hence W s = sum_d W 1[s >= d] for every linear W

    Biases and norms act on the sum, never on one virtual step. The gradient passes straight
    through to the integers, ds = sum_d g_d / D, which is the gradient of W s if each slice is
    multiplied by W.

    Args:
      s: integers 0..D, any shape.
      levels: D.

    Returns:
      Spikes in {0, 1}, shape [D, ...], dtype of `s`.

    Raises:
      ValueError: concrete `s` holds values other than integers in 0..D.

    >>> ilif_unroll_spikes(jnp.array([0.0, 1.0, 3.0]), 3).tolist()
    [[0.0, 1.0, 1.0], [0.0, 0.0, 1.0], [0.0, 0.0, 1.0]]
    """
    s = jnp.asarray(s)
    try:
        known = np.asarray(s).astype(np.float64)
    except errors.TracerArrayConversionError:
        known = np.zeros(())
    if not np.all((known >= 0) & (known <= levels) & (known == np.floor(known))):
        raise ValueError(
            f"`s` must hold integers in 0..{levels}; got values in [{known.min()}, {known.max()}]. "
            "Unroll the output of multi_level with the same number of levels."
        )
    return _slices(s, levels)


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def _slices(s: Array, levels: int) -> Array:
    steps = jnp.arange(1, levels + 1, dtype=s.dtype).reshape(-1, *(1,) * s.ndim)
    return (s[None] >= steps).astype(s.dtype)


@_slices.defjvp
def _slices_jvp(levels: int, primals: Any, tangents: Any) -> tuple[Array, Array]:
    spikes = _slices(*primals, levels)
    return spikes, jnp.broadcast_to(tangents[0] / levels, spikes.shape)


def ilif_fire(h: ArrayLike, levels: int = 4) -> Array:
    """The binary spikes that represent an integer, emitted by a leak-free IF neuron in D steps.

    The IF neuron has threshold 1, soft reset and no input, and starts at clip(h, 0, D) + 0.5; it
    fires floor(clip(h, 0, D) + 0.5) times, in the first steps: its spikes are
    `ilif_unroll_spikes(multi_level(h, D), D)`, which needs only one comparison.

    Args:
      h: charged membrane, floating, any shape.
      levels: D, the number of steps.

    Returns:
      Spikes in {0, 1}, shape [D, ...].

    >>> ilif_fire(jnp.array(2.5), 4).tolist()
    [1.0, 1.0, 1.0, 0.0]
    """
    h = jnp.asarray(h)
    state, spikes = IFState(jnp.clip(h, 0, levels) + 0.5), []
    for _ in range(levels):
        state, z = if_step(IFParams(1.0), state, jnp.zeros_like(h))
        spikes.append(z)
    return jnp.stack(spikes)
