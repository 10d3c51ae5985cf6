"""Izhikevich's neuron in mV with its published presets, and a version with free constants."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike, DTypeLike

from snnjax.neurons.membrane import ABOVE_0, as_current, as_param, as_params
from snnjax.neurons.nonlinear import filled, hard, on_host
from snnjax.neurons.reset import Reset
from snnjax.surrogates import atan


class IzhikevichParams(NamedTuple):
    """Parameters of Izhikevich neurons, each [] or [N]; named as in the paper."""

    a: ArrayLike  # rate of the recovery, 1/ms
    b: ArrayLike  # coupling from v to the recovery, 1/ms
    c: ArrayLike  # where v goes after a spike, mV
    d: ArrayLike  # jump of the recovery at a spike, mV/ms
    peak: ArrayLike = 30.0  # where the upstroke ends and a spike is counted, mV


IZHIKEVICH_PRESETS = {
    "RS": IzhikevichParams(0.02, 0.2, -65.0, 8.0),  # regular spiking: tonic, adapting
    "IB": IzhikevichParams(0.02, 0.2, -55.0, 4.0),  # intrinsically bursting: a burst, then tonic
    "CH": IzhikevichParams(0.02, 0.2, -50.0, 2.0),  # chattering: burst after burst
    "FS": IzhikevichParams(0.1, 0.2, -65.0, 2.0),  # fast spiking: without adaptation
    "LTS": IzhikevichParams(0.02, 0.25, -65.0, 2.0),  # low threshold: fast, adapting
    "RZ": IzhikevichParams(0.1, 0.26, -65.0, 2.0),  # resonator: oscillates below the threshold
}


class IzhikevichState(NamedTuple):
    """State of Izhikevich neurons."""

    v: Array  # [..., N], membrane potential after the reset, mV
    u: Array  # [..., N], recovery after the jump, mV/ms


def izhikevich_init(
    shape: tuple[int, ...],
    dtype: DTypeLike = jnp.float32,
    *,
    params: IzhikevichParams = IZHIKEVICH_PRESETS["RS"],
) -> IzhikevichState:
    """The resting state under `params` without input, for a population of `shape`: RS (-70, -14).

    It is the lower root of 0.04 v^2 + (5 - b) v + 140 = 0, with u = b v; without a root (b above
    0.267, a neuron that fires without input), the parabola's lowest point. `params`, [] or [N],
    must be concrete; otherwise a ValueError is raised.
    """
    b = on_host(params).b
    v = (b - 5.0 - np.sqrt(np.maximum((5.0 - b) ** 2 - 22.4, 0.0))) / 0.08
    return IzhikevichState(v=filled(shape, v, dtype), u=filled(shape, b * v, dtype))


def izhikevich_step(
    params: IzhikevichParams,
    state: IzhikevichState,
    current: ArrayLike,
    *,
    spike: Callable[[Array], Array] = atan,
    reset: Reset = hard,
    dt: ArrayLike = 1.0,
) -> tuple[IzhikevichState, Array]:
    """One step of Izhikevich's neuron: v in two half-steps, recover, fire, reset and jump.

        f(v) = 0.04 v^2 + 5 v + 140 - u + current
        v1 = min(v + dt/2 f(v), peak)
        v2 = v1 + dt/2 f(v1)
        u' = u + dt * a * (b * min(v2, peak) - u)
        z  = H(v2 - peak)
        v, u = reset(v2, z, c), u' + d * z

    The half-steps and the use of the new v for u follow the published program. Two things differ:
    it tests for a spike before it integrates, which gives the same sequence with every spike one
    step later; and it lets v exceed the peak, by hundreds of mV in the last step, so that the
    overshoot moves u. Here u uses v clipped to the peak. Detaching the reset affects v only; the
    jump of u keeps its gradient.

    Args:
      params: shape [] or [N], such as `IZHIKEVICH_PRESETS["RS"]`; cast to the membrane's dtype.
      state: potential and recovery, float32 by default, shape [..., N].
      current: input in mV/ms, floating, shape [..., N]; 10 is usual.
      spike: surrogate spike function of v2 - peak in mV. The derivative of the default halves
        0.3 mV from the peak; that of `partial(atan, slope=0.1)` at 6 mV.
      reset: `hard`, `none`, or `detach(hard)`; called with c, not with the threshold.
      dt: length of a step in ms, at most 1.

    Returns:
      The next state, and spikes in {0, 1} with the state's shape and the dtype of `current`.

    Raises:
      TypeError: current not floating, or wider than the membrane. ValueError: shapes do not fit.

    Izhikevich, "Simple model of spiking neurons", 2003.

    >>> rs = IZHIKEVICH_PRESETS["RS"]
    >>> state, count = izhikevich_init((1,)), 0.0
    >>> for _ in range(100):
    ...     state, z = izhikevich_step(rs, state, jnp.array([10.0]))
    ...     count += float(z[0])
    >>> count
    3.0
    """
    current = jnp.asarray(current)
    p, v, u = as_params(params, state.v, a=ABOVE_0), state.v, state.u
    dt, x = as_param(dt, v, "dt"), as_current(current, v)
    half = 0.5 * dt
    v1 = jnp.minimum(v + half * (0.04 * v**2 + 5.0 * v + 140.0 - u + x), p.peak)
    v2 = v1 + half * (0.04 * v1**2 + 5.0 * v1 + 140.0 - u + x)
    recovered = u + dt * p.a * (p.b * jnp.minimum(v2, p.peak) - u)
    z = spike(v2 - p.peak)
    return IzhikevichState(reset(v2, z, p.c), recovered + p.d * z), z.astype(current.dtype)


class AdaptiveQIFParams(NamedTuple):
    """Parameters of adaptive quadratic integrate-and-fire neurons, each [] or [N]."""

    tau: ArrayLike  # membrane time constant, in the unit of dt
    v_rest: ArrayLike  # stable point without input
    v_c: ArrayLike  # critical point, above v_rest
    a0: ArrayLike  # curvature, above 0
    threshold: ArrayLike
    v_reset: ArrayLike  # where v goes after a spike
    tau_w: ArrayLike  # time constant of the adaptation, in the unit of dt
    a: ArrayLike  # coupling from v to the adaptation
    b: ArrayLike  # jump of the adaptation at a spike


class AdaptiveQIFState(NamedTuple):
    """State of adaptive quadratic integrate-and-fire neurons."""

    v: Array  # [..., N], membrane potential after the reset
    w: Array  # [..., N], adaptation after the jump


def adaptive_qif_init(
    shape: tuple[int, ...], dtype: DTypeLike = jnp.float32, *, v0: ArrayLike = 0.0
) -> AdaptiveQIFState:
    """A population of `shape` at `v0`, [] or [N], without adaptation; at rest if at `v_rest`."""
    return AdaptiveQIFState(v=jnp.full(shape, v0, dtype), w=jnp.zeros(shape, dtype))


def adaptive_qif_step(
    params: AdaptiveQIFParams,
    state: AdaptiveQIFState,
    current: ArrayLike,
    *,
    spike: Callable[[Array], Array] = atan,
    reset: Reset = hard,
    dt: ArrayLike = 1.0,
) -> tuple[AdaptiveQIFState, Array]:
    """One step of Izhikevich's neuron with free constants: integrate, adapt, fire, reset and jump.

        v' = v + dt/tau * (current + a0 * (v - v_rest) * (v - v_c) - w)
        w' = w + dt/tau_w * (a * (v' - v_rest) - w)
        z  = H(v' - threshold)
        v, w = reset(v', z, v_reset), w' + b * z

    This is the Izhikevich node of SpikingJelly, there with tau 2, v_rest -0.1, v_c 0.8, a0 1,
    threshold 1, v_reset 0, tau_w 2, a = b = 0, started at 0. The adaptation uses the charged v',
    before the reset and unclipped. Detaching the reset affects v only; the jump of w keeps its
    gradient. With a = b = 0 it is `qif_step`.

    Args:
      params: shape [] or [N]; cast to the membrane's dtype.
      state: potential and adaptation, float32 by default, shape [..., N].
      current: input current in the unit of v, floating, shape [..., N]; scaled by dt/tau.
      spike: surrogate spike function.
      reset: `hard`, `none`, or `detach(hard)`; called with v_reset, not with the threshold.
      dt: length of a step, in the unit of tau and tau_w.

    Returns:
      The next state, and spikes in {0, 1} with the state's shape and the dtype of `current`.

    Raises:
      TypeError: current not floating, or wider than the membrane. ValueError: shapes do not fit.

    >>> params = AdaptiveQIFParams(2.0, 0.0, 1.0, 1.0, 1.0, 0.0, tau_w=2.0, a=0.5, b=0.25)
    >>> state, z = adaptive_qif_step(params, adaptive_qif_init((1,)), jnp.array([3.0]))
    >>> float(z[0]), float(state.v[0]), float(state.w[0])
    (1.0, 0.0, 0.625)
    """
    current = jnp.asarray(current)
    p, v, w = as_params(params, state.v, tau=ABOVE_0, a0=ABOVE_0, tau_w=ABOVE_0), state.v, state.w
    dt = as_param(dt, v, "dt")
    drift = as_current(current, v) + p.a0 * (v - p.v_rest) * (v - p.v_c) - w
    charged = v + dt / p.tau * drift
    adapted = w + dt / p.tau_w * (p.a * (charged - p.v_rest) - w)
    z = spike(charged - p.threshold)
    after = AdaptiveQIFState(reset(charged, z, p.v_reset), adapted + p.b * z)
    return after, z.astype(current.dtype)
