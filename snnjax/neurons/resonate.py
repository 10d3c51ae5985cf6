"""The resonate-and-fire neuron: a damped oscillation with a threshold."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike, DTypeLike

from snnjax.neurons.membrane import ABOVE_0, as_current, as_param, as_params
from snnjax.neurons.reset import Reset, zero
from snnjax.surrogates import atan


class RAFParams(NamedTuple):
    """Parameters of resonate-and-fire neurons."""

    b: ArrayLike  # [] or [N]: growth rate per unit of time; below 0 the oscillation is damped
    w: ArrayLike  # [] or [N]: angular frequency, radians per unit of time
    threshold: ArrayLike  # [] or [N]


class RAFState(NamedTuple):
    """State of resonate-and-fire neurons, the complex number u + iv."""

    u: Array  # [..., N], receives the input
    v: Array  # [..., N], fires; after the reset


def raf_init(shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> RAFState:
    """The resting state of a population of `shape`."""
    return RAFState(u=jnp.zeros(shape, dtype), v=jnp.zeros(shape, dtype))


def raf_step(
    params: RAFParams,
    state: RAFState,
    current: ArrayLike,
    *,
    dt: ArrayLike = 1.0,
    spike: Callable[[Array], Array] = atan,
    reset: Reset = zero,
) -> tuple[RAFState, Array]:
    """One step of resonate-and-fire: rotate and damp, add the input, fire, reset.

        a  = exp(b * dt)
        u' = a * (u * cos(w * dt) - v * sin(w * dt)) + current
        v' = a * (u * sin(w * dt) + v * cos(w * dt))
        z  = H(v' - threshold)
        u, v = u', reset(v', z, threshold)

    The rotation solves d(u + iv)/dt = (b + iw)(u + iv) exactly, so every `dt` is stable for b <= 0.
    The input is an impulse on u at the end of the step: it reaches v, and so the output, a step
    later. Only v is reset. The original model sets u to 0 and v to 1 instead.

    Args:
      params: b, w and thresholds, shape [] or [N]; cast to the state's dtype.
      state: u and v, float32 by default, shape [..., N].
      current: input current, floating, shape [..., N]; cast to the state's dtype, not scaled by dt.
      dt: length of a step, in the unit of time of b and w.
      spike: surrogate spike function.
      reset: `subtract`, `zero`, `none`, or one of them with `detach`; applied to v.

    Returns:
      The next state, and spikes in {0, 1} with the state's shape and the dtype of `current`.

    Raises:
      TypeError: current not floating, or wider than the state. ValueError: shapes do not fit.

    Izhikevich, "Resonate-and-fire neurons", Neural Networks 14 (2001).

    A quarter of a turn in each step:

    >>> state, spikes = raf_init((1,)), []
    >>> for x in (1.5, 0.0, 0.0):
    ...     state, z = raf_step(RAFParams(0.0, jnp.pi / 2, 1.0), state, jnp.array([x]))
    ...     spikes.append(float(z[0]))
    >>> spikes
    [0.0, 1.0, 0.0]
    """
    current = jnp.asarray(current)
    x, dt = as_current(current, state.u), as_param(dt, state.u, "dt")
    b, w, threshold = as_params(params, state.u, threshold=ABOVE_0)
    size, angle = jnp.exp(b * dt), w * dt
    real, imaginary = size * jnp.cos(angle), size * jnp.sin(angle)
    u = state.u * real - state.v * imaginary + x
    v = state.u * imaginary + state.v * real
    z = spike(v - threshold)
    return RAFState(u, reset(v, z, threshold)), z.astype(current.dtype)
