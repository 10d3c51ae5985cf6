"""The neuron with an alpha-shaped response: a difference of two exponentials of its input."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike, DTypeLike

from snnjax.neurons.membrane import ABOVE_0, FACTOR, as_current, as_params, concrete
from snnjax.neurons.reset import Reset, zero
from snnjax.surrogates import atan


class AlphaParams(NamedTuple):
    """Parameters of neurons with an alpha-shaped response."""

    decay_exc: ArrayLike  # [] or [N]: decay of the falling flank, exact(tau, dt)
    decay_inh: ArrayLike  # [] or [N]: decay of the rising flank, below decay_exc
    gain: ArrayLike  # [] or [N]: alpha_gain(decay_exc, decay_inh)
    threshold: ArrayLike  # [] or [N]


class AlphaState(NamedTuple):
    """State of neurons with an alpha-shaped response."""

    exc: Array  # [..., N], excitatory trace of the input, after the reset
    inh: Array  # [..., N], inhibitory trace of the input, after the reset


def alpha_init(shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> AlphaState:
    """The resting state of a population of `shape`."""
    return AlphaState(exc=jnp.zeros(shape, dtype), inh=jnp.zeros(shape, dtype))


def alpha_gain(decay_exc: ArrayLike, decay_inh: ArrayLike) -> Array:
    """The gain from traces to membrane: ln(decay_inh) / (ln(decay_inh) - ln(decay_exc)).

    Compute it once, outside the loop over time; if the decays are learned, inside the traced loss.

    Args:
      decay_exc: decay of the falling flank, any shape. decay_inh: of the rising flank.

    Raises:
      ValueError: when concrete decays do not satisfy 0 < decay_inh < decay_exc < 1.

    >>> round(float(alpha_gain(0.9, 0.81)), 4)
    2.0
    """
    exc, inh = concrete(decay_exc), concrete(decay_inh)
    if exc is not None and inh is not None and not np.all((inh > 0) & (inh < exc) & (exc < 1)):
        raise ValueError(
            "the decays of an alpha neuron must satisfy 0 < decay_inh < decay_exc < 1; got "
            f"decay_inh={inh} with decay_exc={exc}. Swap them, or make them differ."
        )
    rise, fall = jnp.log(decay_inh), jnp.log(decay_exc)
    return rise / (rise - fall)


def alpha_step(
    params: AlphaParams,
    state: AlphaState,
    current: ArrayLike,
    *,
    spike: Callable[[Array], Array] = atan,
    reset: Reset = zero,
) -> tuple[AlphaState, Array]:
    """One step of the alpha neuron: two traces, their sum, fire, reset, in that order.

        e   = decay_exc * exc + current
        n   = decay_inh * inh - current
        v'  = gain * (e + n)
        z   = H(v' - threshold)
        exc = reset(e, z, threshold / gain)
        inh = reset(n, z, 0)

    So gain * (exc + inh) = reset(v', z, threshold): `zero` clears both traces, with the input of
    this step, and `subtract` subtracts the threshold from the slow trace. An input of 1 at step 0
    gives v'[t] = gain * (decay_exc**t - decay_inh**t): nothing in its own step, then a rise and a
    fall. The reset acts in the step of its spike; snnTorch clears the traces, and the new input
    with them, one step later.

    Args:
      params: decays, gains and thresholds, shape [] or [N]; cast to the traces' dtype.
      state: the two traces, float32 by default, shape [..., N].
      current: input current, floating, shape [..., N]; cast to the traces' dtype.
      spike: surrogate spike function.
      reset: `zero`, `subtract`, `none`, or one of them with `detach`.

    Returns:
      The next state, and spikes in {0, 1} with the state's shape and the dtype of `current`.

    Raises:
      TypeError: current not floating, or wider than the traces. ValueError: shapes do not fit.

    >>> from snnjax.neurons import subtract
    >>> params = AlphaParams(0.5, 0.25, alpha_gain(0.5, 0.25), 1.0)  # a gain of 2
    >>> state = alpha_init((1,))
    >>> for x in (3.0, 0.0, 0.0):
    ...     state, z = alpha_step(params, state, jnp.array([x]), reset=subtract)
    ...     print(float(z[0]), float(state.exc[0]), float(state.inh[0]))
    0.0 3.0 -3.0
    1.0 1.0 -0.75
    0.0 0.5 -0.1875
    """
    current = jnp.asarray(current)
    decay_exc, decay_inh, gain, threshold = as_params(
        params, state.exc, decay_exc=FACTOR, decay_inh=FACTOR, threshold=ABOVE_0
    )
    x = as_current(current, state.exc)
    exc = decay_exc * state.exc + x
    inh = decay_inh * state.inh - x
    z = spike(gain * (exc + inh) - threshold)
    exc = reset(exc, z, threshold / gain)
    return AlphaState(exc, reset(inh, z, jnp.zeros_like(threshold))), z.astype(current.dtype)
