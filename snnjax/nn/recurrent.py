"""A recurrent layer: a feedback connection around any population."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike, DTypeLike

from snnjax.neurons import RecurrentState, recurrent_init, recurrent_step
from snnjax.nn.counting import Counts, count_inputs
from snnjax.nn.neurons.population import Population
from snnjax.nn.stateful import Stateful, forgotten_state
from snnjax.unroll import unroll


class Recurrent(Stateful):
    """A population whose previous output feeds back through a connection.

    Args:
      population: any `Population`, which keeps its own constants and its `checkpoint`.
      connection: maps outputs [..., N] to currents [..., N], for instance
        `nnx.Linear(N, N, use_bias=False, rngs=rngs)`.

    Gradients through many steps explode where a step multiplies them by more than 1 in size. With
    the soft reset that factor is about `decay - threshold * peak`, with the peak of the surrogate's
    derivative, and the connection adds its own. What keeps them small:

    - a surrogate with a small peak: `atan` (1), not `fast_sigmoid` (12.5);
    - an adaptation that does not multiply the threshold: `beta=0.2` for ALIF, not 1.8;
    - small orthogonal weights: `kernel_init=nnx.initializers.orthogonal(0.2)`;
    - clipping, for what still happens: `optax.clip_by_global_norm(1.0)` before the update.

    >>> from flax import nnx
    >>> from snnjax.nn import LIF
    >>> dense = nnx.Linear(3, 3, use_bias=False, rngs=nnx.Rngs(0))
    >>> layer = Recurrent(LIF(3), dense)
    >>> state, z = layer(None, jnp.ones((5, 2, 3)))
    >>> z.shape, state.cell.v.shape, state.out.shape
    ((5, 2, 3), (2, 3), (2, 3))
    """

    def __init__(self, population: Population, connection: Callable[[Array], Array]):
        if not isinstance(population, Population):
            raise TypeError(_not_a_population(population))
        if isinstance(connection, type) or not callable(connection):
            raise TypeError(
                "Recurrent: `connection` must be a function from outputs to currents, such as "
                f"nnx.Linear(N, N, use_bias=False, rngs=rngs); got {connection!r}."
            )
        self.population, self.connection = population, connection
        self.spiking = population.spiking

    def init_state(
        self,
        batch_shape: tuple[int, ...] = (),
        dtype: DTypeLike = jnp.float32,
        *,
        out_dtype: DTypeLike | None = None,
    ) -> RecurrentState:
        """The resting state for input [T, *batch_shape, N].

        Args:
          batch_shape: as in `Population.init_state`. dtype: dtype of the membranes.
          out_dtype: dtype of input and output; None uses `dtype`.
        """
        cell = self.population.init_state(batch_shape, dtype)
        shape = (*batch_shape, self.population.features)
        return recurrent_init(cell, shape, dtype if out_dtype is None else out_dtype)

    def rest_for(self, x: Any) -> RecurrentState:
        """The resting state for input `x` [T, B, ..., N], of which shape and dtype are read."""
        cell = self.population.rest_for(x)
        shape = (*self.population.batch_shape(x), self.population.features)

        def output(cell: Any, back: Array, current: Array) -> Array:
            state = RecurrentState(cell, back)
            return recurrent_step(self.population.step(), self.connection, state, current)[1]

        # a connection with float32 weights, or a population of membranes, widens narrow input
        out = jax.eval_shape(output, cell, _frame(shape, x.dtype), _frame(x.shape[1:], x.dtype))
        return recurrent_init(cell, shape, out.dtype)

    def __call__(
        self,
        state: RecurrentState | None,
        current: ArrayLike | None = None,
        *,
        record: Sequence[str] = (),
    ) -> tuple[RecurrentState, Any]:
        """`current` is [T, B, ..., N]; returns the last state and the output of every step.

        A state of None is the resting one. `record=("cell.v",)` returns the membrane over time too:
        see `snnjax.unroll.unroll`.
        """
        if current is None:
            raise forgotten_state(self)
        current = self.population.check_input(None if state is None else state.cell, current)
        state = self.rest_for(current) if state is None else state
        self.population.check_back("Recurrent", state.out, current)
        step = partial(recurrent_step, self.population.step(), self.connection)
        return unroll(step, state, current, checkpoint=self.population.checkpoint, record=record)


def _frame(shape: tuple[int, ...], dtype: DTypeLike) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, dtype)


def _not_a_population(given: Any) -> str:
    """The hint for an argument that is not a neuron layer, most often a class."""
    if isinstance(given, type) and issubclass(given, Population):
        name = given.__name__
        return f"Recurrent: got the class {name}; make a layer of it, Recurrent({name}(128), ...)."
    return f"Recurrent: `population` must be a layer of neurons, such as LIF(128); got {given!r}."


@count_inputs.register
def _(layer: Recurrent, name: str, x: Array, *, state: Any, out: Array, **_: Any) -> Counts | None:
    """Count the recurrent input: at each step the outputs of the previous step."""
    before = layer.rest_for(x) if state is None else state
    back = jnp.concatenate([before.out[None].astype(out.dtype), out[:-1]])
    return count_inputs(layer.connection, f"{name}.connection", back)
