"""The exponential integrate-and-fire neuron."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike, DTypeLike

from snnjax.neurons.membrane import ABOVE_0, as_current, as_param, as_params
from snnjax.neurons.nonlinear import clipped_exp, hard
from snnjax.neurons.reset import Reset
from snnjax.surrogates import atan


class EIFParams(NamedTuple):
    """Parameters of exponential integrate-and-fire neurons, each [] or [N]."""

    tau: ArrayLike  # membrane time constant, in the unit of dt
    v_rest: ArrayLike  # resting potential of the leak alone
    delta: ArrayLike  # sharpness of the upstroke, above 0, in the unit of v
    v_rh: ArrayLike  # rheobase threshold: at it the upstroke's slope equals the leak's
    threshold: ArrayLike  # where the upstroke ends and a spike is counted
    v_reset: ArrayLike  # where v goes after a spike


class EIFState(NamedTuple):
    """State of exponential integrate-and-fire neurons."""

    v: Array  # [..., N], membrane potential after the reset


def eif_init(
    shape: tuple[int, ...], dtype: DTypeLike = jnp.float32, *, v0: ArrayLike = 0.0
) -> EIFState:
    """A population of `shape` at `v0`, [] or [N].

    From `v_rest` it still moves: it rests where v - v_rest = delta * exp((v - v_rh) / delta), which
    is about delta * exp((v_rest - v_rh) / delta) higher.
    """
    return EIFState(v=jnp.full(shape, v0, dtype))


def eif_step(
    params: EIFParams,
    state: EIFState,
    current: ArrayLike,
    *,
    spike: Callable[[Array], Array] = atan,
    reset: Reset = hard,
    dt: ArrayLike = 1.0,
) -> tuple[EIFState, Array]:
    """One step of exponential integrate-and-fire: integrate, fire, reset, in that order.

        e  = exp(min((v - v_rh) / delta, 20))
        v' = v + dt/tau * (current - (v - v_rest) + delta * e)
        z  = H(v' - threshold)
        v  = reset(v', z, v_reset)

    One forward-Euler step. The exponent is clipped at 20, where the upstroke is 4.9e8 delta and a
    spike in this step certain at any practical dt/tau; so no v gives infinity, and the slope of e
    is 0 beyond. Nothing else is clipped. A constant current fires above its rheobase
    v_rh - v_rest - delta; where that is negative the neuron fires without input, as with
    SpikingJelly's defaults (tau 2, v_rest 0, delta 1, v_rh 0.8, threshold 1, v_reset -0.1).

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

    Fourcaud-Trocmé et al., "How spike generation mechanisms determine the neuronal response to
    fluctuating inputs", 2003.

    >>> params = EIFParams(tau=2.0, v_rest=0.0, delta=0.5, v_rh=0.5, threshold=1.0, v_reset=-0.5)
    >>> state, z = eif_step(params, EIFState(jnp.array([0.5, 99.0])), jnp.array([0.25, 0.0]))
    >>> z.tolist(), state.v.tolist()
    ([0.0, 1.0], [0.625, -0.5])
    """
    current = jnp.asarray(current)
    p, v = as_params(params, state.v, tau=ABOVE_0, delta=ABOVE_0), state.v
    upstroke = p.delta * clipped_exp((v - p.v_rh) / p.delta)
    v = v + as_param(dt, v, "dt") / p.tau * (as_current(current, v) - (v - p.v_rest) + upstroke)
    z = spike(v - p.threshold)
    return EIFState(reset(v, z, p.v_reset)), z.astype(current.dtype)
