"""Spiking neurons without a reset, over a full sequence in parallel."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array, lax
from jax.typing import ArrayLike, DTypeLike

from snnjax.neurons.lif import LIFParams, LIFState
from snnjax.neurons.membrane import as_current, as_param
from snnjax.neurons.parallel.sequence import as_currents
from snnjax.surrogates import atan
from snnjax.unroll.linear import linear_recurrence
from snnjax.unroll.time_axis import from_last


def lif_reset_free(
    params: LIFParams,
    state: LIFState,
    currents: ArrayLike,
    *,
    spike: Callable[[Array], Array] = atan,
    scale_input: bool = False,
    method: str | None = None,
    differentiate: str = "fast",
    time_axis: str | None = None,
) -> tuple[LIFState, Array]:
    """Run LIF neurons without reset over a sequence in parallel: as `lif_step` with `reset=none`.

        v[t] = decay * v[t-1] + current[t]          (scale_input: + (1 - decay) * current[t])
        z[t] = H(v[t] - threshold)

    One such step is `partial(lif_step, reset=none)`, with the same state; a sequence may continue
    in either form. Without a reset the neuron fires at each step above the threshold, 1.7 to 3
    times as often as with it: scale the input or penalise the rate.

    Args:
      params: decays and thresholds, shape [] or [N]; cast to the membrane's dtype.
      state: membrane potential, float32 by default, shape [..., N].
      currents: input, floating, shape [T, ..., N]; cast to the membrane's dtype.
      spike: surrogate spike function.
      scale_input: whether the input is scaled by 1 - decay.
      method, differentiate: see `linear_recurrence`; "both" for forward mode.
      time_axis: mesh axis over which time is sharded, see `linear_recurrence`; `currents` are then
        the chunk of this device, `state` is before the full sequence, and the last state is that
        of the full sequence, on all devices.

    Returns:
      The last state, and spikes in {0, 1} of shape [T, ..., N] and the dtype of `currents`.

    Raises:
      TypeError: currents not floating, or wider than the membrane. ValueError: shapes do not fit.

    Yarga and Wood, "Accelerating spiking neural networks with parallelizable leaky
    integrate-and-fire neurons" (ParaLIF), 2025, with stochastic spikes; here they are
    deterministic.

    >>> from snnjax.neurons import lif_init
    >>> currents = jnp.array([[0.8], [0.8], [0.0]])
    >>> state, z = lif_reset_free(LIFParams(0.5, 1.0), lif_init((1,)), currents)
    >>> z[:, 0].tolist(), round(float(state.v[0]), 3)
    ([0.0, 1.0, 0.0], 0.6)
    """
    x = as_currents(currents, state.v)
    decay, threshold = as_param(params.decay, state.v), as_param(params.threshold, state.v)
    x = (1.0 - decay) * x if scale_input else x
    v, last = _states(decay, x, state.v, method, differentiate, time_axis)
    return LIFState(last), spike(v - threshold).astype(jnp.asarray(currents).dtype)


class CRFParams(NamedTuple):
    """Parameters of complex resonate-and-fire neurons, in steps."""

    damping: ArrayLike  # [] or [N]: b > 0; amplitudes decay by exp(-b) in a step
    frequency: ArrayLike  # [] or [N]: omega, radians per step
    threshold: ArrayLike  # [] or [N]


class CRFState(NamedTuple):
    """State of complex resonate-and-fire neurons."""

    u: Array  # [..., N], complex oscillation


def crf_init(shape: tuple[int, ...], dtype: DTypeLike = jnp.complex64) -> CRFState:
    """The resting state of a population of `shape`; `dtype` is complex."""
    if not jnp.issubdtype(dtype, jnp.complexfloating):
        raise TypeError(f"the state of a CRF neuron is complex; got {jnp.dtype(dtype)}.")
    return CRFState(u=jnp.zeros(shape, dtype))


def crf_step(
    params: CRFParams,
    state: CRFState,
    current: ArrayLike,
    *,
    spike: Callable[[Array], Array] = atan,
    part: Callable[[Array], Array] = jnp.real,
) -> tuple[CRFState, Array]:
    """One step of complex resonate-and-fire: rotate and damp, integrate, fire; no reset.

        u = exp(-b + i omega) * u + current
        z = H(part(u) - threshold)

    The factor is the exact solution over a step, stable for every b > 0; no Euler step is taken.
    For a step of a different length multiply both by it.

    Args:
      params: damping, frequency and threshold, shape [] or [N].
      state: oscillation, complex64 by default, shape [..., N].
      current: input current, real, shape [..., N].
      spike: surrogate spike function.
      part: `jnp.real` or `jnp.imag`: the part compared with the threshold.

    Returns:
      The next state, and spikes in {0, 1} with the state's shape and the dtype of `current`.

    Raises:
      TypeError: current not floating, or wider than the membrane. ValueError: shapes do not fit.

    Izhikevich, "Resonate-and-fire neurons", Neural Networks 2001, without the reset.

    >>> params = CRFParams(damping=0.0, frequency=jnp.pi / 2, threshold=1.0)
    >>> state, z = crf_step(params, CRFState(jnp.array([1.0 + 0.0j])), jnp.array([1.5]))
    >>> float(z[0]), round(float(state.u.imag[0]), 3)
    (1.0, 1.0)
    """
    current = jnp.asarray(current)
    x = as_current(current, state.u)
    u = _factor(params, state) * state.u + x
    z = spike(part(u) - as_param(params.threshold, state.u.real))
    return CRFState(u), z.astype(current.dtype)


def crf_parallel(
    params: CRFParams,
    state: CRFState,
    currents: ArrayLike,
    *,
    spike: Callable[[Array], Array] = atan,
    part: Callable[[Array], Array] = jnp.real,
    method: str | None = None,
    differentiate: str = "fast",
    time_axis: str | None = None,
) -> tuple[CRFState, Array]:
    """Run complex resonate-and-fire neurons over a sequence: `unroll` of `crf_step`, in parallel.

    Args:
      params, state, spike, part: as in `crf_step`.
      currents: input, real, shape [T, ..., N].
      method, differentiate: see `linear_recurrence`; "both" for forward mode.
      time_axis: mesh axis over which time is sharded, see `linear_recurrence`; `currents` are then
        the chunk of this device, `state` is before the full sequence, and the last state is that
        of the full sequence, on all devices.

    Returns:
      The last state, and spikes in {0, 1} of shape [T, ..., N] and the dtype of `currents`.

    >>> params = CRFParams(damping=0.1, frequency=jnp.pi / 2, threshold=0.5)
    >>> state, z = crf_parallel(params, crf_init((1,)), jnp.eye(9)[:, :1])
    >>> z[:, 0].tolist()
    [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0]
    """
    x = as_currents(currents, state.u)
    factor = _factor(params, state)
    u, last = _states(factor, x, state.u, method, differentiate, time_axis)
    z = spike(part(u) - as_param(params.threshold, state.u.real))
    return CRFState(last), z.astype(jnp.asarray(currents).dtype)


def _states(
    decay: Array,
    x: Array,
    initial: Array,
    method: str | None,
    differentiate: str,
    time_axis: str | None,
) -> tuple[Array, Array]:
    """All states, and the last of the full sequence."""
    h = linear_recurrence(
        decay, x, initial, method=method, differentiate=differentiate, time_axis=time_axis
    )
    return h, h[-1] if time_axis is None else from_last(h[-1], time_axis)


def _factor(params: CRFParams, state: CRFState) -> Array:
    """The factor by which a step without input multiplies the oscillation."""
    real = state.u.real
    damping, frequency = as_param(params.damping, real), as_param(params.frequency, real)
    damping, frequency = jnp.broadcast_arrays(damping, frequency)
    size = jnp.exp(-damping)
    return lax.complex(size * jnp.cos(frequency), size * jnp.sin(frequency))
