"""The two-compartment LIF neuron: a dendrite and a soma that drive each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike, DTypeLike

from snnjax.neurons.membrane import ABOVE_0, as_current, as_params
from snnjax.neurons.reset import Reset, subtract
from snnjax.surrogates import atan


class TCLIFParams(NamedTuple):
    """Parameters of two-compartment LIF neurons."""

    c1: ArrayLike  # [] or [N], unconstrained: the soma pulls on the dendrite by sigmoid(c1)
    c2: ArrayLike  # [] or [N], unconstrained: the dendrite drives the soma by sigmoid(c2)
    gamma: ArrayLike  # [] or [N]: amount that a spike subtracts from the dendrite; 0.5 in the paper
    threshold: ArrayLike  # [] or [N]


class TCLIFState(NamedTuple):
    """State of two-compartment LIF neurons."""

    d: Array  # [..., N], potential of the dendrite after the reset
    s: Array  # [..., N], potential of the soma after the reset


def tclif_init(shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> TCLIFState:
    """The resting state of a population of `shape`."""
    return TCLIFState(d=jnp.zeros(shape, dtype), s=jnp.zeros(shape, dtype))


def tclif_step(
    params: TCLIFParams,
    state: TCLIFState,
    current: ArrayLike,
    *,
    spike: Callable[[Array], Array] = atan,
    reset: Reset = subtract,
    reset_dendrite: Reset = subtract,
) -> tuple[TCLIFState, Array]:
    """One step of a two-compartment neuron: dendrite, then soma, fire, reset both.

        d' = d - sigmoid(c1) * s + current
        s' = s + sigmoid(c2) * d'
        z  = H(s' - threshold)
        d, s = reset_dendrite(d', z, gamma), reset(s', z, threshold)

    The soma uses the new dendrite potential, as in the authors' code. Neither compartment leaks by
    itself, and without spikes the pair rotates without decay: the map of (d, s) has determinant 1.
    The authors' hard reset is `reset=zero, reset_dendrite=none`.

    Args:
      params: c1, c2, gamma and thresholds, shape [] or [N]; cast to the state's dtype.
      state: both potentials, float32 by default, shape [..., N].
      current: input current of the dendrite, floating, shape [..., N]; cast to the state's dtype.
      spike: surrogate spike function.
      reset: `subtract`, `zero`, `none`, or one of them with `detach`; for the soma.
      reset_dendrite: the same for the dendrite, with gamma as threshold. Detach both or neither.

    Returns:
      The next state, and spikes in {0, 1} with the state's shape and the dtype of `current`.

    Raises:
      TypeError: current not floating, or wider than the state. ValueError: shapes do not fit.

    Zhang et al., "TC-LIF: a two-compartment spiking neuron model for long-term sequential
    modelling", AAAI 2024.

    >>> params = TCLIFParams(0.0, 0.0, 0.5, 1.0)
    >>> state, z = tclif_step(params, tclif_init((1,)), jnp.array([3.0]))
    >>> float(z[0]), float(state.d[0]), float(state.s[0])
    (1.0, 2.5, 0.5)
    """
    current = jnp.asarray(current)
    x = as_current(current, state.d)
    c1, c2, gamma, threshold = as_params(params, state.d, threshold=ABOVE_0)
    d = state.d - jax.nn.sigmoid(c1) * state.s + x
    s = state.s + jax.nn.sigmoid(c2) * d
    z = spike(s - threshold)
    after = TCLIFState(reset_dendrite(d, z, gamma), reset(s, z, threshold))
    return after, z.astype(current.dtype)
