"""The ternary integrate-and-fire neuron, with spikes of both signs."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike, DTypeLike

from snnjax.neurons.membrane import ABOVE_0, FACTOR, as_current, as_params
from snnjax.neurons.reset import Reset, subtract
from snnjax.surrogates import atan


class TernaryParams(NamedTuple):
    """Parameters of ternary neurons."""

    decay: ArrayLike  # [] or [N]: exact(tau, dt) or euler(tau, dt); 1 for no leak
    threshold: ArrayLike  # [] or [N], above 0


class TernaryState(NamedTuple):
    """State of ternary neurons."""

    v: Array  # [..., N], membrane potential after the reset


def ternary_init(shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> TernaryState:
    """The resting state of a population of `shape`."""
    return TernaryState(v=jnp.zeros(shape, dtype))


def ternary_step(
    params: TernaryParams,
    state: TernaryState,
    current: ArrayLike,
    *,
    spike: Callable[[Array], Array] = atan,
    reset: Reset = subtract,
    scale_input: bool = False,
) -> tuple[TernaryState, Array]:
    """One step of a neuron that fires at both thresholds: leak, integrate, fire, reset.

        h = decay * v + current                     (scale_input: + (1 - decay) * current)
        p = H(h - threshold),  n = H(-h - threshold)
        s = p - n
        v = reset(reset(h, p, threshold), n, -threshold)

    So `subtract` gives h - s * threshold, and `zero` gives 0 after a spike of either sign. Both
    thresholds are inclusive, and step(-state, -current) = -step(state, current). The
    gradient is the sum of the surrogates at both thresholds.

    Args:
      params: decays and thresholds, shape [] or [N]; cast to the membrane's dtype.
      state: membrane potential, float32 by default, shape [..., N].
      current: input current, floating, shape [..., N]; cast to the membrane's dtype.
      spike: surrogate spike function, for each threshold.
      reset: `subtract`, `zero`, `none`, or one of them with `detach`.
      scale_input: whether the input is scaled by 1 - decay.

    Returns:
      The next state, and spikes in {-1, 0, 1} with the state's shape and the dtype of `current`.

    Raises:
      TypeError: current not floating, or wider than the membrane. ValueError: shapes do not fit.

    Guo et al., "Ternary spike", AAAI 2024.

    >>> params, x = TernaryParams(0.5, 1.0), jnp.array([1.5, -1.5, 0.5])
    >>> state, s = ternary_step(params, ternary_init((3,)), x)
    >>> s.tolist(), state.v.tolist()
    ([1.0, -1.0, 0.0], [0.5, -0.5, 0.5])
    """
    current = jnp.asarray(current)
    decay, threshold = as_params(params, state.v, decay=FACTOR, threshold=ABOVE_0)
    x = as_current(current, state.v)
    h = decay * state.v + ((1.0 - decay) * x if scale_input else x)
    up, down = spike(h - threshold), spike(-h - threshold)
    v = reset(reset(h, up, threshold), down, -threshold)
    return TernaryState(v), (up - down).astype(current.dtype)
