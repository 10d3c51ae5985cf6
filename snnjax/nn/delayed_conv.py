"""A convolution in space with learnable delays in time."""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.typing import ArrayLike, DTypeLike

from snnjax.delays import Taps, gaussian_taps
from snnjax.delays.dense import delay_channels, delay_synapses
from snnjax.metrics import dense_activity
from snnjax.nn.convolution import check_odd, conv, patches, window_outdegree
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
from snnjax.nn.neurons.population import check_count
from snnjax.nn.stateful import Stateful


class DelayedConv(Stateful):
    """A convolution over images without bias, whose spikes arrive after learnable delays.

        y[t, h, w] = sum_{u, v, i, c, j} k[u, v, i, :, c] tap_j(d[u, v, i, :, c])
                     x[t - j, h + u - S//2, w + v - S//2, i]

    Dense in space, DCLS along time alone; stride 1, zeros around, the same size out. A delay for
    each of the S * S * I * O synapses costs as much as K convolutions, or less where the transform
    of `delayed_dense` saves; one for each input or output channel costs a single convolution, and K
    multiplications a number. For taps with learnable places in space see `SpacedConv`.

    Args:
      in_channels, out_channels: I, O. kernel_size: S, odd.
      max_delay: the longest delay; a synapse has K = max_delay + 1 taps.
      kernel_count, sigma, taps, trainable_delays: as in `DelayedLinear`.
      per: what has a delay: every "synapse" of the kernel, or only every "input" or "output"
        channel.
      rngs: weights are drawn as in `DelayedLinear`, and kept as its synapses of S * S * I inputs,
        [S * S * I, O, Kc] by row, column and channel; so are the delays.

    Khalfaoui-Hassani, Pellegrini and Masquelier, "Dilated convolution with learnable spacings",
    ICLR 2023, with learned places along one axis only.

    >>> import jax
    >>> layer = DelayedConv(2, 4, 3, max_delay=4, rngs=nnx.Rngs(0))
    >>> state, y = jax.eval_shape(layer, None, jnp.ones((7, 1, 8, 8, 2)))
    >>> y.shape, state.shape
    ((7, 1, 8, 8, 4), (1, 4, 8, 8, 2))
    """

    spiking = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        max_delay: int,
        *,
        kernel_count: int = 1,
        per: Per = "synapse",
        sigma: float | None = None,
        taps: Taps = gaussian_taps,
        trainable_delays: bool = True,
        rngs: nnx.Rngs,
    ):
        inner = check_count("in_channels", in_channels)
        outer = check_count("out_channels", out_channels)
        edge = check_count("kernel_size", kernel_size)
        check_odd(edge)
        shape = (edge * edge * inner, outer, check_count("kernel_count", kernel_count))
        own = {**delay_shapes(shape, per), "input": (inner,)}[per]
        self.channels, self.edge, self.per = (inner, outer), edge, per
        self.delays = Delays(
            own, max_delay, sigma=sigma, taps=taps, trainable=trainable_delays, rngs=rngs
        )
        self.weight = draw_weight(shape, per, rngs)

    def init_state(self, batch_shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> Array:
        """A silent past for images of `batch_shape` (B, H, W): [B, K - 1, H, W, I], or O."""
        channels = self.channels[self.per == "output"]
        return silent_past(batch_shape, self.delays.max_delay, channels, dtype)

    def rest_for(self, x: Any) -> Array:
        """The silent past for images `x` [T, B, H, W, I], of which shape and dtype are read."""
        return self.init_state(x.shape[1:-1], x.dtype)

    def __call__(
        self, state: Array | None, x: ArrayLike | None = None, *, round_delays: bool = False
    ) -> tuple[Array, Array]:
        """`x` is [T, B, H, W, I]; returns the last K - 1 steps, and [T, B, H, W, O].

        With `round_delays` delays are integers; the derivative is that of the weights alone.
        """
        if x is not None and jnp.ndim(x) != 5:
            raise ValueError(
                f"DelayedConv takes images over time [T, B, H, W, {self.channels[0]}]; got "
                f"{jnp.shape(x)}. Give them all five axes."
            )
        x, past = sequence_and_past(self, state, x, self.channels[0])
        delay, sigma, taps = self.delays.taken("DelayedConv", round_delays)
        args = delay, sigma, self.delays.max_delay
        if self.per == "output":
            x = self._conv(x)
        if self.per == "synapse":
            now, before = self._patches(x), self._patches(past)
            y = delay_synapses(now, self.weight[...], *args, past=before, taps=taps)
            y = y.reshape(len(y), *x.shape[1:4], y.shape[-1])
        else:
            y = delay_channels(x, *args, past=past, taps=taps)
        return keep_past(past, x), self._conv(y) if self.per == "input" else y

    def _conv(self, x: Array) -> Array:
        return conv(x, self.weight[...].reshape(self.edge, self.edge, *self.channels))

    def _patches(self, x: Array) -> Array:
        """The neighbourhood of each place at each step, [T, B * H * W, S * S * I]."""
        images = x.reshape(math.prod(x.shape[:2]), *x.shape[2:])
        rows = patches(images, self.edge, self.edge)
        return rows.reshape(len(x), math.prod(x.shape[1:4]), math.prod(rows.shape[-2:]))


@count_inputs.register
def _(layer: DelayedConv, name: str, x: Array, **_: Any) -> Counts:
    """Count, per entry, the synapses of every window that contains it, once per tap."""
    taps = layer.weight[...].shape[2] if layer.per == "synapse" else 1
    degree = window_outdegree(x.shape[2:4], layer.edge)
    return (dense_activity(name, x, layer.channels[1] * taps, degree),)
