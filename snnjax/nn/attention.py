"""Spiking self-attention, and the encoder block of Spikformer around it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.sharding import PartitionSpec as P
from jax.typing import ArrayLike

from snnjax.neurons import LIFState
from snnjax.nn.neurons.population import check_count
from snnjax.nn.sparse import Initializer, truncated_normal
from snnjax.nn.spiking_dense import Neurons, SpikingDense, resting
from snnjax.sharding import Rules, rules_under
from snnjax.surrogates.core import compute_dtype

Order = Literal["scores", "context"]


def attention_product(
    q: ArrayLike, k: ArrayLike, v: ArrayLike, *, scale: float, order: Order | None = None
) -> Array:
    """Attention without softmax: scale * Q K^T V, for each head.

    Both orders of the products are equal, of spikes in {0, 1} bit for bit while the sums stay below
    2^24 (float32): they are whole numbers. What comes between is kept in the narrow dtype where
    that holds its whole numbers, at most D or N, exactly, and else in float32.

    Args:
      q, k, v: [..., N, H, D] with N tokens, H heads and D channels a head, of one floating dtype.
      scale: factor at the end.
      order: "scores" takes Q K^T first, 2 N^2 D products a head; "context" K^T V, 2 N D^2; None the
        cheaper one.

    Returns:
      [..., N, H, D] in float32 at least.

    Raises:
      ValueError: shapes differ, or `order` is unknown. TypeError: dtypes differ or are no floats.

    Zhou et al., "Spikformer: when spiking neural network meets transformer", ICLR 2023.

    >>> q, k, v = jnp.eye(2)[:, None], jnp.ones((2, 1, 2)), jnp.eye(2)[:, None]
    >>> attention_product(q, k, v, scale=0.5)[:, 0].tolist()
    [[0.5, 0.5], [0.5, 0.5]]
    """
    q, k, v = jnp.asarray(q), jnp.asarray(k), jnp.asarray(v)
    _check_product(q, k, v, order)
    tokens, width = q.shape[-3], q.shape[-1]
    if order is None:
        order = "context" if tokens > width else "scores"
    wide = compute_dtype(q.dtype)
    if order == "scores":
        between = jnp.einsum("...nhd,...mhd->...hnm", q, k, preferred_element_type=wide)
        pattern, first, second, largest = "...hnm,...mhd->...nhd", between, v, width
    else:
        between = jnp.einsum("...mhd,...mhe->...hde", k, v, preferred_element_type=wide)
        pattern, first, second, largest = "...nhd,...hde->...nhe", q, between, tokens
    exact = largest <= 2 ** (jnp.finfo(q.dtype).nmant + 1)
    dtype = q.dtype if exact else wide
    out = jnp.einsum(
        pattern, first.astype(dtype), second.astype(dtype), preferred_element_type=wide
    )
    return scale * out


def _check_product(q: Array, k: Array, v: Array, order: str | None) -> None:
    if order not in (None, "scores", "context"):
        raise ValueError(f'`order` must be None, "scores" or "context"; got {order!r}.')
    if not (q.shape == k.shape == v.shape) or q.ndim < 3:
        raise ValueError(
            f"q, k and v must all be [..., N, H, D]; got {q.shape}, {k.shape} and {v.shape}."
        )
    if not (q.dtype == k.dtype == v.dtype) or not jnp.issubdtype(q.dtype, jnp.floating):
        raise TypeError(
            f"q, k and v must share a floating dtype; got {q.dtype}, {k.dtype} and {v.dtype}. Cast "
            "them with .astype(...)."
        )


class SelfAttentionState(NamedTuple):
    """Membranes of a layer of spiking self-attention, each [B, N, D]."""

    q: LIFState
    k: LIFState
    v: LIFState
    attention: LIFState
    out: LIFState


class SpikingSelfAttention(nnx.Module):
    """Spiking self-attention (SSA) of Spikformer.

        Q, K, V = SN(BN(X W_q)), SN(BN(X W_k)), SN(BN(X W_v))       in {0, 1}
        A       = SN'(scale * Q K^T V)                              for each head, no softmax
        out     = SN(BN(A W_o + b))

    SN' has the threshold `neurons.attention_threshold`. Tokens meet within a step only; time mixes
    through the membranes alone. Norms go over T * B * N.

    Args:
      features: D. heads: H, which divide D.
      scale: a constant, whatever the width of a head is: 0.125 as published for CIFAR and
        ImageNet, 0.25 for CIFAR10-DVS.
      qkv_bias: whether q, k and v have biases, as published for CIFAR alone.
      out_bias: whether the projection has one.
      order: of the products, see `attention_product`.
      neurons: what fires. init: from (key, (1, I, O)) to a weight.
      rngs: of the weights.

    Zhou et al., "Spikformer: when spiking neural network meets transformer", ICLR 2023.

    >>> layer = SpikingSelfAttention(8, 2, rngs=nnx.Rngs(0))
    >>> x = jnp.ones((4, 2, 5, 8))
    >>> state, z = layer(layer.init_state(x), x)
    >>> z.shape, state.attention.v.shape
    ((4, 2, 5, 8), (2, 5, 8))
    """

    def __init__(
        self,
        features: int,
        heads: int,
        *,
        scale: float = 0.125,
        qkv_bias: bool = False,
        out_bias: bool = True,
        order: Order | None = None,
        neurons: Neurons = Neurons(),  # noqa: B008, it is immutable
        init: Initializer = truncated_normal,
        rngs: nnx.Rngs,
    ):
        name = type(self).__name__
        check_count("features", features, name)
        check_count("heads", heads, name)
        if features % heads:
            raise ValueError(
                f"{name}: `heads` must divide `features`; got {heads} and {features}. Take "
                f"features={-(-features // heads) * heads}, or other heads."
            )
        if order not in (None, "scores", "context"):
            raise ValueError(f'{name}: `order` must be None, "scores" or "context"; got {order!r}.')
        self.features, self.heads, self.scale = features, heads, scale
        self.order: Order | None = order
        each = heads, features // heads
        options: dict[str, Any] = {"neurons": neurons, "init": init, "rngs": rngs}
        self.q = SpikingDense(features, each, use_bias=qkv_bias, **options)
        self.k = SpikingDense(features, each, use_bias=qkv_bias, **options)
        self.v = SpikingDense(features, each, use_bias=qkv_bias, **options)
        self.neurons = neurons.layer(features, neurons.attention_threshold)
        self.out = SpikingDense(features, features, use_bias=out_bias, **options)

    @property
    def tensor_rules(self) -> Rules:
        """Heads are cut over "model": q, k and v by outputs, the projection by inputs.

        Norms and neurons between see the heads of their device alone, and one sum joins the
        outputs. A mesh whose "model" does not divide the heads is refused.
        """
        return (
            (r"^[qkv]/weight$", P(None, "model")),
            (r"^([qkv]|neurons)/", P("model")),
            (r"^out/weight$", P("model")),
        )

    def init_state(self, x: ArrayLike) -> SelfAttentionState:
        """Membranes at rest for `x` [T, B, N, D], from its shape and dtype alone."""
        q, k, v, out = (layer.init_state(x) for layer in (self.q, self.k, self.v, self.out))
        return SelfAttentionState(q, k, v, resting(self.neurons, x), out)

    def __call__(
        self,
        state: SelfAttentionState,
        x: ArrayLike,
        *,
        train: bool = False,
        axis_name: str | None = None,
    ) -> tuple[SelfAttentionState, Array]:
        """Attend within each step.

        Args:
          state: from `init_state(x)`, or of an earlier call.
          x: tokens [T, B, N, D], in most cases whole numbers.
          train: normalise by this batch, and move the running statistics.
          axis_name: mesh axis over which the statistics are summed.

        Returns:
          The last state, and spikes [T, B, N, D].
        """
        x = check_tokens(type(self).__name__, x, self.features)
        options: dict[str, Any] = {"train": train, "axis_name": axis_name}
        # One product, so that over a mesh one sum joins its gradient by x, not three.
        kernels = jnp.stack([layer.kernel() for layer in (self.q, self.k, self.v)], 1)
        y = jnp.einsum("tbnd,dso->tbnso", x, kernels)
        q_state, q = self.q.fire(state.q, y[..., 0, :], **options)
        k_state, k = self.k.fire(state.k, y[..., 1, :], **options)
        v_state, v = self.v.fire(state.v, y[..., 2, :], **options)
        split = (*x.shape[:-1], self.heads, self.features // self.heads)
        q, k, v = q.reshape(split), k.reshape(split), v.reshape(split)
        product = attention_product(q, k, v, scale=self.scale, order=self.order).reshape(x.shape)
        attention_state, spikes = self.neurons(state.attention, product)
        out_state, out = self.out(state.out, spikes.astype(x.dtype), **options)
        return SelfAttentionState(q_state, k_state, v_state, attention_state, out_state), out


class SpikingMLPState(NamedTuple):
    """Membranes of a spiking MLP: [B, N, hidden] and [B, N, D]."""

    first: LIFState
    second: LIFState


class SpikingMLP(nnx.Module):
    """Two dense layers with their norms and neurons: SN(BN(SN(BN(x W_1 + b_1)) W_2 + b_2)).

    Args:
      features: D, in and out. hidden: width between.
      use_bias: whether both layers have biases.
      neurons, init, rngs: as of `SpikingSelfAttention`.

    >>> mlp = SpikingMLP(8, 32, rngs=nnx.Rngs(0))
    >>> x = jnp.ones((4, 2, 5, 8))
    >>> mlp(mlp.init_state(x), x)[1].shape
    (4, 2, 5, 8)
    """

    def __init__(
        self,
        features: int,
        hidden: int,
        *,
        use_bias: bool = True,
        neurons: Neurons = Neurons(),  # noqa: B008, it is immutable
        init: Initializer = truncated_normal,
        rngs: nnx.Rngs,
    ):
        options = {"use_bias": use_bias, "neurons": neurons, "init": init, "rngs": rngs}
        self.features = features
        self.first = SpikingDense(features, hidden, **options)
        self.second = SpikingDense(hidden, features, **options)

    @property
    def tensor_rules(self) -> Rules:
        """The first layer is cut over "model" by outputs, the second by inputs."""
        return (
            (r"^first/weight$", P(None, "model")),
            (r"^first/", P("model")),
            (r"^second/weight$", P("model")),
        )

    def init_state(self, x: ArrayLike) -> SpikingMLPState:
        """Membranes at rest for `x` [T, B, N, D], from its shape and dtype alone."""
        return SpikingMLPState(self.first.init_state(x), self.second.init_state(x))

    def __call__(
        self,
        state: SpikingMLPState,
        x: ArrayLike,
        *,
        train: bool = False,
        axis_name: str | None = None,
    ) -> tuple[SpikingMLPState, Array]:
        """`x` is [T, B, N, D]; returns the last state, and spikes of that shape."""
        x = check_tokens(type(self).__name__, x, self.features)
        first, h = self.first(state.first, x, train=train, axis_name=axis_name)
        second, out = self.second(state.second, h, train=train, axis_name=axis_name)
        return SpikingMLPState(first, second), out


class SpikformerBlockState(NamedTuple):
    """Membranes of an encoder block."""

    attention: SelfAttentionState
    mlp: SpikingMLPState


class SpikformerBlock(nnx.Module):
    """An encoder block of Spikformer: y = x + SSA(x), z = y + MLP(y).

    Both branches end in neurons, so a stream of whole numbers stays one and grows by at most 2.
    12 D^2 + 24 D parameters with hidden = 4 D, and 3 D more with `qkv_bias`.

    Args:
      features: D. heads: H.
      hidden: width of the MLP; None takes 4 D.
      drop_path: share of the samples that lose a branch in training, for all their steps and
        tokens; the others grow by 1 / (1 - share), so the stream is no longer of whole numbers.
      scale, qkv_bias, order, neurons, init, rngs: as of `SpikingSelfAttention`.
      bias: whether the projection and the MLP have biases.

    Zhou et al., "Spikformer: when spiking neural network meets transformer", ICLR 2023.

    >>> block = SpikformerBlock(8, 2, rngs=nnx.Rngs(0))
    >>> x = jnp.ones((4, 2, 5, 8))
    >>> state, z = block(block.init_state(x), x)
    >>> z.shape
    (4, 2, 5, 8)
    """

    def __init__(
        self,
        features: int,
        heads: int,
        *,
        hidden: int | None = None,
        scale: float = 0.125,
        qkv_bias: bool = False,
        bias: bool = True,
        drop_path: float = 0.0,
        order: Order | None = None,
        neurons: Neurons = Neurons(),  # noqa: B008, it is immutable
        init: Initializer = truncated_normal,
        rngs: nnx.Rngs,
    ):
        if not 0 <= drop_path < 1:
            raise ValueError(f"SpikformerBlock: drop_path must be in [0, 1); got {drop_path}.")
        self.drop_path = drop_path
        options = {"neurons": neurons, "init": init, "rngs": rngs}
        self.attention = SpikingSelfAttention(
            features, heads, scale=scale, qkv_bias=qkv_bias, out_bias=bias, order=order, **options
        )
        self.mlp = SpikingMLP(
            features, 4 * features if hidden is None else hidden, use_bias=bias, **options
        )

    @property
    def tensor_rules(self) -> Rules:
        """Those of the attention and of the MLP."""
        return (
            *rules_under("attention", self.attention.tensor_rules),
            *rules_under("mlp", self.mlp.tensor_rules),
        )

    def init_state(self, x: ArrayLike) -> SpikformerBlockState:
        """Membranes at rest for `x` [T, B, N, D], from its shape and dtype alone."""
        return SpikformerBlockState(self.attention.init_state(x), self.mlp.init_state(x))

    def __call__(
        self,
        state: SpikformerBlockState,
        x: ArrayLike,
        *,
        key: Array | None = None,
        train: bool = False,
        axis_name: str | None = None,
    ) -> tuple[SpikformerBlockState, Array]:
        """Encode tokens.

        Args:
          state: from `init_state(x)`, or of an earlier call.
          x: tokens [T, B, N, D].
          key: for `drop_path`; needed with `train` where the share is above 0.
          train: normalise by this batch, move the running statistics, and drop branches.
          axis_name: mesh axis over which the statistics are summed.

        Returns:
          The last state, and the stream [T, B, N, D].
        """
        x = jnp.asarray(x)
        keep = self._keep(key, x, train)
        options: dict[str, Any] = {"train": train, "axis_name": axis_name}
        attention, branch = self.attention(state.attention, x, **options)
        x = x + keep(0, branch)
        mlp, branch = self.mlp(state.mlp, x, **options)
        return SpikformerBlockState(attention, mlp), x + keep(1, branch)

    def _keep(self, key: Array | None, x: Array, train: bool) -> Callable[[int, Array], Array]:
        """From a branch and its number to what remains of it."""
        share = self.drop_path
        if not train or not share:
            return lambda number, branch: branch
        if key is None:
            raise ValueError(f"training with drop_path={share} needs key=.")
        kept = jax.random.bernoulli(key, 1 - share, (2, 1, x.shape[1], 1, 1))
        return lambda number, branch: jnp.where(kept[number], branch / (1 - share), 0)


def check_tokens(layer: str, x: ArrayLike, features: int) -> Array:
    """`x` as an array [T, B, N, D]; a ValueError if it is none."""
    x = jnp.asarray(x)
    if x.ndim != 4 or x.shape[-1] != features:
        raise ValueError(
            f"{layer} takes tokens [T, B, N, {features}]; got {x.shape}. Merge places into N, such "
            "as with x.reshape(T, B, H * W, C)."
        )
    return x
