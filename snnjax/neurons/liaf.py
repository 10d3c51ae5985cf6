"""The leaky integrate-and-analog-fire neuron: spikes reset it, and its output is real-valued."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike, DTypeLike

from snnjax.neurons.membrane import ABOVE_0, FACTOR, as_current, as_params
from snnjax.neurons.reset import Reset, subtract
from snnjax.surrogates import atan

leaky_relu = partial(jax.nn.leaky_relu, negative_slope=0.2)


class LIAFParams(NamedTuple):
    """Parameters of leaky integrate-and-analog-fire neurons."""

    decay: ArrayLike  # [] or [N]: exact(tau, dt) or euler(tau, dt)
    threshold: ArrayLike  # [] or [N]


class LIAFState(NamedTuple):
    """State of leaky integrate-and-analog-fire neurons."""

    v: Array  # [..., N], membrane potential after the reset


def liaf_init(shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> LIAFState:
    """The resting state of a population of `shape`."""
    return LIAFState(v=jnp.zeros(shape, dtype))


def liaf_step(
    params: LIAFParams,
    state: LIAFState,
    current: ArrayLike,
    *,
    spike: Callable[[Array], Array] = atan,
    reset: Reset = subtract,
    scale_input: bool = False,
    act: Callable[[Array], Array] = leaky_relu,
    threshold_related: bool = False,
) -> tuple[LIAFState, Array]:
    """One step of LIAF: leak, integrate, output, fire, reset, in that order.

        v' = decay * v + current                    (scale_input: + (1 - decay) * current)
        y  = act(v')                                (threshold_related: act(v' - threshold))
        z  = H(v' - threshold)
        v  = reset(v', z, threshold)

    The state is the same as for `lif_step`; the output is y, not z. So downstream layers
    multiply instead of adding, and rates or synaptic operations counted on y are not those of a
    spiking network.

    Args:
      params: decays and thresholds, shape [] or [N]; cast to the membrane's dtype.
      state: membrane potential, float32 by default, shape [..., N].
      current: input current, floating, shape [..., N]; cast to the membrane's dtype.
      spike: surrogate spike function of the reset.
      reset: `subtract`, `zero`, `none`, or one of them with `detach`.
      scale_input: whether the input is scaled by 1 - decay.
      act: activation of the output; by default leaky ReLU with slope 0.2 below 0.
      threshold_related: whether the activation is centred on the threshold.

    Returns:
      The next state, and y with the state's shape and the dtype of `current`.

    Raises:
      TypeError: current not floating, or wider than the membrane. ValueError: shapes do not fit.

    Wu et al., "LIAF-Net: leaky integrate and analog fire network for lightweight and efficient
    spatiotemporal information processing", 2020.

    >>> state, y = liaf_step(LIAFParams(0.9, 1.0), liaf_init((2,)), jnp.array([1.5, -2.5]))
    >>> y.tolist(), state.v.tolist()
    ([1.5, -0.5], [0.5, -2.5])
    """
    current = jnp.asarray(current)
    decay, threshold = as_params(params, state.v, decay=FACTOR, threshold=ABOVE_0)
    x = as_current(current, state.v)
    v = decay * state.v + ((1.0 - decay) * x if scale_input else x)
    y = act(v - threshold if threshold_related else v)
    z = spike(v - threshold)
    return LIAFState(reset(v, z, threshold)), y.astype(current.dtype)
