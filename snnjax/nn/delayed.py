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
    clamp_delay,
    delayed,
    delayed_dense,
    gaussian_taps,
    kernel_of,
    ring_init,
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
    check_tail,
    check_taps,
)
from snnjax.nn.neurons.population import Fixed, Population, check_batch_shape, check_count, named
from snnjax.nn.recompute import product_of
from snnjax.sharding import Cut, cut_product
from snnjax.sparse import narrow_product
from snnjax.unroll import unroll

Per = Literal["synapse", "input", "output"]


class Sigma(nnx.Variable):
    """The width of the taps: an array of the model's rest, set by the loop and never trained."""


class Delays(nnx.Module):
    """Delays of some shape, uniform over the buffer at first, and the width of their taps.

    Args:
      shape: of the delays. size: K, the largest delay + 1.
      sigma: width at first; None takes half the buffer, as published.
      taps: see `snnjax.delays`. learn: whether they are parameters or stay as drawn.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        size: int,
        *,
        sigma: float | None = None,
        taps: Taps = gaussian_taps,
        learn: bool = True,
        rngs: nnx.Rngs,
    ):
        self.size, self.taps, self.learn = check_count("size", size), check_taps(taps), learn
        sigma = size // 2 if sigma is None else sigma
        check_sigma(sigma)
        drawn = jax.random.uniform(rngs.params(), shape, jnp.float32, 0, size - 1)
        self.delay = nnx.Param(drawn) if learn else Fixed(drawn)
        self.sigma = Sigma(jnp.asarray(sigma, jnp.float32))

    def bounds(self) -> dict[str, tuple[ArrayLike, ArrayLike]]:
        """Where the parameters of this module must stay."""
        return {"delay": (0.0, self.size - 1.0)} if self.learn else {}

    def taken(self, layer: str, discrete: bool) -> tuple[Array, Array, Taps]:
        """The delays, sigma and taps of a call of `layer`; whole delays with one tap if `discrete`.

        Raises:
          ValueError: a delay is known to be none of the buffer's.
        """
        delay = to_discrete(self.delay[...], self.size) if discrete else self.delay[...]
        named(layer, check_delay, delay, self.size)
        return (delay, jnp.zeros(()), two_taps) if discrete else (delay, self.sigma[...], self.taps)


class DelayedLinear(nnx.Module):
    """A dense layer without bias whose synapses, inputs or outputs have learnable delays.

    Over time with channels this is the temporal convolution of DCLS and SNN-delays. A sequence may
    be shorter than the buffer, down to one step of a stream: what is on its way is in the state.

    Args:
      in_features, out_features: I, O. size: K, the largest delay + 1.
      kernel_count: Kc, taps of a synapse, each with a weight.
      per: what has a delay: every "synapse", or only every "input" (axon) or "output" (dendrite).
      tail: steps without input at the end, in which late arrivals come out.
      sigma, taps, learn_delays: see `Delays`.
      product_dtype: what inputs and kernels are rounded to for their product; None leaves them.
      cut: how the sharding rules of the model cut the synapses over a mesh axis "model", see
        `snnjax.sharding.cut_product`. Changes no values.

    >>> layer = DelayedLinear(3, 2, 5, tail=2, rngs=nnx.Rngs(0))
    >>> state, y = layer(layer.init_state((4,)), jnp.ones((7, 4, 3)))
    >>> y.shape, state.shape
    ((9, 4, 2), (4, 4, 3))
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        size: int,
        *,
        kernel_count: int = 1,
        per: Per = "synapse",
        tail: int = 0,
        sigma: float | None = None,
        taps: Taps = gaussian_taps,
        learn_delays: bool = True,
        product_dtype: DTypeLike | None = None,
        cut: Cut | None = None,
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
        self.shape, self.per, self.tail = shape, per, check_tail(tail)
        self.cut: Cut | None = cut
        self.delays = Delays(own, size, sigma=sigma, taps=taps, learn=learn_delays, rngs=rngs)
        self.weight = draw_weight(shape, per, rngs)

    def init_state(self, batch_shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> Array:
        """A silent past, [K - 1, B, I], or [K - 1, B, O] where outputs are delayed."""
        features = self.shape[1] if self.per == "output" else self.shape[0]
        return jnp.zeros((self.delays.size - 1, *check_batch_shape(batch_shape), features), dtype)

    def __call__(
        self, state: Array, x: ArrayLike, *, discrete: bool = False
    ) -> tuple[Array, Array]:
        """`x` is [T, B, I]; returns the last K - 1 steps, and [T + tail, B, O].

        With `discrete` delays are rounded, as they are on hardware; the derivative is that of the
        weights alone.
        """
        x = check_sequence(x, self.shape[0])
        check_past(self, state, x)
        delay, sigma, taps = self.delays.taken("DelayedLinear", discrete)
        options = {"taps": taps, "tail": self.tail, "past": state}
        args = delay, sigma, self.delays.size
        if self.per == "synapse":
            y = self._delayed_dense(x, state, delay, sigma, taps)
        elif self.per == "input":
            y = self._multiply(delayed(x, *args, **options))
        else:
            x = self._multiply(x)
            y = delayed(x, *args, **options)
        return keep_past(state, x, self.tail), product_of(y)

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
                tail=self.tail,
                past=past,
                product_dtype=self.product_dtype,
            )

        return cut_product(product, (x, past), (self.weight[...], delay), sigma, cut=self.cut)


class Delay(nnx.Module):
    """Every channel delayed by a learnable time of its own; see `snnjax.delays.delayed`.

    Input may have axes between batch and channels, such as [T, B, H, W, C].

    >>> layer = Delay(3, 5, rngs=nnx.Rngs(0))
    >>> state, y = layer(layer.init_state((4,)), jnp.ones((7, 4, 3)))
    >>> y.shape
    (7, 4, 3)
    """

    def __init__(
        self,
        features: int,
        size: int,
        *,
        tail: int = 0,
        sigma: float | None = None,
        taps: Taps = gaussian_taps,
        learn_delays: bool = True,
        rngs: nnx.Rngs,
    ):
        self.features, self.tail = check_count("features", features), check_tail(tail)
        self.delays = Delays(
            (features,), size, sigma=sigma, taps=taps, learn=learn_delays, rngs=rngs
        )

    def init_state(self, batch_shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> Array:
        """A silent past, [K - 1, B, ..., N]."""
        shape = (*check_batch_shape(batch_shape), self.features)
        return jnp.zeros((self.delays.size - 1, *shape), dtype)

    def __call__(
        self, state: Array, x: ArrayLike, *, discrete: bool = False
    ) -> tuple[Array, Array]:
        """`x` is [T, B, ..., N]; returns the last K - 1 steps, and [T + tail, B, ..., N]."""
        x = check_sequence(x, self.features)
        check_past(self, state, x)
        delay, sigma, taps = self.delays.taken("Delay", discrete)
        y = delayed(x, delay, sigma, self.delays.size, taps=taps, tail=self.tail, past=state)
        return keep_past(state, x, self.tail), y


class DelayedRecurrentState(NamedTuple):
    """State of a recurrent population with delays."""

    cell: Any  # state of the neurons
    ring: RingState  # their outputs of K steps
    out: Array  # [B, N], their output of the step before


class DelayedRecurrent(nnx.Module):
    """A population whose outputs come back after delays of 1 .. K steps: 1 + the stored delay.

    Args:
      population: any `Population`, which keeps its own constants and its `checkpoint`.
      size: K. options: kernel_count, sigma, taps, learn_delays, as in `DelayedLinear`.

    >>> from snnjax.nn import LIF
    >>> layer = DelayedRecurrent(LIF(3), 4, rngs=nnx.Rngs(0))
    >>> state, z = layer(layer.init_state((2,)), jnp.ones((6, 2, 3)))
    >>> z.shape, state.ring.frames.shape
    ((6, 2, 3), (4, 2, 3))
    """

    def __init__(self, population: Population, size: int, *, rngs: nnx.Rngs, **options: Any):
        self.population = population
        n = population.features
        self.synapses = DelayedLinear(n, n, size, rngs=rngs, **options)
        if self.synapses.per != "synapse" or self.synapses.tail:
            raise ValueError(
                "recurrent delays are of synapses, without a tail; got "
                f"per={self.synapses.per!r} and tail={self.synapses.tail}. Leave both out."
            )

    def init_state(
        self, batch_shape: tuple[int, ...], dtype: DTypeLike = jnp.float32
    ) -> DelayedRecurrentState:
        """Neurons at rest that have been silent."""
        shape = (*check_batch_shape(batch_shape), self.population.features)
        ring = ring_init(self.synapses.delays.size, shape, dtype)
        cell = self.population.init_state(batch_shape, dtype)
        return DelayedRecurrentState(cell, ring, jnp.zeros(shape, dtype))

    def __call__(
        self,
        state: DelayedRecurrentState,
        current: ArrayLike,
        *,
        discrete: bool = False,
        record: Sequence[str] = (),
    ) -> tuple[DelayedRecurrentState, Any]:
        """`current` is [T, B, N]; returns the last state and the output of every step."""
        current = self.population.check_input(state.cell, current)
        self.population.check_back("DelayedRecurrent", state.out, current)
        delay, sigma, taps = self.synapses.delays.taken("DelayedRecurrent", discrete)
        size, narrow = self.synapses.delays.size, self.synapses.product_dtype
        kernel = kernel_of(self.synapses.weight[...], delay, sigma, size, taps=taps)
        advance = self.population.step()

        def step(state: DelayedRecurrentState, x: Array) -> tuple[DelayedRecurrentState, Any]:
            ring, back = ring_step(kernel, state.ring, state.out, product_dtype=narrow)
            cell, out = advance(state.cell, x + back)
            return DelayedRecurrentState(cell, ring, out), out

        return unroll(step, state, current, checkpoint=self.population.checkpoint, record=record)


class SpacedConv(nnx.Module):
    """A convolution in space whose taps learn where they are: DCLS in 1 to 3 dimensions.

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
        """Where the parameters of this module must stay."""
        return {"position": (-self._half(), self._half())}

    def __call__(self, x: ArrayLike) -> Array:
        """`x` is [T, B, X_1, .., X_D, C], or without T."""
        return spaced_conv(
            x,
            self.weight[...],
            self.position[...],
            self.sigma[...],
            self.sizes,
            strides=self.strides,
            padding=self.padding,
            groups=self.groups,
            taps=self.taps,
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


def check_past(layer: Any, state: ArrayLike, x: Array) -> None:
    """Refuse a past of another shape than the silent one of `layer` for `x`."""
    batch = x.shape[1:-1]
    want = jax.eval_shape(lambda: layer.init_state(batch)).shape
    if jnp.shape(state) != want:
        raise ValueError(
            f"{type(layer).__name__} takes a state of {want} for x {x.shape}; got "
            f"{jnp.shape(state)}. Make it with init_state({batch})."
        )


def keep_past(state: Array, x: Array, tail: int) -> Array:
    """The last K - 1 steps of what came, with the silence of the tail."""
    silence = jnp.zeros((tail, *x.shape[1:]), x.dtype)
    return jnp.concatenate([state, x, silence])[x.shape[0] + tail :]


def set_sigma(model: nnx.Module, value: ArrayLike) -> None:
    """Set the width of all taps of a model, for instance once an epoch; nothing compiles anew.

    >>> layer = Delay(3, 5, rngs=nnx.Rngs(0))
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
    >>> layers = nnx.List([Delay(2, 5, rngs=rngs), Delay(2, 5, learn_delays=False, rngs=rngs)])
    >>> [(name, delays.size) for name, delays in learned_delays(layers).items()]
    [('0', 5)]
    """
    return {
        ".".join(map(str, path)).removesuffix(".delays"): module
        for path, module in nnx.iter_modules(model)
        if isinstance(module, Delays) and module.learn and module.size > 1
    }


def clamp_delays(model: nnx.Module) -> None:
    """Bring all delays and positions of a model into their buffers, as after loading foreign ones.

    >>> layer = Delay(1, 5, rngs=nnx.Rngs(0))
    >>> layer.delays.delay[...] = jnp.array([9.0])
    >>> clamp_delays(layer)
    >>> layer.delays.delay[...].tolist()
    [4.0]
    """
    for _, module in nnx.iter_modules(model):
        if isinstance(module, Delays):
            module.delay[...] = clamp_delay(module.delay[...], module.size)
        if isinstance(module, SpacedConv):
            module.position[...] = jnp.clip(module.position[...], *module.bounds()["position"])
