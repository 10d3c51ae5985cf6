"""The Hodgkin-Huxley neuron: sodium, potassium and leak, in mV and ms."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike, DTypeLike

from snnjax.neurons.membrane import ABOVE_0, as_current, as_param, as_params
from snnjax.neurons.nonlinear import LARGEST_EXPONENT, filled, on_host
from snnjax.surrogates import atan


class HodgkinHuxleyParams(NamedTuple):
    """Parameters of Hodgkin-Huxley neurons, each [] or [N]; by default the squid's giant axon."""

    c: ArrayLike = 1.0  # capacitance, uF/cm2
    g_na: ArrayLike = 120.0  # largest sodium conductance, mS/cm2
    g_k: ArrayLike = 36.0  # largest potassium conductance, mS/cm2
    g_l: ArrayLike = 0.3  # leak conductance, mS/cm2
    e_na: ArrayLike = 50.0  # reversal potentials, mV
    e_k: ArrayLike = -77.0
    e_l: ArrayLike = -54.4
    threshold: ArrayLike = 0.0  # a spike is an upward crossing of it, mV


SQUID_AXON = HodgkinHuxleyParams()


class HodgkinHuxleyState(NamedTuple):
    """State of Hodgkin-Huxley neurons, each [..., N]."""

    v: Array  # membrane potential, mV; nothing resets it
    m: Array  # open fraction of a sodium activation gate
    h: Array  # open fraction of the sodium inactivation gate
    n: Array  # open fraction of a potassium gate


def _ramp(y: Any, xp: ModuleType) -> Any:
    """Y / (1 - exp(-y)), which is 1 with slope 1/2 at y = 0, where the quotient is 0/0.

    Computed as y/2 + (y/2) / tanh(y/2), which cannot overflow; near 0 the even part is a Taylor
    series.
    """
    s = 0.5 * y
    near = xp.abs(s) < 0.1
    square = xp.where(near, s, 0.0) ** 2
    series = 1.0 + square * (1 / 3 - square * (1 / 45 - square * (2 / 945 - square / 4725)))
    far = xp.where(near, 1.0, s)
    return s + xp.where(near, series, far / xp.tanh(far))


def _rates(v: Any, xp: ModuleType) -> tuple[tuple[Any, Any], ...]:
    """Opening and closing rates (1/ms) of m, h and n at v, in NumPy or in jax.numpy.

    Falling exponents are clipped at 20, which is below -225 mV.
    """

    def exp(x: Any) -> Any:
        return xp.exp(xp.minimum(x, xp.asarray(LARGEST_EXPONENT, x.dtype)))

    m = _ramp((v + 40.0) / 10.0, xp), 4.0 * exp(-(v + 65.0) / 18.0)
    h = 0.07 * exp(-(v + 65.0) / 20.0), 0.5 + 0.5 * xp.tanh((v + 35.0) / 20.0)
    n = 0.1 * _ramp((v + 55.0) / 10.0, xp), 0.125 * exp(-(v + 65.0) / 80.0)
    return m, h, n


def _outward(p: HodgkinHuxleyParams, v: Any, m: Any, h: Any, n: Any) -> Any:
    """The sum of the ionic currents, uA/cm2."""
    sodium = p.g_na * m**3 * h * (v - p.e_na)
    return sodium + p.g_k * n**4 * (v - p.e_k) + p.g_l * (v - p.e_l)


def hodgkin_huxley_init(
    shape: tuple[int, ...],
    dtype: DTypeLike = jnp.float32,
    *,
    params: HodgkinHuxleyParams = SQUID_AXON,
) -> HodgkinHuxleyState:
    """The resting state under `params` without input, for a population of `shape`.

    The potential where the ionic currents cancel with all gates at their steady state, found by
    bisection in float64 on the host; -65.0 mV with the default parameters.

    Args:
      shape: [..., N].
      dtype: dtype of the state.
      params: concrete, shape [] or [N].

    Raises:
      ValueError: traced parameters.
    """
    p = on_host(params)
    low = np.broadcast_to(np.minimum(p.e_k, p.e_l), np.broadcast_shapes(*(q.shape for q in p)))
    high = np.broadcast_to(np.maximum(p.e_k, p.e_l), low.shape)
    for _ in range(64):
        v = 0.5 * (low + high)
        m, h, n = (opening / (opening + closing) for opening, closing in _rates(v, np))
        inward = _outward(p, v, m, h, n) < 0.0
        low, high = np.where(inward, v, low), np.where(inward, high, v)
    return HodgkinHuxleyState(*(filled(shape, field, dtype) for field in (v, m, h, n)))


def hodgkin_huxley_step(
    params: HodgkinHuxleyParams,
    state: HodgkinHuxleyState,
    current: ArrayLike,
    *,
    spike: Callable[[Array], Array] = atan,
    dt: ArrayLike = 0.01,
) -> tuple[HodgkinHuxleyState, Array]:
    """One step of Hodgkin-Huxley: the gates at the old potential, then the potential, no reset.

        x' = x_inf + (x - x_inf) exp(-dt (a_x + b_x)),   x_inf = a_x / (a_x + b_x),  x in {m, h, n}
        v' = v + dt/c * (current - g_na m'^3 h' (v - e_na) - g_k n'^4 (v - e_k) - g_l (v - e_l))
        out = H(v' - threshold) * (1 - H(v - threshold))

        a_m = (v + 40)/10 / (1 - exp(-(v + 40)/10))         b_m = 4 exp(-(v + 65)/18)
        a_h = 0.07 exp(-(v + 65)/20)                        b_h = 1 / (1 + exp(-(v + 35)/10))
        a_n = (v + 55)/100 / (1 - exp(-(v + 55)/10))        b_n = 0.125 exp(-(v + 65)/80)

    Gates use exponential Euler, which keeps them in (0, 1); the potential uses forward Euler, with
    dt at or below 0.02 ms. a_m at -40 mV and a_n at -55 mV take their limits, as do their
    derivatives. There is no refractory time and no temperature. Both factors of `out` have the
    surrogate's derivative, with respect to v' and to v.

    Args:
      params: shape [] or [N]; cast to the potential's dtype.
      state: potential and gates, float32 by default, shape [..., N].
      current: input current in uA/cm2, floating, shape [..., N].
      spike: surrogate spike function of v - threshold in mV. The derivative of the default
        halves 0.3 mV from the threshold; that of `partial(atan, slope=0.1)` at 6 mV.
      dt: length of a step in ms.

    Returns:
      The next state, and spikes in {0, 1} with the state's shape and the dtype of `current`: one at
      each upward crossing.

    Raises:
      TypeError: current not floating, or wider than the state. ValueError: shapes do not fit.

    Hodgkin and Huxley, "A quantitative description of membrane current", 1952.

    >>> state = hodgkin_huxley_init((1,))
    >>> after, z = hodgkin_huxley_step(HodgkinHuxleyParams(), state, jnp.array([10.0]))
    >>> [round(float(x[0]), 2) for x in after], float(z[0])
    ([-64.9, 0.05, 0.6, 0.32], 0.0)
    """
    current = jnp.asarray(current)
    p, v = as_params(params, state.v, c=ABOVE_0, g_na=ABOVE_0, g_k=ABOVE_0, g_l=ABOVE_0), state.v
    dt = as_param(dt, v, "dt")
    gates = []
    for gate, (opening, closing) in zip(state[1:], _rates(v, jnp), strict=True):
        rate = opening + closing
        gates.append(gate - jnp.expm1(-dt * rate) * (opening / rate - gate))
    after = v + dt / p.c * (as_current(current, v) - _outward(p, v, *gates))
    z = spike(after - p.threshold) * (1.0 - spike(v - p.threshold))
    return HodgkinHuxleyState(after, *gates), z.astype(current.dtype)
