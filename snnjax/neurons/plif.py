"""The parametric leaky integrate-and-fire neuron, whose time constant is learned."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike, DTypeLike

from snnjax.neurons.lif import LIFParams, LIFState, lif_step
from snnjax.neurons.membrane import as_param
from snnjax.neurons.reset import Reset, subtract
from snnjax.neurons.timing import Timing, same_step
from snnjax.surrogates import atan


class PLIFParams(NamedTuple):
    """Parameters of parametric leaky integrate-and-fire neurons."""

    w: ArrayLike  # [] or [N], unconstrained: 1/tau = sigmoid(w); see plif_weight
    threshold: ArrayLike  # [] or [N]


class PLIFState(NamedTuple):
    """State of parametric leaky integrate-and-fire neurons."""

    v: Array  # [..., N], membrane potential after the reset


def plif_init(
    shape: tuple[int, ...], dtype: DTypeLike = jnp.float32, *, v_rest: ArrayLike = 0.0
) -> PLIFState:
    """The resting state of a population of `shape`; pass the `v_rest` of the step, [] or [N]."""
    return PLIFState(v=jnp.full(shape, v_rest, dtype))


def plif_weight(tau: float | np.ndarray) -> Array:
    """The parameter w of a time constant in steps: w = -log(tau - 1), so that 1/tau = sigmoid(w).

    Args:
      tau: time constants above 1, concrete.

    >>> float(plif_weight(2.0)) == 0.0
    True
    """
    if not np.all(np.isfinite(tau) & (np.asarray(tau) > 1)):
        raise ValueError(
            f"`tau` of a PLIF neuron must be above 1 step, since 1/tau = sigmoid(w); got {tau}."
        )
    return jnp.asarray(-np.log(np.asarray(tau) - 1.0), float)


def plif_step(
    params: PLIFParams,
    state: PLIFState,
    current: ArrayLike,
    *,
    spike: Callable[[Array], Array] = atan,
    reset: Reset = subtract,
    scale_input: bool = False,
    timing: Timing = same_step,
    v_rest: ArrayLike = 0.0,
) -> tuple[PLIFState, Array]:
    """One step of a LIF neuron with a learnable time constant: leak, integrate, fire, reset.

        v' = v - v * sigmoid(w) + current       (scale_input: v + (current - v) * sigmoid(w))
        z  = H(v' - threshold)
        v  = reset(v', z, threshold)

    It is `lif_step` with decay 1 - sigmoid(w). The paper scales its input: scale_input=True.

    Args:
      params: w and thresholds, shape [] or [N]; cast to the membrane's dtype.
      state: membrane potential, float32 by default, shape [..., N].
      current: input current, floating, shape [..., N]; cast to the membrane's dtype.
      spike: surrogate spike function.
      reset: `subtract`, `zero`, `reset_to(value)`, `none`, or one of them with `detach`.
      scale_input: whether the input is scaled by sigmoid(w).
      timing, v_rest: as for `lif_step`.

    Returns:
      The next state, and spikes in {0, 1} with the state's shape and the dtype of `current`.

    Raises:
      TypeError: current not floating, or wider than the membrane. ValueError: shapes do not fit.

    Fang et al., "Incorporating Learnable Membrane Time Constant", ICCV 2021.

    >>> state, z = plif_step(PLIFParams(plif_weight(2.0), 1.0), plif_init((1,)), jnp.array([1.5]))
    >>> float(z[0]), float(state.v[0])
    (1.0, 0.5)
    """
    decay = jax.nn.sigmoid(-as_param(params.w, state.v, "w"))
    lif = LIFParams(decay, params.threshold)
    after, z = lif_step(
        lif,
        LIFState(state.v),
        current,
        spike=spike,
        reset=reset,
        scale_input=scale_input,
        timing=timing,
        v_rest=v_rest,
    )
    return PLIFState(after.v), z
