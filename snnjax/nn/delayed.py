"""Layers with learnable delays: thin holders of weights, delays and their width."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.typing import ArrayLike, DTypeLike

from snnjax.delays import (
    RingState,
    Taps,
    delayed,
    delayed_dense,
    gaussian_taps,
    kernel_of,
    ring_step,
    spaced_conv,
    to_discrete,
    triangle_taps,
    two_taps,
)
from snnjax.delays.check import (
    check_delay,
    check_dimensions,
    check_sequence,
    check_sigma,
    check_taps,
)
from snnjax.metrics import dense_activity
from snnjax.nn.bounded import Bounded
from snnjax.nn.counting import Counts, count_inputs, with_steps
from snnjax.nn.neurons.population import Fixed, Population, check_batch_shape, check_count, named
from snnjax.nn.parallel import ChannelAxes, channel_axes
from snnjax.nn.remat import product_of
from snnjax.nn.stateful import Stateful, forgotten_state
from snnjax.sharding import Parallel, sharded_product
from snnjax.sparse import narrow_product
from snnjax.unroll import unroll

Per = Literal["synapse", "input", "output"]


class Sigma(nnx.Variable):
    """The width of the taps: a non-trainable array that the training loop sets."""


class Delays(Bounded):
    """Delays of some shape, uniform over the buffer at first, and the width of their taps.

    Args:
      shape: shape of the delays.
      max_delay: the longest delay; the buffer has K = max_delay + 1 steps.
      sigma: width at first; None takes half the buffer, as published.
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
        sigma = self.size // 2 if sigma is None else sigma
        check_sigma(sigma)
        drawn = jax.random.uniform(rngs.params(), shape, jnp.float32, 0, max_delay)
        self.delay = nnx.Param(drawn) if trainable else Fixed(drawn)
        self.sigma = Sigma(jnp.asarray(sigma, jnp.float32))

    @property
    def size(self) -> int:
        """Steps of the buffer, K."""
        return self.max_delay + 1

    def bounds(self) -> dict[str, tuple[ArrayLike, ArrayLike]]:
        """Lower and upper bounds of this module's parameters."""
        return {"delay": (0.0, float(self.max_delay))} if self.trainable else {}

    def taken(self, layer: str, round_delays: bool) -> tuple[Array, Array, Taps]:
        """The delays, sigma and taps for a call of `layer`; integer delays with one tap if rounded.

        Raises:
          ValueError: a delay is known to lie outside the buffer.
        """
        delay = to_discrete(self.delay[...], self.size) if round_delays else self.delay[...]
        named(layer, check_delay, delay, self.size)
        rounded = delay, jnp.zeros(()), two_taps
        return rounded if round_delays else (delay, self.sigma[...], self.taps)


class DelayedLinear(Stateful):
    """A dense layer without bias whose synapses, inputs or outputs have learnable delays.

    Over time with channels this is the temporal convolution of DCLS and SNN-delays. A sequence may
    be shorter than the buffer, down to one step of a stream: what is on its way is in the state.

    Args:
      in_features, out_features: I, O.
      max_delay: the longest delay; the buffer has K = max_delay + 1 steps.
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
        args = delay, sigma, self.delays.size
        if self.per == "synapse":
            y = self._delayed_dense(x, past, delay, sigma, taps)
        elif self.per == "input":
            y = self._multiply(delayed(x, *args, **options))
        else:
            x = self._multiply(x)
            y = delayed(x, *args, **options)
        return keep_past(past, x), product_of(y)

    def _multiply(self, x: Array) -> Array:
        return narrow_product(jnp.matmul, x, self.weight[...], self.product_dtype)

    def _delayed_dense(
        self, x: Array, past: Array, delay: Array, sigma: Array, taps: Taps
    ) -> Array:
        def product(x: tuple[Array, Array], synapses: tuple[Array, Array], sigma: Array) -> Array:
            now, past = x
            return delayed_dense(
                now,
                *synapses,
                sigma,
                self.delays.size,
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
        y = delayed(x, delay, sigma, self.delays.size, taps=taps, past=past)
        return keep_past(past, x), y


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
        n = population.features
        check_count("max_delay", max_delay, "DelayedRecurrent")
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
        past = silent_past(batch_shape, self.synapses.delays.size, self.population.features, dtype)
        return DelayedRecurrentState(self.population.init_state(batch_shape, dtype), past)

    def rest_for(self, x: Any) -> DelayedRecurrentState:
        """The resting state for input `x` [T, B, N], of which shape and dtype are read."""
        batch_shape = x.shape[1:-1]
        past = silent_past(
            batch_shape, self.synapses.delays.size, self.population.features, x.dtype
        )
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
        delay, sigma, taps = self.synapses.delays.taken("DelayedRecurrent", round_delays)
        size, narrow = self.synapses.delays.size, self.synapses.product_dtype
        kernel = kernel_of(self.synapses.weight[...], delay, sigma, size, taps=taps)
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


class SpacedConv(Bounded):
    """A spatial convolution with learnable tap positions: DCLS in 1 to 3 dimensions.

    For delays in time between images see `DelayedConv`.

    Args:
      in_features, out_features: C, O. sizes: extent of the kernel in each dimension.
      kernel_count: Kc, taps of each kernel.
      groups, strides, padding, taps: see `snnjax.delays.spaced_conv`.
      sigma: width of the taps at first; 0 for triangles interpolates.

    >>> conv = SpacedConv(2, 4, (5, 5), kernel_count=3, rngs=nnx.Rngs(0))
    >>> conv(jnp.ones((2, 1, 8, 8, 2))).shape
    (2, 1, 8, 8, 4)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        sizes: Sequence[int],
        *,
        kernel_count: int,
        groups: int = 1,
        strides: Sequence[int] | None = None,
        padding: str | Sequence[tuple[int, int]] = "SAME",
        sigma: float = 0.0,
        taps: Taps = triangle_taps,
        rngs: nnx.Rngs,
    ):
        for name, count in (
            ("in_features", in_features),
            ("out_features", out_features),
            ("kernel_count", kernel_count),
            ("groups", groups),
        ):
            check_count(name, count)
        if in_features % groups or out_features % groups:
            raise ValueError(
                f"`groups` must divide both features; got {groups} with {in_features} and "
                f"{out_features}."
            )
        check_sigma(sigma)
        shape = (in_features // groups, out_features, kernel_count)
        self.sizes, self.groups = check_dimensions(sizes, strides), groups
        self.strides, self.padding, self.taps = strides, padding, check_taps(taps)
        self.weight = draw_weight(shape, "synapse", rngs)
        half = self._half()
        unit = jax.random.uniform(
            rngs.params(), (len(self.sizes), *shape), jnp.float32, minval=-1.0, maxval=1.0
        )
        self.position = nnx.Param(half * unit)
        self.sigma = Sigma(jnp.asarray(sigma, jnp.float32))

    def bounds(self) -> dict[str, tuple[ArrayLike, ArrayLike]]:
        """Lower and upper bounds of this module's parameters."""
        return {"position": (-self._half(), self._half())}

    def __call__(self, x: ArrayLike) -> Array:
        """`x` is [T, B, X_1, .., X_D, C], or without T."""
        weight, place = self.weight[...], self.position[...]
        return self._convolve(x, weight, place, self.sigma[...], self.taps)

    def _convolve(
        self, x: ArrayLike, weight: Array, position: Array, sigma: Array, taps: Taps
    ) -> Array:
        return spaced_conv(
            x,
            weight,
            position,
            sigma,
            self.sizes,
            strides=self.strides,
            padding=self.padding,
            groups=self.groups,
            taps=taps,
        )

    def _half(self) -> Array:
        return ((jnp.array(self.sizes, jnp.float32) - 1) / 2).reshape(-1, 1, 1, 1)


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


def check_max_delay(max_delay: int) -> int:
    """A Python int of at least 0."""
    if isinstance(max_delay, bool) or not isinstance(max_delay, int) or max_delay < 0:
        raise ValueError(f"`max_delay` must be a Python int of at least 0; got {max_delay!r}.")
    return max_delay


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


def set_sigma(model: nnx.Module, value: ArrayLike) -> None:
    """Set the width of all taps of a model, for instance once an epoch; without compiling again.

    >>> layer = Delay(3, max_delay=4, rngs=nnx.Rngs(0))
    >>> set_sigma(layer, 0.5)
    >>> float(layer.delays.sigma[...])
    0.5
    """
    check_sigma(value)
    for _, module in nnx.iter_modules(model):
        if isinstance(module, (Delays, SpacedConv)):
            module.sigma[...] = jnp.asarray(value, module.sigma[...].dtype)


def learned_delays(model: nnx.Module) -> dict[str, Delays]:
    """The delays of a model that learn, by the path of their layer; buffers of one step hold none.

    >>> rngs = nnx.Rngs(0)
    >>> layers = nnx.List([Delay(2, 4, rngs=rngs), Delay(2, 4, trainable_delays=False, rngs=rngs)])
    >>> [(name, delays.max_delay) for name, delays in learned_delays(layers).items()]
    [('0', 4)]
    """
    return {
        ".".join(map(str, path)).removesuffix(".delays"): module
        for path, module in nnx.iter_modules(model)
        if isinstance(module, Delays) and module.trainable and module.max_delay
    }


def clamp_delays(model: nnx.Module) -> None:
    """Clip all delays and positions of a model to their buffers, for instance after an import.

    >>> layer = Delay(1, max_delay=4, rngs=nnx.Rngs(0))
    >>> layer.delays.delay[...] = jnp.array([9.0])
    >>> clamp_delays(layer)
    >>> layer.delays.delay[...].tolist()
    [4.0]
    """
    for _, module in nnx.iter_modules(model):
        if isinstance(module, (Delays, SpacedConv)):
            module.clamp()


@count_inputs.register
def _(layer: DelayedLinear, name: str, x: Array, **_: Any) -> Counts:
    """Count one operation per entry, synapse and tap."""
    outputs, taps = layer.shape[1:]
    return (dense_activity(name, x, outputs * taps),)


@count_inputs.register
def _(layer: DelayedRecurrent, name: str, x: Array, *, state: Any, out: Array, **_: Any) -> Counts:
    """Count the recurrent input: at each step the outputs of the previous step."""
    before = layer.rest_for(x) if state is None else state
    back = jnp.concatenate([before.past[:, -1][None].astype(out.dtype), out[:-1]])
    return count_inputs(layer.synapses, f"{name}.synapses", back) or ()


@count_inputs.register
def _(layer: SpacedConv, name: str, x: Array, **_: Any) -> Counts:
    """Count, per entry, the taps of its group whose nearest position reaches an output."""
    half = layer._half()
    place = jnp.round(layer.position[...] + half) - half

    def reached(x: Array) -> Array:
        ones = jnp.ones_like(layer.weight[...])
        return layer._convolve(x, ones, place, jnp.zeros(()), two_taps).sum()

    axes = len(layer.sizes) + 1
    one = jnp.zeros((1, *x.shape[-axes:]))
    degree = jnp.round(jax.grad(reached)(one)[0]).astype(jnp.int32)
    return (dense_activity(name, with_steps(x, axes - 1)[..., None], 1, degree),)


@channel_axes.register
def _(layer: DelayedLinear) -> ChannelAxes:
    if layer.per != "synapse":
        return {"weight": (-2, -1)}
    return {"weight": (-3, -2), "delays/delay": (-3, -2)}
