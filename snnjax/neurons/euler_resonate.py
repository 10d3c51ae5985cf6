"""The Euler resonate-and-fire neuron, without a reset."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike, DTypeLike

from snnjax.neurons.membrane import ABOVE_0, as_current, as_param, as_params
from snnjax.surrogates import atan


class RFParams(NamedTuple):
    """Parameters of Euler resonate-and-fire neurons."""

    b: ArrayLike  # [] or [N]: growth rate, below 0; the authors learn b0 with b = -abs(b0)
    w: ArrayLike  # [] or [N]: angular frequency
    threshold: ArrayLike  # [] or [N]


class RFState(NamedTuple):
    """State of Euler resonate-and-fire neurons, the complex number u + iv."""

    u: Array  # [..., N], receives the input and fires
    v: Array  # [..., N]


def rf_init(shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> RFState:
    """The resting state of a population of `shape`."""
    return RFState(u=jnp.zeros(shape, dtype), v=jnp.zeros(shape, dtype))


def euler_turn(u: Array, v: Array, b: Array, w: Array, x: Array, dt: Array) -> tuple[Array, Array]:
    """One Euler step of d(u + iv)/dt = (b + iw)(u + iv) + x, from the old u and v."""
    return u + dt * (b * u - w * v + x), v + dt * (w * u + b * v)


def rf_step(
    params: RFParams,
    state: RFState,
    current: ArrayLike,
    *,
    dt: ArrayLike = 0.01,
    spike: Callable[[Array], Array] = atan,
) -> tuple[RFState, Array]:
    """One Euler step of a resonator that fires and is never reset.

        u' = u + dt * (b * u - w * v + current)
        v' = v + dt * (w * u + b * v)
        z  = H(u' - threshold)

    Both lines use the old u and v. It diverges for b above `brf_boundary(w, dt)`, which is below 0:
    use `brf_step`, or `raf_step` for an exact rotation. It fires on u, `raf_step` on v.

    Args:
      params: b, w and thresholds, shape [] or [N]; cast to the state's dtype.
      state: u and v, float32 by default, shape [..., N].
      current: input current, floating, shape [..., N]; cast to the state's dtype, scaled by dt.
      dt: length of a step, in the unit of time of b and w.
      spike: surrogate spike function.

    Returns:
      The next state, and spikes in {0, 1} with the state's shape and the dtype of `current`.

    Raises:
      TypeError: current not floating, or wider than the state. ValueError: shapes do not fit.

    >>> state, z = rf_step(RFParams(-1.0, 10.0, 1.0), rf_init((1,)), jnp.array([150.0]))
    >>> state, z = rf_step(RFParams(-1.0, 10.0, 1.0), state, jnp.array([0.0]))
    >>> round(float(state.u[0]), 4), round(float(state.v[0]), 4), float(z[0])
    (1.485, 0.15, 1.0)
    """
    current = jnp.asarray(current)
    x, dt = as_current(current, state.u), as_param(dt, state.u, "dt")
    b, w, threshold = as_params(params, state.u, threshold=ABOVE_0)
    u, v = euler_turn(state.u, state.v, b, w, x, dt)
    return RFState(u, v), spike(u - threshold).astype(current.dtype)
