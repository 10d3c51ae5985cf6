"""The adaptive exponential integrate-and-fire neuron."""

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


class AdExParams(NamedTuple):
    """Parameters of adaptive exponential integrate-and-fire neurons, each [] or [N]."""

    tau: ArrayLike  # membrane time constant C / g_L, in the unit of dt
    v_rest: ArrayLike  # resting potential of the leak alone
    delta: ArrayLike  # sharpness of the upstroke, above 0, in the unit of v
    v_rh: ArrayLike  # rheobase threshold of the upstroke
    threshold: ArrayLike  # where the upstroke ends and a spike is counted
    v_reset: ArrayLike  # where v goes after a spike
    tau_w: ArrayLike  # time constant of the adaptation, in the unit of dt
    a: ArrayLike  # coupling from v to the adaptation, the literature's a / g_L
    b: ArrayLike  # jump of the adaptation at a spike, the literature's b / g_L


# The cell of Brette and Gerstner in mV and ms: C 281 pF, g_L 30 nS, a 4 nS, b 80.5 pA.
ADEX_2005 = AdExParams(
    tau=281 / 30,
    v_rest=-70.6,
    delta=2.0,
    v_rh=-50.4,
    threshold=20.0,
    v_reset=-70.6,
    tau_w=144.0,
    a=4 / 30,
    b=80.5 / 30,
)


class AdExState(NamedTuple):
    """State of adaptive exponential integrate-and-fire neurons."""

    v: Array  # [..., N], membrane potential after the reset
    w: Array  # [..., N], adaptation after the jump, in the unit of v


def adex_init(
    shape: tuple[int, ...], dtype: DTypeLike = jnp.float32, *, v0: ArrayLike = 0.0
) -> AdExState:
    """A population of `shape` at `v0`, [] or [N], without adaptation.

    `v0=params.v_rest` is the resting state up to the upstroke's delta * exp((v_rest - v_rh)/delta).
    """
    return AdExState(v=jnp.full(shape, v0, dtype), w=jnp.zeros(shape, dtype))


def adex_step(
    params: AdExParams,
    state: AdExState,
    current: ArrayLike,
    *,
    spike: Callable[[Array], Array] = atan,
    reset: Reset = hard,
    dt: ArrayLike = 1.0,
) -> tuple[AdExState, Array]:
    """One step of the adaptive exponential neuron: integrate, adapt, fire, reset and jump.

        e  = exp(min((v - v_rh) / delta, 20))
        v' = v + dt/tau * (current - (v - v_rest) + delta * e - w)
        w' = w + dt/tau_w * (a * (v - v_rest) - w)
        z  = H(v' - threshold)
        v, w = reset(v', z, v_reset), w' + b * z

    Both are forward Euler steps from the old v and w. Current and adaptation are divided by the
    leak conductance, so that they have the unit of v; `ADEX_2005` takes I / g_L in mV. The exponent
    is clipped at 20, where the upstroke is 4.9e8 delta and a spike in this step certain at any
    practical dt/tau; so no v gives infinity, and the slope of e is 0 beyond. Detaching the reset
    affects v only; the jump of w keeps its gradient. With a < tau/tau_w the rheobase is
    (1 + a) * (v_rh - v_rest - delta + delta * log(1 + a)).

    Args:
      params: shape [] or [N]; cast to the membrane's dtype.
      state: potential and adaptation, float32 by default, shape [..., N].
      current: input current in the unit of v, floating, shape [..., N]; scaled by dt/tau.
      spike: surrogate spike function of v' - threshold. The derivative of the default halves 0.3
        from the threshold, which is narrow in mV; for `partial(atan, slope=0.1)` it halves at 6.
      reset: `hard`, `none`, or `detach(hard)`; called with v_reset, not with the threshold.
      dt: length of a step, in the unit of tau and tau_w; for `ADEX_2005` at most 0.1 ms.

    Returns:
      The next state, and spikes in {0, 1} with the state's shape and the dtype of `current`.

    Raises:
      TypeError: current not floating, or wider than the membrane. ValueError: shapes do not fit.

    Brette and Gerstner, "Adaptive exponential integrate-and-fire model", 2005.

    >>> state = adex_init((2,), v0=jnp.array([-70.6, 19.0]))
    >>> state, z = adex_step(ADEX_2005, state, jnp.zeros(2), dt=0.1)
    >>> z.tolist(), [round(v, 2) for v in state.v.tolist()], [round(w, 2) for w in state.w.tolist()]
    ([0.0, 1.0], [-70.6, -70.6], [0.0, 2.69])
    """
    current = jnp.asarray(current)
    p, v, w = (
        as_params(params, state.v, tau=ABOVE_0, delta=ABOVE_0, tau_w=ABOVE_0),
        state.v,
        state.w,
    )
    dt = as_param(dt, v, "dt")
    upstroke = p.delta * clipped_exp((v - p.v_rh) / p.delta)
    charged = v + dt / p.tau * (as_current(current, v) - (v - p.v_rest) + upstroke - w)
    adapted = w + dt / p.tau_w * (p.a * (v - p.v_rest) - w)
    z = spike(charged - p.threshold)
    return AdExState(reset(charged, z, p.v_reset), adapted + p.b * z), z.astype(current.dtype)
