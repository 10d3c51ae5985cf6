"""Layers with learnable delays of their synapses, inputs, outputs or channels."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.typing import ArrayLike, DTypeLike

from snnjax.delays import Taps, gaussian_taps
from snnjax.delays.dense import delay_channels, delay_synapses
from snnjax.metrics import dense_activity
from snnjax.nn.counting import Counts, count_inputs
from snnjax.nn.delay_buffer import (
    Delays,
    Per,
    delay_shapes,
    draw_weight,
    keep_past,
    sequence_and_past,
    silent_past,
)
from snnjax.nn.narrow import NarrowProducts
from snnjax.nn.neurons.population import check_count
from snnjax.nn.parallel import ChannelAxes, channel_axes
from snnjax.nn.remat import product_of
from snnjax.nn.stateful import Stateful
from snnjax.sharding import Parallel, sharded_product
from snnjax.sparse import narrow_product


class DelayedLinear(NarrowProducts, Stateful):
    """A dense layer without bias whose synapses, inputs or outputs have learnable delays.

    Over time with channels this is the temporal convolution of DCLS and SNN-delays. A sequence may
    be shorter than the buffer, down to one step of a stream: what is on its way is in the state.

    Args:
      in_features, out_features: I, O.
      max_delay: the longest delay; a synapse has K = max_delay + 1 taps.
      kernel_count: Kc, taps of a synapse, each with a weight.
      per: what has a delay: every "synapse", or only every "input" (axon) or "output" (dendrite).
      sigma, taps, trainable_delays: see `Delays`.
      product_dtype: what inputs and kernels are rounded to for their product; None leaves them.

    Late arrivals come out in further steps: give as many silent ones as they need.
    `snnjax.nn.pair` sets how the synapses are sharded over a mesh axis "model".

    >>> layer = DelayedLinear(3, 2, max_delay=4, rngs=nnx.Rngs(0))
    >>> state, y = layer(None, jnp.ones((7, 4, 3)))
    >>> y.shape, state.shape
    ((7, 4, 2), (4, 4, 3))
    """

    spiking = False

    def __init__(
        self,
        in_features: int,
        out_features: int,
        max_delay: int,
        *,
        kernel_count: int = 1,
        per: Per = "synapse",
        sigma: float | None = None,
        taps: Taps = gaussian_taps,
        trainable_delays: bool = True,
        product_dtype: DTypeLike | None = None,
        rngs: nnx.Rngs,
    ):
        self.product_dtype = product_dtype
        shape = tuple(
            check_count(name, count)
            for name, count in (
                ("in_features", in_features),
                ("out_features", out_features),
                ("kernel_count", kernel_count),
            )
        )
        own = delay_shapes(shape, per)[per]
        self.shape, self.per = shape, per
        self.parallel: Parallel | None = None
        self.delays = Delays(
            own, max_delay, sigma=sigma, taps=taps, trainable=trainable_delays, rngs=rngs
        )
        self.weight = draw_weight(shape, per, rngs)

    def init_state(self, batch_shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> Array:
        """A silent past, [B, K - 1, I], or [B, K - 1, O] where outputs are delayed."""
        features = self.shape[1] if self.per == "output" else self.shape[0]
        return silent_past(batch_shape, self.delays.max_delay, features, dtype)

    def rest_for(self, x: Any) -> Array:
        """The silent past for input `x` [T, B, I], of which shape and dtype are read."""
        return self.init_state(x.shape[1:-1], x.dtype)

    def __call__(
        self, state: Array | None, x: ArrayLike | None = None, *, round_delays: bool = False
    ) -> tuple[Array, Array]:
        """`x` is [T, B, I]; returns the last K - 1 steps [B, K - 1, I], and [T, B, O].

        With `round_delays` delays are integers, as they are on hardware; the derivative is that of
        the weights alone.
        """
        x, past = sequence_and_past(self, state, x, self.shape[0])
        delay, sigma, taps = self.delays.taken("DelayedLinear", round_delays)
        options = {"taps": taps, "past": past}
        args = delay, sigma, self.delays.max_delay
        if self.per == "synapse":
            y = self._delay_synapses(x, past, delay, sigma, taps)
        elif self.per == "input":
            y = self._multiply(delay_channels(x, *args, **options))
        else:
            x = self._multiply(x)
            y = delay_channels(x, *args, **options)
        return keep_past(past, x), product_of(y)

    def _multiply(self, x: Array) -> Array:
        return narrow_product(jnp.matmul, x, self.weight[...], self.product_dtype)

    def _delay_synapses(
        self, x: Array, past: Array, delay: Array, sigma: Array, taps: Taps
    ) -> Array:
        def product(x: tuple[Array, Array], synapses: tuple[Array, Array], sigma: Array) -> Array:
            now, past = x
            return delay_synapses(
                now,
                *synapses,
                sigma,
                self.delays.max_delay,
                taps=taps,
                past=past,
                product_dtype=self.product_dtype,
            )

        synapses = self.weight[...], delay
        return sharded_product(product, (x, past), synapses, sigma, parallel=self.parallel)


class Delay(Stateful):
    """Every channel delayed by a learnable time of its own; see `snnjax.delays.delayed`.

    Input may have axes between batch and channels, such as [T, B, H, W, C].

    >>> layer = Delay(3, max_delay=4, rngs=nnx.Rngs(0))
    >>> state, y = layer(None, jnp.ones((7, 4, 3)))
    >>> y.shape
    (7, 4, 3)
    """

    def __init__(
        self,
        features: int,
        max_delay: int,
        *,
        sigma: float | None = None,
        taps: Taps = gaussian_taps,
        trainable_delays: bool = True,
        rngs: nnx.Rngs,
    ):
        self.features = check_count("features", features)
        self.delays = Delays(
            (features,), max_delay, sigma=sigma, taps=taps, trainable=trainable_delays, rngs=rngs
        )

    def init_state(self, batch_shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> Array:
        """A silent past, [B, K - 1, ..., N]."""
        return silent_past(batch_shape, self.delays.max_delay, self.features, dtype)

    def rest_for(self, x: Any) -> Array:
        """The silent past for input `x` [T, B, ..., N], of which shape and dtype are read."""
        return self.init_state(x.shape[1:-1], x.dtype)

    def __call__(
        self, state: Array | None, x: ArrayLike | None = None, *, round_delays: bool = False
    ) -> tuple[Array, Array]:
        """`x` is [T, B, ..., N]; returns the last K - 1 steps, and the delayed [T, B, ..., N]."""
        x, past = sequence_and_past(self, state, x, self.features)
        delay, sigma, taps = self.delays.taken("Delay", round_delays)
        y = delay_channels(x, delay, sigma, self.delays.max_delay, taps=taps, past=past)
        return keep_past(past, x), y


@count_inputs.register
def _(layer: DelayedLinear, name: str, x: Array, **_: Any) -> Counts:
    """Count one operation per entry, synapse and tap."""
    outputs, taps = layer.shape[1:]
    return (dense_activity(name, x, outputs * taps),)


@channel_axes.register
def _(layer: DelayedLinear) -> ChannelAxes:
    if layer.per != "synapse":
        return {"weight": (-2, -1)}
    return {"weight": (-3, -2), "delays/delay": (-3, -2)}
