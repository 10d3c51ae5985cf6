"""A recurrent layer: a connection over the neurons of any population."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.typing import DTypeLike

from snnjax.neurons import RecurrentState, recurrent_init, recurrent_step
from snnjax.nn.population import Population
from snnjax.unroll import unroll


class Recurrent(nnx.Module):
    """A population whose output of the last step comes back through a connection.

    Args:
      population: any `Population`, which keeps its own constants and its `checkpoint`.
      connection: from outputs [..., N] to currents [..., N], for instance
        `nnx.Linear(N, N, use_bias=False, rngs=rngs)`.

    >>> from snnjax.nn import LIF
    >>> dense = nnx.Linear(3, 3, use_bias=False, rngs=nnx.Rngs(0))
    >>> layer = Recurrent(LIF(3), dense)
    >>> state, z = layer(layer.init_state((2,)), jnp.ones((5, 2, 3)))
    >>> z.shape, state.cell.v.shape, state.out.shape
    ((5, 2, 3), (2, 3), (2, 3))
    """

    def __init__(self, population: Population, connection: Callable[[Array], Array]):
        self.population, self.connection = population, connection

    def init_state(
        self,
        batch_shape: tuple[int, ...] = (),
        dtype: DTypeLike = jnp.float32,
        *,
        out_dtype: DTypeLike | None = None,
    ) -> RecurrentState:
        """The resting state for input [T, *batch_shape, N].

        Args:
          batch_shape: as in `Population.init_state`. dtype: of the membranes.
          out_dtype: of the input, which the output has too; None takes `dtype`.
        """
        cell = self.population.init_state(batch_shape, dtype)
        shape = (*batch_shape, self.population.features)
        return recurrent_init(cell, shape, dtype if out_dtype is None else out_dtype)

    def __call__(
        self, state: RecurrentState, current: Array, *, record: Sequence[str] = ()
    ) -> tuple[RecurrentState, Any]:
        """`current` is [T, B, ..., N]; returns the last state and the output of every step.

        `record=("cell.v",)` returns the membrane over time too: see `snnjax.unroll.unroll`.
        """
        current = self.population.check_input(state.cell, current)
        self.population.check_back("Recurrent", state.out, current)
        step = partial(recurrent_step, self.population.step(), self.connection)
        return unroll(step, state, current, checkpoint=self.population.checkpoint, record=record)
