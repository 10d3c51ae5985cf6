"""The leaky integrate-and-fire neuron with an adaptation current, subtracted from its input."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike, DTypeLike

from snnjax.neurons.membrane import ABOVE_0, FACTOR, as_current, as_params
from snnjax.neurons.reset import Reset, subtract
from snnjax.surrogates import atan


class AdLIFParams(NamedTuple):
    """Parameters of leaky integrate-and-fire neurons with an adaptation current."""

    decay: ArrayLike  # [] or [N]: membrane decay, exact(tau, dt) or euler(tau, dt)
    decay_w: ArrayLike  # [] or [N]: decay of the adaptation current
    a: ArrayLike  # [] or [N]: subthreshold coupling, from potential to adaptation current
    b: ArrayLike  # [] or [N]: amount that one spike adds to the adaptation current
    threshold: ArrayLike  # [] or [N]


class AdLIFState(NamedTuple):
    """State of leaky integrate-and-fire neurons with an adaptation current."""

    v: Array  # [..., N], membrane potential after the reset
    w: Array  # [..., N], adaptation current


def adlif_init(shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> AdLIFState:
    """The resting state of a population of `shape`."""
    return AdLIFState(v=jnp.zeros(shape, dtype), w=jnp.zeros(shape, dtype))


def adlif_step(
    params: AdLIFParams,
    state: AdLIFState,
    current: ArrayLike,
    *,
    spike: Callable[[Array], Array] = atan,
    reset: Reset = subtract,
    scale_input: bool = False,
) -> tuple[AdLIFState, Array]:
    """One step of adaptive-current LIF: leak, integrate, fire, reset, adapt, in that order.

        v' = decay * v + current - w        (scale_input: + (1 - decay) * (current - w))
        z  = H(v' - threshold)
        v  = reset(v', z, threshold)
        w  = decay_w * w + a * v + b * z

    This is the symplectic Euler form: w follows the new potential, after its reset, and acts from
    the next step on. Neither a nor b is scaled by 1 - decay_w. Published forms in these terms:

        Baronig et al., SE    reset=zero, and (1 - decay_w) * q times their a and b
        Bittar and Garner     a sees the potential before the reset: b + a * threshold for their b
        Norse, ada LIF        a = 0, Euler decays, with an additional synaptic current

    The first two scale their input: scale_input=True.

    Without spikes the potential stays bounded, with g = 1 - decay the gain of the input, or 1, for

        -(1 - decay) * (1 - decay_w) < a * g < (1 + decay) * (1 + decay_w)

    The forward Euler form, in which w follows the potential of the previous step, is a different
    model, bounded only up to a * g = 1 - decay * decay_w.

    Args:
      params: decays, a, b and thresholds, shape [] or [N]; cast to the membrane's dtype.
      state: potential and adaptation current, float32 by default, shape [..., N].
      current: input current, floating, shape [..., N]; cast to the membrane's dtype.
      spike: surrogate spike function.
      reset: `subtract`, `zero`, `none`, or one of them with `detach`.
      scale_input: whether input and adaptation current are scaled by 1 - decay.

    Returns:
      The next state, and spikes in {0, 1} with the state's shape and the dtype of `current`.

    Raises:
      TypeError: current not floating, or wider than the membrane. ValueError: shapes do not fit.

    Bittar and Garner, "A surrogate gradient spiking baseline for speech command recognition",
    2022; Baronig et al., "Advancing spatio-temporal processing in spiking neural networks through
    adaptation", 2024.

    >>> params, state = AdLIFParams(0.5, 0.5, 0.5, 1.0, 1.0), adlif_init((1,))
    >>> for _ in range(2):
    ...     state, z = adlif_step(params, state, jnp.array([4.0]), scale_input=True)
    ...     print(float(z[0]), float(state.v[0]), float(state.w[0]))
    1.0 1.0 1.5
    1.0 0.75 2.125
    """
    current = jnp.asarray(current)
    decay, decay_w, a, b, threshold = as_params(
        params, state.v, decay=FACTOR, decay_w=FACTOR, threshold=ABOVE_0
    )
    x = as_current(current, state.v) - state.w
    h = decay * state.v + ((1.0 - decay) * x if scale_input else x)
    z = spike(h - threshold)
    v = reset(h, z, threshold)
    return AdLIFState(v, decay_w * state.w + a * v + b * z), z.astype(current.dtype)
