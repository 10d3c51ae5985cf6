"""The leaky integrate-and-fire neuron."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike, DTypeLike

from snnjax.neurons.membrane import FACTOR, above, as_current, as_params, leak
from snnjax.neurons.reset import Reset, subtract
from snnjax.neurons.timing import Timing, same_step
from snnjax.surrogates import atan


class LIFParams(NamedTuple):
    """Parameters of leaky integrate-and-fire neurons."""

    decay: ArrayLike  # [] or [N]: exact(tau, dt) = exp(-dt/tau), or euler(tau, dt) = 1 - dt/tau
    threshold: ArrayLike  # [] or [N]


class LIFState(NamedTuple):
    """State of leaky integrate-and-fire neurons."""

    v: Array  # [..., N], membrane potential after the reset


def lif_init(
    shape: tuple[int, ...], dtype: DTypeLike = jnp.float32, *, v_rest: ArrayLike = 0.0
) -> LIFState:
    """The resting state of a population of `shape`; pass the `v_rest` of the step, [] or [N]."""
    return LIFState(v=jnp.full(shape, v_rest, dtype))


def lif_step(
    params: LIFParams,
    state: LIFState,
    current: ArrayLike,
    *,
    spike: Callable[[Array], Array] = atan,
    reset: Reset = subtract,
    scale_input: bool = False,
    timing: Timing = same_step,
    v_rest: ArrayLike = 0.0,
) -> tuple[LIFState, Array]:
    """One step of leaky integrate-and-fire: leak, integrate, fire, reset, in that order.

        v' = decay * v + current                    (scale_input: + (1 - decay) * current)
        z  = H(v' - threshold)
        v  = reset(v', z, threshold)

    The membrane leaks to 0, or to `v_rest` if given: v' = v_rest + decay * (v - v_rest) + current.
    `reset_to` resets to a potential other than 0. Libraries that reset in the next step, or that
    fire on the old membrane, compute a different model, available through `timing`.

    Args:
      params: decays and thresholds, shape [] or [N]; cast to the membrane's dtype.
      state: membrane potential, float32 by default, shape [..., N].
      current: input current, floating, shape [..., N]; cast to the membrane's dtype.
      spike: surrogate spike function.
      reset: `subtract`, `zero`, `reset_to(value)`, `none`, or one of them with `detach`.
      scale_input: whether the input is scaled by 1 - decay, as in `decay_input` elsewhere; without
        it a constant current c settles at c / (1 - decay), with it at c.
      timing: order of firing and reset: `same_step`, `before_leak`, `next_step`, `previous_step`.
      v_rest: potential that the membrane leaks to, a number or [N]; start there, with
        `lif_init(shape, v_rest=...)`. A threshold may then be negative, but lies above it.

    Returns:
      The next state, and spikes in {0, 1} with the state's shape and the dtype of `current`.

    Raises:
      TypeError: current not floating, or wider than the membrane. ValueError: shapes do not fit.

    >>> state, z = lif_step(LIFParams(0.9, 1.0), lif_init((1,)), jnp.array([1.5]))
    >>> float(z[0]), float(state.v[0])
    (1.0, 0.5)
    """
    current = jnp.asarray(current)
    decay, threshold = as_params(params, state.v, decay=FACTOR, threshold=above(v_rest))
    x = as_current(current, state.v)
    x = (1.0 - decay) * x if scale_input else x
    v, z = timing(state.v, lambda v: leak(decay, v, v_rest) + x, spike, reset, threshold)
    return LIFState(v), z.astype(current.dtype)
