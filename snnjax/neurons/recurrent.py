"""Recurrent populations: any neuron with its last output fed back as input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike


class RecurrentState(NamedTuple):
    """State of a recurrent population."""

    cell: Any  # state of the neurons
    out: Array  # [..., N], their output in the previous step


def recurrent_init(
    cell: Any, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32
) -> RecurrentState:
    """The initial state of a recurrent population: neurons in the state `cell`, no spikes so far.

    Args:
      cell: a state of the neurons, for instance `lif_init(shape)`.
      shape: shape of one step's output. dtype: dtype of that output, equal to that of the input.
    """
    return RecurrentState(cell, jnp.zeros(shape, dtype))


def recurrent_step(
    step: Callable[[Any, Array], tuple[Any, Array]],
    connect: Callable[[Array], Array],
    state: RecurrentState,
    current: Array,
) -> tuple[RecurrentState, Array]:
    """One step of neurons that drive each other with a delay of one step.

        cell, out = step(cell, current + connect(out))

    Args:
      step: step function of the neurons, for instance `partial(lif_step, params)`.
      connect: function from the outputs of the last step to currents of this one, both [..., N]: a
        dense matrix, one number per neuron, a sparse connectivity.
      state: state of the neurons, and their last output.
      current: external input, [..., N].

    Returns:
      The next state, and the output of the neurons.

    >>> from functools import partial
    >>> from snnjax.neurons import LIFParams, lif_init, lif_step
    >>> cell = partial(recurrent_step, partial(lif_step, LIFParams(0.5, 1.0)), lambda z: 0.75 * z)
    >>> state = recurrent_init(lif_init((1,)), (1,))
    >>> for x in (1.5, 0.0, 0.0):
    ...     state, z = cell(state, jnp.array([x]))
    ...     print(float(z[0]), float(state.cell.v[0]))
    1.0 0.5
    1.0 0.0
    0.0 0.75
    """
    cell, out = step(state.cell, current + connect(state.out))
    return RecurrentState(cell, out), out
