"""The gated leaky integrate-and-fire neuron: gates mix two leaks, two gains and two resets."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike, DTypeLike

from snnjax.neurons.membrane import ABOVE_0, FACTOR, SHARE, as_current, as_params
from snnjax.surrogates import atan


class GLIFParams(NamedTuple):
    """Parameters of gated leaky integrate-and-fire neurons: values, not logits.

    In the paper all eight are learned as the sigmoid of a free parameter; to learn them, apply the
    sigmoid once, before the loop over time.
    """

    alpha: ArrayLike  # [] or [N], gate in [0, 1]: exponential leak (1) or linear leak (0)
    beta: ArrayLike  # [] or [N], gate in [0, 1]: input times `conduct` (1) or unscaled (0)
    gamma: ArrayLike  # [] or [N], gate in [0, 1]: reset to 0 (1) or by subtraction (0)
    decay: ArrayLike  # [] or [N]: the paper's tau, the factor of the exponential leak
    leak: ArrayLike  # [] or [N]: the amount of the linear leak
    conduct: ArrayLike  # [] or [N]: gain of the input; the paper has one for each time step
    threshold: ArrayLike  # [] or [N]
    drop: ArrayLike  # [] or [N]: amount of the reset by subtraction


class GLIFState(NamedTuple):
    """State of gated leaky integrate-and-fire neurons."""

    v: Array  # [..., N], charged membrane potential, before the reset
    z: Array  # [..., N], spikes of the last step, whose reset is pending


def glif_init(shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> GLIFState:
    """The resting state of a population of `shape`."""
    return GLIFState(v=jnp.zeros(shape, dtype), z=jnp.zeros(shape, dtype))


def glif_step(
    params: GLIFParams,
    state: GLIFState,
    current: ArrayLike,
    *,
    spike: Callable[[Array], Array] = atan,
) -> tuple[GLIFState, Array]:
    """One step of gated LIF: reset by the last spikes, leak, integrate, fire, in that order.

        keep = 1 - alpha * (1 - decay)
        v'   = keep * v * (1 - gamma * z) - (1 - gamma) * drop * z
               - (1 - alpha) * leak + (1 - beta * (1 - conduct)) * current
        z'   = H(v' - threshold)

    The gates define the reset: there is no `reset` argument. The part reset by subtraction is
    undecayed and one step late, so it equals `subtract` of the other neurons only where keep
    is 1; gamma = 1 equals their `zero`. The linear leak is not clipped at 0: where alpha is 0 a
    membrane without input decreases without bound. With alpha, beta, gamma = 1, 0, 1 this is
    `lif_step(..., reset=zero)`. For gains over time, scan over (conduct, current):

        lambda s, x: glif_step(params._replace(conduct=x[0]), s, x[1])

    Args:
      params: gates and amounts, shape [] or [N] with N the channels; cast to the membrane's dtype.
      state: charged potential and last spikes, float32 by default, shape [..., N].
      current: input current, floating, shape [..., N]; cast to the membrane's dtype.
      spike: surrogate spike function.

    Returns:
      The next state, and spikes in {0, 1} with the state's shape and the dtype of `current`.

    Raises:
      TypeError: current not floating, or wider than the membrane. ValueError: shapes do not fit.

    Yao et al., "GLIF: a unified gated leaky integrate-and-fire neuron for spiking neural
    networks", NeurIPS 2022.

    >>> params = GLIFParams(0.5, 0.5, 0.5, 0.25, 0.0, 0.5, 0.5, 0.5)
    >>> state = GLIFState(v=jnp.array([1.6]), z=jnp.array([1.0]))
    >>> state, z = glif_step(params, state, jnp.array([1.0]))  # 1.6 * 0.625 / 2 - 0.25 + 0.75
    >>> float(z[0]), float(state.v[0])
    (1.0, 1.0)
    """
    current = jnp.asarray(current)
    alpha, beta, gamma, decay, leak, conduct, threshold, drop = as_params(
        params,
        state.v,
        alpha=SHARE,
        beta=SHARE,
        gamma=SHARE,
        decay=FACTOR,
        threshold=ABOVE_0,
        drop=ABOVE_0,
    )
    keep = 1.0 - alpha * (1.0 - decay)
    x = (1.0 - beta * (1.0 - conduct)) * as_current(current, state.v)
    v = keep * state.v * (1.0 - gamma * state.z) - (1.0 - gamma) * drop * state.z
    v = v - (1.0 - alpha) * leak + x
    z = spike(v - threshold)
    return GLIFState(v, z), z.astype(current.dtype)
