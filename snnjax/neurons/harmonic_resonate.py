"""The harmonic resonate-and-fire neuron: the damped harmonic oscillator with a threshold."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike, DTypeLike

from snnjax.neurons.balanced_resonate import check_frequency
from snnjax.neurons.membrane import ABOVE_0, FACTOR, as_current, as_param, as_params
from snnjax.surrogates import atan


class HRFParams(NamedTuple):
    """Parameters of harmonic resonate-and-fire neurons."""

    b0: ArrayLike  # [] or [N]: damping rate; its sign does not matter
    w: ArrayLike  # [] or [N]: angular frequency, dt * abs(w) < 1
    threshold: ArrayLike  # [] or [N]


class HRFState(NamedTuple):
    """State of harmonic resonate-and-fire neurons: velocity, position and q."""

    u: Array  # [..., N], velocity: receives the input and fires
    v: Array  # [..., N], position
    q: Array  # [..., N], refractory trace of the spikes


def hrf_init(shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> HRFState:
    """The resting state of a population of `shape`."""
    return HRFState(*(jnp.zeros(shape, dtype) for _ in HRFState._fields))


def hrf_step(
    params: HRFParams,
    state: HRFState,
    current: ArrayLike,
    *,
    dt: ArrayLike = 0.01,
    refractory: ArrayLike = 0.9,
    spike: Callable[[Array], Array] = atan,
) -> tuple[HRFState, Array]:
    """One step of the harmonic resonate-and-fire neuron: move, accelerate, fire.

        b  = dt / 2 * w^2 + abs(b0) + q
        v' = v + dt * u
        u' = u + dt * (current - 2 * b * u - w^2 * v')
        z  = H(u' - threshold - q)
        q' = refractory * q + z

    The published boundary 0.005 * w^2 is dt / 2 * w^2 at the default step. The velocity uses the
    new position, so the area of (v, u) shrinks by 1 - 2 * b * dt in a step. A spike does not change
    u and v directly: through q it temporarily increases their damping and the threshold. It is
    stable where dt * (abs(b0) + q) < 1 - 3/4 (dt * w)^2.

    Args:
      params: b0, w and thresholds, shape [] or [N]; cast to the state's dtype.
      state: u, v and q, float32 by default, shape [..., N].
      current: input current, floating, shape [..., N]; cast to the state's dtype, scaled by dt.
      dt: length of a step, in the unit of time of b0 and w.
      refractory: factor by which q decays in a step.
      spike: surrogate spike function.

    Returns:
      The next state, and spikes in {0, 1} with the state's shape and the dtype of `current`.

    Raises:
      TypeError: current not floating, or wider than the state. ValueError: shapes do not fit, or
        concrete parameters have dt * abs(w) >= 1.

    From the code published with Higuchi et al., "Balanced resonate-and-fire neurons", ICML 2024.

    >>> state, z = hrf_step(HRFParams(1.0, 10.0, 1.0), hrf_init((1,)), jnp.array([150.0]))
    >>> float(z[0]), float(state.u[0]), float(state.q[0])
    (1.0, 1.5, 1.0)
    """
    check_frequency(params.w, dt)
    current = jnp.asarray(current)
    x, dt = as_current(current, state.u), as_param(dt, state.u, "dt")
    b0, w, threshold = as_params(params, state.u, threshold=ABOVE_0)
    b = 0.5 * dt * w * w + jnp.abs(b0) + state.q
    v = state.v + dt * state.u
    u = state.u + dt * (x - 2.0 * b * state.u - w * w * v)
    z = spike(u - threshold - state.q)
    return HRFState(u, v, as_param(refractory, u, "refractory", FACTOR) * state.q + z), z.astype(
        current.dtype
    )
