"""The leaky integrate-and-fire neuron with a learned gain and a rectified membrane."""

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


class KLIFParams(NamedTuple):
    """Parameters of KLIF neurons."""

    decay: ArrayLike  # [] or [N]: exact(tau, dt) or euler(tau, dt)
    k: ArrayLike  # [] or [N]: gain of the charged membrane, learned, above 0; starts at 1
    threshold: ArrayLike  # [] or [N]


class KLIFState(NamedTuple):
    """State of KLIF neurons."""

    v: Array  # [..., N], membrane potential after the reset


def klif_init(shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> KLIFState:
    """The resting state of a population of `shape`."""
    return KLIFState(v=jnp.zeros(shape, dtype))


def klif_step(
    params: KLIFParams,
    state: KLIFState,
    current: ArrayLike,
    *,
    spike: Callable[[Array], Array] = atan,
    reset: Reset = subtract,
    scale_input: bool = False,
    scale_reset: bool = False,
) -> tuple[KLIFState, Array]:
    """One step of KLIF: leak, integrate, amplify and rectify, fire, reset, in that order.

        v' = decay * v + current                    (scale_input: + (1 - decay) * current)
        f  = relu(k * v')
        z  = H(f - threshold)
        v  = reset(f, z, threshold)                 (scale_reset: reset(f / k, z, threshold / k))

    Without `scale_reset` the gain is applied again in each step: where k * decay > 1 a membrane
    grows without input. With it k only sets the threshold, threshold / k, and the slope of the
    surrogate. Both variants are rectified: a membrane is never negative, unlike in LIF, and has no
    gradient where it was clipped to 0.

    Args:
      params: decays, gains and thresholds, shape [] or [N]; cast to the membrane's dtype.
      state: membrane potential, float32 by default, shape [..., N].
      current: input current, floating, shape [..., N]; cast to the membrane's dtype.
      spike: surrogate spike function.
      reset: `subtract`, `zero`, `none`, or one of them with `detach`.
      scale_input: whether the input is scaled by 1 - decay.
      scale_reset: whether the membrane is divided by the gain before the reset.

    Returns:
      The next state, and spikes in {0, 1} with the state's shape and the dtype of `current`.

    Raises:
      TypeError: current not floating, or wider than the membrane. ValueError: shapes do not fit.

    Jiang and Zhang, "KLIF: an optimized spiking neuron unit for tuning surrogate gradient slope
    and membrane potential", 2023.

    >>> params = KLIFParams(decay=0.5, k=2.0, threshold=1.0)
    >>> state, z = klif_step(params, klif_init((2,)), jnp.array([0.75, -2.0]))
    >>> z.tolist(), state.v.tolist()
    ([1.0, 0.0], [0.5, 0.0])
    """
    current = jnp.asarray(current)
    decay, k, threshold = as_params(params, state.v, decay=FACTOR, k=ABOVE_0, threshold=ABOVE_0)
    x = as_current(current, state.v)
    f = jax.nn.relu(k * (decay * state.v + ((1.0 - decay) * x if scale_input else x)))
    z = spike(f - threshold)
    v = reset(f / k, z, threshold / k) if scale_reset else reset(f, z, threshold)
    return KLIFState(v), z.astype(current.dtype)
