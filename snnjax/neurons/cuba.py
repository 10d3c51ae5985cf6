"""The current-based leaky integrate-and-fire neuron: a synaptic current before the membrane."""

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


class CUBAParams(NamedTuple):
    """Parameters of current-based leaky integrate-and-fire neurons."""

    decay_c: ArrayLike  # [] or [N]: synaptic decay, exact(tau_s, dt) or euler(tau_s, dt)
    decay: ArrayLike  # [] or [N]: membrane decay, exact(tau_m, dt) or euler(tau_m, dt)
    threshold: ArrayLike  # [] or [N]


class CUBAState(NamedTuple):
    """State of current-based leaky integrate-and-fire neurons."""

    v: Array  # [..., N], membrane potential after the reset
    c: Array  # [..., N], synaptic current


def cuba_init(
    shape: tuple[int, ...], dtype: DTypeLike = jnp.float32, *, v_rest: ArrayLike = 0.0
) -> CUBAState:
    """The resting state of a population of `shape`; pass the `v_rest` of the step, [] or [N]."""
    return CUBAState(v=jnp.full(shape, v_rest, dtype), c=jnp.zeros(shape, dtype))


def cuba_step(
    params: CUBAParams,
    state: CUBAState,
    current: ArrayLike,
    *,
    spike: Callable[[Array], Array] = atan,
    reset: Reset = subtract,
    scale_input: bool = False,
    timing: Timing = same_step,
    v_rest: ArrayLike = 0.0,
) -> tuple[CUBAState, Array]:
    """One step of current-based LIF: synapse, membrane, fire, reset, in that order.

        c  = decay_c * c + current                  (scale_input: + (1 - decay_c) * current)
        v' = decay * v + c                          (scale_input: + (1 - decay) * c)
        z  = H(v' - threshold)
        v  = reset(v', z, threshold)

    The input reaches the membrane in its own step. A spike does not change the synaptic current,
    and the membrane leaks to 0, or to `v_rest`. snnTorch's Synaptic is this model with
    timing=next_step. Norse's LIF and NIR's CubaLIF are this model with reset=zero and the
    decays euler(tau_s, dt) and euler(tau_m, dt); all that differs is a factor on the input:

        Norse   dt / tau_m                          (its state i is decay_c * c, times tau_m / dt)
        NIR     r * w_in * dt**2 / (tau_m * tau_s)  (scale_input=True where r = w_in = 1)

    Args:
      params: decays and thresholds, shape [] or [N]; cast to the membrane's dtype.
      state: potential and synaptic current, float32 by default, shape [..., N].
      current: input current, floating, shape [..., N]; cast to the membrane's dtype.
      spike: surrogate spike function.
      reset: `subtract`, `zero`, `reset_to(value)`, `none`, or one of them with `detach`.
      scale_input: whether each of the two stages has unit gain for a constant input.
      timing: order of firing and reset, as for `lif_step`.
      v_rest: potential that the membrane leaks to, a number or [N]; start there, with
        `cuba_init(shape, v_rest=...)`. A threshold may then be negative, but lies above it.

    Returns:
      The next state, and spikes in {0, 1} with the state's shape and the dtype of `current`.

    Raises:
      TypeError: current not floating, or wider than the membrane. ValueError: shapes do not fit.

    >>> params, state = CUBAParams(0.5, 0.75, 1.0), cuba_init((1,))
    >>> state, z = cuba_step(params, state, jnp.array([1.5]))
    >>> float(z[0]), float(state.v[0]), float(state.c[0])
    (1.0, 0.5, 1.5)
    >>> state, z = cuba_step(params, state, jnp.array([0.0]))  # the current still flows
    >>> float(z[0]), float(state.v[0]), float(state.c[0])
    (1.0, 0.125, 0.75)
    """
    current = jnp.asarray(current)
    ranges = {"decay_c": FACTOR, "decay": FACTOR, "threshold": above(v_rest)}
    decay_c, decay, threshold = as_params(params, state.v, **ranges)
    x = as_current(current, state.v)
    c = decay_c * state.c + ((1.0 - decay_c) * x if scale_input else x)
    x = (1.0 - decay) * c if scale_input else c
    v, z = timing(state.v, lambda v: leak(decay, v, v_rest) + x, spike, reset, threshold)
    return CUBAState(v, c), z.astype(current.dtype)
