"""The integrate-and-fire neuron: a sum of its input, with a threshold."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike, DTypeLike

from snnjax.neurons.membrane import ABOVE_0, as_current, as_params
from snnjax.neurons.reset import Reset, subtract
from snnjax.neurons.timing import Timing, same_step
from snnjax.surrogates import atan


class IFParams(NamedTuple):
    """Parameters of integrate-and-fire neurons."""

    threshold: ArrayLike  # [] or [N]


class IFState(NamedTuple):
    """State of integrate-and-fire neurons."""

    v: Array  # [..., N], membrane potential after the reset


def if_init(shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> IFState:
    """The resting state of a population of `shape`."""
    return IFState(v=jnp.zeros(shape, dtype))


def if_step(
    params: IFParams,
    state: IFState,
    current: ArrayLike,
    *,
    spike: Callable[[Array], Array] = atan,
    reset: Reset = subtract,
    timing: Timing = same_step,
) -> tuple[IFState, Array]:
    """One step of integrate-and-fire: integrate, fire, reset, in that order.

        v' = v + current
        z  = H(v' - threshold)
        v  = reset(v', z, threshold)

    Args:
      params: thresholds, shape [] or [N].
      state: membrane potential, float32 by default, shape [..., N].
      current: input current, floating, shape [..., N]; cast to the membrane's dtype.
      spike: surrogate spike function.
      reset: `subtract`, `zero`, `reset_to(value)`, `none`, or one of them with `detach`.
      timing: order of firing and reset, as for `lif_step`.

    Returns:
      The next state, and spikes in {0, 1} with the state's shape and the dtype of `current`.

    Raises:
      TypeError: current not floating, or wider than the membrane. ValueError: shapes do not fit.

    >>> state, z = if_step(IFParams(1.0), if_init((1,)), jnp.array([1.5]))
    >>> float(z[0]), float(state.v[0])
    (1.0, 0.5)
    """
    current = jnp.asarray(current)
    (threshold,) = as_params(params, state.v, threshold=ABOVE_0)
    x = as_current(current, state.v)
    v, z = timing(state.v, lambda v: v + x, spike, reset, threshold)
    return IFState(v), z.astype(current.dtype)
