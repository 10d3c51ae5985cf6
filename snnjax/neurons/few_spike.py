"""The few-spike neuron: an activation encoded in a few spikes with a weight for each time step."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike, DTypeLike

from snnjax.neurons.membrane import as_arrays, as_current, as_param
from snnjax.surrogates import atan


class FewSpikeParams(NamedTuple):
    """Parameters of few-spike neurons: shared tables with an entry for each step of a window."""

    threshold: Array  # [K]: theta_t
    h: Array  # [K]: amount that a spike in step t subtracts from the membrane
    d: Array  # [K]: output value of a spike in step t


class FewSpikeState(NamedTuple):
    """State of few-spike neurons."""

    v: Array  # [..., N], membrane potential after the reset
    t: Array  # [B], int32: the step in the window of each sample; [] for a shape [N] without batch


def few_spike_init(shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> FewSpikeState:
    """The state of a population of `shape` at the start of a window."""
    return FewSpikeState(v=jnp.zeros(shape, dtype), t=jnp.zeros(shape[:-1][:1], jnp.int32))


def few_spike_relu(steps: int, maximum: float) -> FewSpikeParams:
    """Tables whose outputs sum to the rectified input, rounded down to `steps` binary digits.

        theta_t = h_t = d_t = maximum * 2^-(t + 1),   t = 0 .. steps - 1

    Args:
      steps: K, the number of digits, at least 1.
      maximum: above 0; an input x gives the digits of min(x, maximum * (1 - 2^-K)).

    >>> few_spike_relu(3, 8.0).d.tolist()
    [4.0, 2.0, 1.0]
    """
    if steps < 1 or not (np.isfinite(maximum) and maximum > 0):
        raise ValueError(
            f"`steps` must be at least 1 and `maximum` above 0; got {steps} and {maximum}."
        )
    table = jnp.asarray(maximum * 0.5 ** np.arange(1, steps + 1), float)
    return FewSpikeParams(table, table, table)


def few_spike_step(
    params: FewSpikeParams,
    state: FewSpikeState,
    current: ArrayLike,
    *,
    spike: Callable[[Array], Array] = atan,
) -> tuple[FewSpikeState, Array]:
    """One step of a few-spike neuron: integrate, fire and reset by the entries of this step.

        v' = (v if t > 0 else 0) + current
        z  = H(v' - theta_t)
        v  = v' - h_t * z
        out = d_t * z,   t = (t + 1) mod K

    The activation of x is the sum of the K outputs after x in the first step of a window and 0 in
    the others; a layer first sums the K outputs of the previous layer. A new window clears the
    membrane. There is no leak.

    Args:
      params: tables of the same length K.
      state: membrane potential, shape [..., N], float32 by default, and the step.
      current: input of the step, floating, shape [..., N]; cast to the membrane's dtype.
      spike: surrogate spike function.

    Returns:
      The next state, and 0 or d_t in the membrane's dtype, of the membrane's shape.

    Raises:
      TypeError: current not floating, or wider than the membrane. ValueError: shapes do not fit,
        or the tables differ in length.

    Stöckl and Maass, "Optimized spiking neurons can classify images with high accuracy through
    temporal coding with two spikes", Nature Machine Intelligence 2021.

    >>> params, state, outs = few_spike_relu(3, 8.0), few_spike_init((1,)), []
    >>> for x in (5.5, 0.0, 0.0):
    ...     state, out = few_spike_step(params, state, jnp.array([x]))
    ...     outs.append(float(out[0]))
    >>> outs
    [4.0, 0.0, 1.0]
    """
    params = as_arrays(params)
    shapes = [table.shape for table in params]
    if len(shapes[0]) != 1 or len(set(shapes)) > 1:
        raise ValueError(f"`params` must hold three tables of the same shape [K]; got {shapes}.")
    at = state.t.reshape(state.t.shape + (1,) * (state.v.ndim - state.t.ndim))
    threshold, h, d = (as_param(table, state.v)[at] for table in params)
    v = jnp.where(at > 0, state.v, jnp.zeros_like(state.v)) + as_current(current, state.v)
    z = spike(v - threshold)
    return FewSpikeState(v - h * z, (state.t + 1) % shapes[0][0]), d * z
