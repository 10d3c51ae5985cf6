"""The quadratic integrate-and-fire neuron."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike, DTypeLike

from snnjax.neurons.membrane import ABOVE_0, as_current, as_param, as_params
from snnjax.neurons.nonlinear import hard
from snnjax.neurons.reset import Reset
from snnjax.surrogates import atan


class QIFParams(NamedTuple):
    """Parameters of quadratic integrate-and-fire neurons, each [] or [N]."""

    tau: ArrayLike  # membrane time constant, in the unit of dt
    v_rest: ArrayLike  # stable point without input
    v_c: ArrayLike  # critical point, above v_rest: beyond it v diverges by itself
    a0: ArrayLike  # curvature, above 0
    threshold: ArrayLike  # at or above v_c
    v_reset: ArrayLike  # where v goes after a spike


class QIFState(NamedTuple):
    """State of quadratic integrate-and-fire neurons."""

    v: Array  # [..., N], membrane potential after the reset


def qif_init(
    shape: tuple[int, ...], dtype: DTypeLike = jnp.float32, *, v0: ArrayLike = 0.0
) -> QIFState:
    """A population of `shape` at `v0`, [] or [N]; it rests if that is `v_rest`."""
    return QIFState(v=jnp.full(shape, v0, dtype))


def qif_step(
    params: QIFParams,
    state: QIFState,
    current: ArrayLike,
    *,
    spike: Callable[[Array], Array] = atan,
    reset: Reset = hard,
    dt: ArrayLike = 1.0,
) -> tuple[QIFState, Array]:
    """One step of quadratic integrate-and-fire: integrate, fire, reset, in that order.

        v' = v + dt/tau * (current + a0 * (v - v_rest) * (v - v_c))
        z  = H(v' - threshold)
        v  = reset(v', z, v_reset)

    One forward-Euler step; the time from v_c to the threshold is not refined, and v' is not clipped
    at the threshold. A constant current fires above its rheobase a0 * (v_c - v_rest)^2 / 4.
    SpikingJelly has tau 2, v_rest 0, v_c 0.8, a0 1, threshold 1, v_reset -0.1, and starts at
    v_reset.

    Args:
      params: shape [] or [N]; cast to the membrane's dtype.
      state: membrane potential, float32 by default, shape [..., N].
      current: input current in the unit of v, floating, shape [..., N]; scaled by dt/tau.
      spike: surrogate spike function.
      reset: `hard`, `none`, or `detach(hard)`; called with v_reset, not with the threshold.
      dt: length of a step, in the unit of tau.

    Returns:
      The next state, and spikes in {0, 1} with the state's shape and the dtype of `current`.

    Raises:
      TypeError: current not floating, or wider than the membrane. ValueError: shapes do not fit.

    Brunel and Latham, "Firing rate of the noisy quadratic integrate-and-fire neuron", 2003.

    >>> params = QIFParams(tau=2.0, v_rest=0.0, v_c=1.0, a0=1.0, threshold=1.0, v_reset=-0.5)
    >>> state, z = qif_step(params, qif_init((2,)), jnp.array([1.0, 3.0]))
    >>> z.tolist(), state.v.tolist()
    ([0.0, 1.0], [0.5, -0.5])
    """
    current = jnp.asarray(current)
    p, v = as_params(params, state.v, tau=ABOVE_0, a0=ABOVE_0), state.v
    drift = as_current(current, v) + p.a0 * (v - p.v_rest) * (v - p.v_c)
    v = v + as_param(dt, v, "dt") / p.tau * drift
    z = spike(v - p.threshold)
    return QIFState(reset(v, z, p.v_reset)), z.astype(current.dtype)
