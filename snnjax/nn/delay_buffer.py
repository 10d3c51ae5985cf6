"""Delays of a layer, the width of their taps, and the buffer of what is on its way."""

from __future__ import annotations

from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.typing import ArrayLike, DTypeLike

from snnjax.delays import (
    Taps,
    gaussian_taps,
    round_delay,
    two_taps,
)
from snnjax.delays.check import (
    check_delay,
    check_max_delay,
    check_sequence,
    check_sigma,
    check_taps,
)
from snnjax.nn.bounded import Bounded
from snnjax.nn.neurons.population import Fixed, check_batch_shape, named
from snnjax.nn.stateful import forgotten_state

Per = Literal["synapse", "input", "output"]


class Sigma(nnx.Variable):
    """The width of the taps: a non-trainable array that the training loop sets."""


class Delays(Bounded):
    """Delays of some shape, uniform over 0 .. max_delay at first, and the width of their taps.

    Args:
      shape: shape of the delays.
      max_delay: the longest delay; a synapse has K = max_delay + 1 taps.
      sigma: width at first; None takes half of K, as published.
      taps: see `snnjax.delays`. trainable: whether they are parameters or stay as drawn.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        max_delay: int,
        *,
        sigma: float | None = None,
        taps: Taps = gaussian_taps,
        trainable: bool = True,
        rngs: nnx.Rngs,
    ):
        self.max_delay, self.taps = check_max_delay(max_delay), check_taps(taps)
        self.trainable = trainable
        sigma = (max_delay + 1) // 2 if sigma is None else sigma
        check_sigma(sigma)
        drawn = jax.random.uniform(rngs.params(), shape, jnp.float32, 0, max_delay)
        self.delay = nnx.Param(drawn) if trainable else Fixed(drawn)
        self.sigma = Sigma(jnp.asarray(sigma, jnp.float32))

    def bounds(self) -> dict[str, tuple[ArrayLike, ArrayLike]]:
        """Lower and upper bounds of this module's parameters."""
        return {"delay": (0.0, float(self.max_delay))} if self.trainable else {}

    def taken(self, layer: str, round_delays: bool) -> tuple[Array, Array, Taps]:
        """The delays, sigma and taps for a call of `layer`; integer delays with one tap if rounded.

        Raises:
          ValueError: a delay is known to lie outside 0 .. max_delay.
        """
        delay, max_delay = self.delay[...], self.max_delay
        if round_delays:
            delay = round_delay(delay, max_delay)
        named(layer, check_delay, delay, max_delay)
        rounded = delay, jnp.zeros(()), two_taps
        return rounded if round_delays else (delay, self.sigma[...], self.taps)


def delay_shapes(shape: tuple[int, ...], per: str) -> dict[str, tuple[int, ...]]:
    """The shape of the delays for each choice of `per`, of synapses [I, O, Kc]."""
    shapes = {"synapse": shape, "input": shape[:1], "output": shape[1:2]}
    if per not in shapes:
        raise ValueError(f"`per` must be one of {', '.join(shapes)}; got {per!r}.")
    if per != "synapse" and shape[2] != 1:
        raise ValueError(f"several taps need a delay per synapse; got {shape[2]} {per!r}.")
    return shapes


def draw_weight(shape: tuple[int, ...], per: str, rngs: nnx.Rngs) -> nnx.Param[Array]:
    """Kaiming-uniform weights, +-sqrt(6 / (I Kc)), of synapses [I, O, Kc], or [I, O] of one tap."""
    bound = (6.0 / (shape[0] * shape[2])) ** 0.5
    own = shape if per == "synapse" else shape[:2]
    return nnx.Param(jax.random.uniform(rngs.params(), own, jnp.float32, -bound, bound))


def silent_past(batch_shape: tuple[int, ...], steps: int, features: int, dtype: DTypeLike) -> Array:
    """A silent buffer of `steps` steps for a layer, [B, steps, ..., N]."""
    batch, *places = check_batch_shape(batch_shape)
    return jnp.zeros((batch, steps, *places, features), dtype)


def sequence_and_past(
    layer: Any, state: Array | None, x: ArrayLike | None, features: int
) -> tuple[Array, Array]:
    """The checked input [T, B, ..., N], and the state, or silence, with its steps first."""
    if x is None:
        raise forgotten_state(layer)
    x = check_sequence(x, features)
    past = layer.rest_for(x) if state is None else state
    check_past(layer, past, x, jax.eval_shape(layer.rest_for, x))
    return x, jnp.moveaxis(past, 1, 0)


def check_past(layer: Any, state: ArrayLike, x: Array, rest: Any) -> None:
    """Refuse a past of another shape than the silent one of `layer` for `x`."""
    if jnp.shape(state) != rest.shape:
        raise ValueError(
            f"{type(layer).__name__} takes a past of {rest.shape} for x {x.shape}; got "
            f"{jnp.shape(state)}. Pass the state that an earlier call returned, or None."
        )


def keep_past(past: Array, x: Array) -> Array:
    """The last K - 1 input steps, following a past [K - 1, B, ...]; batch axis first."""
    return jnp.moveaxis(jnp.concatenate([past, x])[x.shape[0] :], 0, 1)
