"""The leaky integrator: a membrane without a threshold, used as a readout."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike, DTypeLike

from snnjax.neurons.membrane import FACTOR, as_current, as_params, leak


class LIParams(NamedTuple):
    """Parameters of leaky integrators."""

    decay: ArrayLike  # [] or [N]: exact(tau, dt) or euler(tau, dt); 1 for a plain sum


class LIState(NamedTuple):
    """State of leaky integrators."""

    v: Array  # [..., N], membrane potential


def li_init(
    shape: tuple[int, ...], dtype: DTypeLike = jnp.float32, *, v_rest: ArrayLike = 0.0
) -> LIState:
    """The resting state of a population of `shape`; pass the `v_rest` of the step, [] or [N]."""
    return LIState(v=jnp.full(shape, v_rest, dtype))


def li_step(
    params: LIParams,
    state: LIState,
    current: ArrayLike,
    *,
    scale_input: bool = False,
    v_rest: ArrayLike = 0.0,
) -> tuple[LIState, Array]:
    """One step of a leaky integrator: leak, integrate; no spike and no reset.

        v = decay * v + current                     (scale_input: + (1 - decay) * current)

    Args:
      params: decays, shape [] or [N]; cast to the membrane's dtype.
      state: membrane potential, float32 by default, shape [..., N].
      current: input current, floating, shape [..., N]; cast to the membrane's dtype.
      scale_input: whether the input is scaled by 1 - decay.
      v_rest: potential that the membrane leaks to, a number or [N]; start there.

    Returns:
      The next state, and the membrane in its own dtype: a readout is not narrowed.

    Raises:
      TypeError: current not floating, or wider than the membrane. ValueError: shapes do not fit.

    >>> state, v = li_step(LIParams(0.5), LIState(jnp.array([2.0])), jnp.array([1.0]))
    >>> float(v[0])
    2.0
    """
    (decay,) = as_params(params, state.v, decay=FACTOR)
    x = as_current(current, state.v)
    v = leak(decay, state.v, v_rest) + ((1.0 - decay) * x if scale_input else x)
    return LIState(v), v
