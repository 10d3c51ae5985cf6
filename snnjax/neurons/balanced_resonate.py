"""The balanced resonate-and-fire neuron: an Euler resonator with enough damping not to diverge."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike, DTypeLike

from snnjax.neurons.euler_resonate import euler_turn
from snnjax.neurons.membrane import ABOVE_0, FACTOR, as_current, as_param, as_params, concrete
from snnjax.surrogates import atan, check_floating


class BRFParams(NamedTuple):
    """Parameters of balanced resonate-and-fire neurons."""

    b0: ArrayLike  # [] or [N]: distance from the divergence boundary; its sign does not matter
    w: ArrayLike  # [] or [N]: angular frequency, dt * abs(w) < 1
    threshold: ArrayLike  # [] or [N]


class BRFState(NamedTuple):
    """State of balanced resonate-and-fire neurons, the complex number u + iv and q."""

    u: Array  # [..., N], receives the input and fires
    v: Array  # [..., N]
    q: Array  # [..., N], refractory trace of the spikes


def check_frequency(w: ArrayLike, dt: ArrayLike) -> None:
    """Raise a ValueError unless dt * abs(w) < 1, where both are concrete."""
    known, step = concrete(w), concrete(dt)
    if known is not None and step is not None and not np.all(step * np.abs(known) < 1):
        raise ValueError(
            f"`w` must have dt * abs(w) < 1, since otherwise no damping keeps the Euler rotation "
            f"stable; got w={known} with dt={step}. Use a smaller dt or lower frequencies."
        )


def brf_boundary(w: ArrayLike, dt: ArrayLike = 0.01) -> Array:
    """The divergence boundary p(w): the b at which an Euler step neither grows nor shrinks.

        p(w) = (-1 + sqrt(1 - (dt * w)^2)) / dt,   abs(1 + dt * (p(w) + iw)) = 1

    Computed as -dt * w^2 / (1 + sqrt(1 - (dt * w)^2)), which does not cancel for small dt * w.

    Args:
      w: angular frequencies, floating, any shape.
      dt: length of a step.

    Raises:
      TypeError: w not floating. ValueError: concrete values have dt * abs(w) >= 1.

    >>> round(float(brf_boundary(50.0)), 4)
    -13.3975
    """
    check_frequency(w, dt)
    w = check_floating(w, "w")
    dt = jnp.asarray(dt, w.dtype)
    return -dt * w * w / (1.0 + jnp.sqrt(1.0 - (dt * w) ** 2))


def brf_init(shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> BRFState:
    """The resting state of a population of `shape`."""
    return BRFState(*(jnp.zeros(shape, dtype) for _ in BRFState._fields))


def brf_step(
    params: BRFParams,
    state: BRFState,
    current: ArrayLike,
    *,
    dt: ArrayLike = 0.01,
    refractory: ArrayLike = 0.9,
    spike: Callable[[Array], Array] = atan,
) -> tuple[BRFState, Array]:
    """One step of the balanced resonate-and-fire neuron: `rf_step` without divergence.

        b  = p(w) - abs(b0) - q                     (p: brf_boundary)
        u' = u + dt * (b * u - w * v + current)
        v' = v + dt * (w * u + b * v)
        z  = H(u' - threshold - q)
        q' = refractory * q + z

    A spike does not change u and v directly: through q it temporarily increases their damping and
    the threshold. Damping so strong that a step overshoots also diverges; stability needs
    dt * (abs(b0) + q) < 2 sqrt(1 - (dt * w)^2), where q is at most 1 / (1 - refractory). The
    published models use a surrogate of two Gaussians; here it is `spike`, as elsewhere.

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

    Higuchi et al., "Balanced resonate-and-fire neurons", ICML 2024.

    >>> state, z = brf_step(BRFParams(1.0, 10.0, 1.0), brf_init((1,)), jnp.array([150.0]))
    >>> float(z[0]), float(state.u[0]), float(state.q[0])
    (1.0, 1.5, 1.0)
    """
    check_frequency(params.w, dt)
    current = jnp.asarray(current)
    x, dt = as_current(current, state.u), as_param(dt, state.u, "dt")
    b0, w, threshold = as_params(params, state.u, threshold=ABOVE_0)
    b = brf_boundary(w, dt) - jnp.abs(b0) - state.q
    u, v = euler_turn(state.u, state.v, b, w, x, dt)
    z = spike(u - threshold - state.q)
    return BRFState(u, v, as_param(refractory, u, "refractory", FACTOR) * state.q + z), z.astype(
        current.dtype
    )
