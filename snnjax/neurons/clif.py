"""The complementary leaky integrate-and-fire neuron: a second, slower memory of its spikes."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike, DTypeLike

from snnjax.neurons.membrane import ABOVE_0, FACTOR, as_current, as_params
from snnjax.neurons.reset import Reset, subtract
from snnjax.surrogates import atan


class CLIFParams(NamedTuple):
    """Parameters of complementary leaky integrate-and-fire neurons."""

    decay: ArrayLike  # [] or [N]: euler(tau) = 1 - 1/tau, as in the paper
    threshold: ArrayLike  # [] or [N]


class CLIFState(NamedTuple):
    """State of complementary leaky integrate-and-fire neurons."""

    v: Array  # [..., N], membrane potential after the reset
    m: Array  # [..., N], complementary potential


def clif_init(shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> CLIFState:
    """The resting state of a population of `shape`."""
    return CLIFState(v=jnp.zeros(shape, dtype), m=jnp.zeros(shape, dtype))


def clif_step(
    params: CLIFParams,
    state: CLIFState,
    current: ArrayLike,
    *,
    spike: Callable[[Array], Array] = atan,
    reset: Reset = subtract,
) -> tuple[CLIFState, Array]:
    """One step of complementary LIF: leak, integrate, fire, remember, reset, in that order.

        v' = decay * v + current
        z  = H(v' - threshold)
        m  = m * sigmoid((1 - decay) * v') + z
        v  = reset(v', z, threshold + sigmoid(m))

    1 - decay is the paper's 1/tau. The input is not scaled. A neuron that fired recently resets
    deeper, and gradients pass through time along m as well as along v. It has no parameters besides
    those of LIF. With reset=zero the depth of the reset, and so m, has no effect.

    Args:
      params: decays and thresholds, shape [] or [N]; cast to the membrane's dtype.
      state: the two potentials, float32 by default, shape [..., N].
      current: input current, floating, shape [..., N]; cast to the membrane's dtype.
      spike: surrogate spike function; the paper has the rectangle of width 1.
      reset: `subtract`, or `detach(subtract)`, which leaves the gradient through m alone.

    Returns:
      The next state, and spikes in {0, 1} with the state's shape and the dtype of `current`.

    Raises:
      TypeError: current not floating, or wider than the membrane. ValueError: shapes do not fit.

    Huang et al., "CLIF: complementary leaky integrate-and-fire neuron for spiking neural
    networks", ICML 2024.

    >>> state, z = clif_step(CLIFParams(0.5, 1.0), clif_init((1,)), jnp.array([2.0]))
    >>> float(z[0]), float(state.m[0]), round(float(state.v[0]), 4)  # 2 - 1 - sigmoid(1)
    (1.0, 1.0, 0.2689)
    """
    current = jnp.asarray(current)
    decay, threshold = as_params(params, state.v, decay=FACTOR, threshold=ABOVE_0)
    v = decay * state.v + as_current(current, state.v)
    z = spike(v - threshold)
    m = state.m * jax.nn.sigmoid((1.0 - decay) * v) + z
    return CLIFState(reset(v, z, threshold + jax.nn.sigmoid(m)), m), z.astype(current.dtype)
