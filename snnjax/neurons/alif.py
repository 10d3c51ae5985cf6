"""The adaptive leaky integrate-and-fire neuron: each spike temporarily raises its threshold."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike, DTypeLike

from snnjax.neurons.membrane import ABOVE_0, FACTOR, as_current, as_params
from snnjax.neurons.reset import Reset, subtract
from snnjax.surrogates import atan


class ALIFParams(NamedTuple):
    """Parameters of adaptive leaky integrate-and-fire neurons."""

    decay: ArrayLike  # [] or [N]: membrane decay, exact(tau, dt) or euler(tau, dt)
    decay_a: ArrayLike  # [] or [N]: decay of the adaptation, tau about 10 times the membrane's
    beta: ArrayLike  # [] or [N]: amount that one spike adds to the threshold, 1.8 in the literature
    threshold: ArrayLike  # [] or [N]: threshold without adaptation


class ALIFState(NamedTuple):
    """State of adaptive leaky integrate-and-fire neurons."""

    v: Array  # [..., N], membrane potential after the reset
    a: Array  # [..., N], adaptation: the decaying count of the neuron's own spikes


def alif_init(shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> ALIFState:
    """The resting state of a population of `shape`."""
    return ALIFState(v=jnp.zeros(shape, dtype), a=jnp.zeros(shape, dtype))


def alif_step(
    params: ALIFParams,
    state: ALIFState,
    current: ArrayLike,
    *,
    spike: Callable[[Array], Array] = atan,
    reset: Reset = subtract,
    scale_input: bool = False,
) -> tuple[ALIFState, Array]:
    """One step of adaptive LIF: leak, integrate, fire, reset, adapt, in that order.

        v'    = decay * v + current                 (scale_input: + (1 - decay) * current)
        theta = threshold + beta * a
        z     = H(v' - theta)
        v     = reset(v', z, theta)
        a     = decay_a * a + z

    A spike raises the threshold by beta, from the next step on. Two published forms are this model
    with a different beta: where `a` counts (1 - decay_a) * z, their beta times 1 - decay_a; and
    LSNN in Norse, where the threshold relaxes before it is compared and jumps after, their beta
    times decay_a (with reset=zero, Euler decays, and a synaptic current in front).

    Models that fire on the membrane of the previous step are different.

    Args:
      params: decays, beta and thresholds, shape [] or [N]; cast to the membrane's dtype.
      state: potential and adaptation, float32 by default, shape [..., N].
      current: input current, floating, shape [..., N]; cast to the membrane's dtype.
      spike: surrogate spike function.
      reset: `subtract`, `zero`, `none`, or one of them with `detach`; it sees the raised threshold.
      scale_input: whether the input is scaled by 1 - decay.

    Returns:
      The next state, and spikes in {0, 1} with the state's shape and the dtype of `current`.

    Raises:
      TypeError: current not floating, or wider than the membrane. ValueError: shapes do not fit.

    Bellec et al., "Long short-term memory and learning-to-learn in networks of spiking neurons",
    NeurIPS 2018; Yin et al., "Accurate and efficient time-domain classification with adaptive
    spiking recurrent neural networks", 2021.

    >>> params, state = ALIFParams(0.5, 0.5, 1.0, 1.0), alif_init((1,))
    >>> for _ in range(2):
    ...     state, z = alif_step(params, state, jnp.array([2.0]))
    ...     print(float(z[0]), float(state.v[0]), float(state.a[0]))
    1.0 1.0 1.0
    1.0 0.5 1.5
    """
    current = jnp.asarray(current)
    decay, decay_a, beta, threshold = as_params(
        params, state.v, decay=FACTOR, decay_a=FACTOR, threshold=ABOVE_0
    )
    x = as_current(current, state.v)
    v = decay * state.v + ((1.0 - decay) * x if scale_input else x)
    theta = threshold + beta * state.a
    z = spike(v - theta)
    return ALIFState(reset(v, z, theta), decay_a * state.a + z), z.astype(current.dtype)
