"""A population whose outputs come back after learnable delays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.typing import ArrayLike, DTypeLike

from snnjax.delays import RingState, ring_step
from snnjax.delays.kernels import sum_taps
from snnjax.nn.counting import Counts, count_inputs
from snnjax.nn.delay_buffer import (
    check_past,
    silent_past,
)
from snnjax.nn.delayed import DelayedLinear
from snnjax.nn.neurons.population import Population, check_count
from snnjax.nn.stateful import Stateful, forgotten_state
from snnjax.unroll import unroll


class DelayedRecurrentState(NamedTuple):
    """State of a recurrent population with delays."""

    cell: Any  # state of the neurons
    past: Array  # [B, K, ..., N], their outputs of K steps, the newest last


class DelayedRecurrent(Stateful):
    """A population whose outputs come back after delays of 1 .. K steps: 1 + the stored delay.

    Args:
      population: any `Population`, which keeps its own constants and its `checkpoint`.
      max_delay: K, at least 1.
      options: kernel_count, sigma, taps, trainable_delays, as in `DelayedLinear`.

    >>> from snnjax.nn import LIF
    >>> layer = DelayedRecurrent(LIF(3), 4, rngs=nnx.Rngs(0))
    >>> state, z = layer(None, jnp.ones((6, 2, 3)))
    >>> z.shape, state.past.shape
    ((6, 2, 3), (2, 4, 3))
    """

    def __init__(self, population: Population, max_delay: int, *, rngs: nnx.Rngs, **options: Any):
        self.population = population
        self.spiking = population.spiking
        n = population.features
        self.max_delay = check_count("max_delay", max_delay, "DelayedRecurrent")
        self.synapses = DelayedLinear(n, n, max_delay - 1, rngs=rngs, **options)
        if self.synapses.per != "synapse":
            raise ValueError(
                "recurrent delays are those of synapses; got "
                f"per={self.synapses.per!r}. Leave it out."
            )

    def init_state(
        self, batch_shape: tuple[int, ...], dtype: DTypeLike = jnp.float32
    ) -> DelayedRecurrentState:
        """Neurons at rest that have been silent."""
        past = silent_past(batch_shape, self.max_delay, self.population.features, dtype)
        return DelayedRecurrentState(self.population.init_state(batch_shape, dtype), past)

    def rest_for(self, x: Any) -> DelayedRecurrentState:
        """The resting state for input `x` [T, B, N], of which shape and dtype are read."""
        batch_shape = x.shape[1:-1]
        past = silent_past(batch_shape, self.max_delay, self.population.features, x.dtype)
        return DelayedRecurrentState(self.population.rest_for(x), past)

    def __call__(
        self,
        state: DelayedRecurrentState | None,
        current: ArrayLike | None = None,
        *,
        round_delays: bool = False,
        record: Sequence[str] = (),
    ) -> tuple[DelayedRecurrentState, Any]:
        """`current` is [T, B, N]; returns the last state and the output of every step."""
        if current is None:
            raise forgotten_state(self)
        current = self.population.check_input(None if state is None else state.cell, current)
        state = self.rest_for(current) if state is None else state
        check_past(self, state.past, current, self.rest_for(current).past)
        delay, sigma, taps = self.synapses.delays.taken("DelayedRecurrent.synapses", round_delays)
        longest, narrow = self.synapses.delays.max_delay, self.synapses.product_dtype
        kernel = sum_taps(self.synapses.weight[...], delay, sigma, longest, taps=taps)
        advance = self.population.step()

        def step(state: _Turning, x: Array) -> tuple[_Turning, Any]:
            ring, back = ring_step(kernel, state.ring, state.out, product_dtype=narrow)
            cell, out = advance(state.cell, x + back)
            return _Turning(cell, ring, out), out

        turning = _Turning(state.cell, *_to_ring(state.past))
        checkpoint = self.population.checkpoint
        turning, out = unroll(step, turning, current, checkpoint=checkpoint, record=record)
        return DelayedRecurrentState(turning.cell, _from_ring(turning.ring, turning.out)), out


class _Turning(NamedTuple):
    """The loop carry of a delayed recurrent population."""

    cell: Any
    ring: RingState  # outputs of K steps, of which one is overwritten in each
    out: Array  # of the step before


def _to_ring(past: Array) -> tuple[RingState, Array]:
    """The ring buffer before the newest output is written to slot 0, and that output."""
    frames = jnp.moveaxis(past, 1, 0)
    return RingState(jnp.roll(frames, 1, axis=0), jnp.zeros((), jnp.int32)), frames[-1]


def _from_ring(ring: RingState, out: Array) -> Array:
    """The past outputs [B, K, ..., N] in chronological order."""
    older = jnp.roll(ring.frames, -ring.turn, axis=0)[1:]
    return jnp.moveaxis(jnp.concatenate([older, out[None].astype(older.dtype)]), 0, 1)


@count_inputs.register
def _(layer: DelayedRecurrent, name: str, x: Array, *, state: Any, out: Array, **_: Any) -> Counts:
    """Count the recurrent input: at each step the outputs of the previous step."""
    before = layer.rest_for(x) if state is None else state
    back = jnp.concatenate([before.past[:, -1][None].astype(out.dtype), out[:-1]])
    return count_inputs(layer.synapses, f"{name}.synapses", back) or ()
