"""Spiking self-attention, and the encoder block of Spikformer around it."""

from __future__ import annotations

from typing import Any, Literal

import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.typing import ArrayLike

from snnjax.metrics import dense_activity
from snnjax.nn.counting import Counts, count_inputs
from snnjax.nn.dropout import DropPath
from snnjax.nn.layer import Layer
from snnjax.nn.module import Module
from snnjax.nn.neurons.population import check_count
from snnjax.nn.parallel import pair
from snnjax.nn.run import Run
from snnjax.nn.spiking_dense import KERNEL_INIT, Neurons, SpikingDense
from snnjax.surrogates.core import compute_dtype

Order = Literal["scores", "context"]


def attention_product(
    q: ArrayLike, k: ArrayLike, v: ArrayLike, *, scale: float, order: Order | None = None
) -> Array:
    """Attention without softmax: scale * Q K^T V, for each head.

    Both orders of the products agree, for spikes in {0, 1} bit for bit while the sums stay below
    2^24 (float32): they are integers. Intermediate results stay in the narrow dtype where
    it represents their integers, at most D or N, exactly, and otherwise in float32.

    Args:
      q, k, v: [..., N, H, D] with N tokens, H heads and D channels a head, of one floating dtype.
      scale: factor at the end.
      order: "scores" takes Q K^T first, 2 N^2 D products a head; "context" K^T V, 2 N D^2; None the
        cheaper one.

    Returns:
      [..., N, H, D] in float32 at least.

    Raises:
      ValueError: shapes differ, or `order` is unknown. TypeError: dtypes differ or are not float.

    Zhou et al., "Spikformer: when spiking neural network meets transformer", ICLR 2023.

    >>> q, k, v = jnp.eye(2)[:, None], jnp.ones((2, 1, 2)), jnp.eye(2)[:, None]
    >>> attention_product(q, k, v, scale=0.5)[:, 0].tolist()
    [[0.5, 0.5], [0.5, 0.5]]
    """
    q, k, v = jnp.asarray(q), jnp.asarray(k), jnp.asarray(v)
    _check_product(q, k, v, order)
    tokens, width = q.shape[-3], q.shape[-1]
    order = order_of(order, tokens, width)
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


def order_of(order: Order | None, tokens: int, width: int) -> Order:
    """The requested order, or the cheaper one."""
    return order or ("context" if tokens > width else "scores")


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


class AttentionProduct(Layer):
    """scale * Q K^T V for each head, see `attention_product`; it has no parameters.

    Args:
      scale, order: see `attention_product`.
    """

    def __init__(self, scale: float, order: Order | None = None):
        self.scale = scale
        self.order: Order | None = order

    def __call__(self, q: Array, k: Array, v: Array) -> Array:
        """q, k and v are [T, B, N, H, D]; returns that shape."""
        return attention_product(q, k, v, scale=self.scale, order=self.order)


@count_inputs.register
def _(layer: AttentionProduct, name: str, q: Array, k: Array, v: Array, **_: Any) -> Counts:
    """Count both products: each spike of one operand multiplies a row of the other."""
    tokens, width = q.shape[-3], q.shape[-1]
    if order_of(layer.order, tokens, width) == "scores":
        fed, fan_out = {"scores": q, "values": v}, tokens
    else:
        fed, fan_out = {"context": k, "queries": q}, width
    return tuple(dense_activity(f"{name}.{part}", x, fan_out) for part, x in fed.items())


class SpikingSelfAttention(Module):
    """Spiking self-attention (SSA) of Spikformer.

        Q, K, V = SN(BN(X W_q)), SN(BN(X W_k)), SN(BN(X W_v))       in {0, 1}
        A       = SN'(scale * Q K^T V)                              for each head, no softmax
        out     = SN(BN(A W_o + b))

    SN' has the threshold `neurons.attention_threshold`. Tokens attend within a step only;
    information crosses time through the membranes alone. Norms go over T * B * N. Q, K and V come
    from one kernel [features, heads, 3, features / heads]: one product; a mesh axis "model" shards
    by head.

    Args:
      features: D. heads: H, which divides D.
      scale: a constant, whatever the width of a head is: 0.125 as published for CIFAR and
        ImageNet, 0.25 for CIFAR10-DVS.
      qkv_bias: whether q, k and v have biases, as published for CIFAR alone.
      out_bias: whether the projection has one.
      order: order of the products, see `attention_product`.
      neurons: settings of the neurons. kernel_init: initialiser of the kernels. rngs: random keys
        for them.

    Zhou et al., "Spikformer: when spiking neural network meets transformer", ICLR 2023.

    >>> layer = SpikingSelfAttention(8, 2, rngs=nnx.Rngs(0))
    >>> state, z = layer(None, jnp.ones((4, 2, 5, 8)))
    >>> z.shape, state["neurons"].v.shape
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
        kernel_init: nnx.Initializer = KERNEL_INIT,
        rngs: nnx.Rngs,
    ):
        check_heads(type(self).__name__, features, heads, order)
        options: dict[str, Any] = {"neurons": neurons, "kernel_init": kernel_init, "rngs": rngs}
        self.shape = heads, 3, features // heads
        self.qkv = SpikingDense(features, self.shape, use_bias=qkv_bias, **options)
        self.product = AttentionProduct(scale, order)
        self.neurons = neurons.layer(features, neurons.attention_threshold)
        self.out = SpikingDense(features, features, use_bias=out_bias, **options)
        between = [self.qkv.norm, self.qkv.neurons, self.neurons]
        pair(self.qkv.dense, between, self.out.dense)

    def forward(self, run: Run, x: Array) -> Array:
        """Attend within each step: from tokens [T, B, N, D] to spikes of that shape."""
        check_tokens(type(self).__name__, x, self.out.features)
        qkv = run(self.qkv, x).reshape(*x.shape[:-1], *self.shape)
        product = run(self.product, *jnp.moveaxis(qkv, -2, 0)).reshape(x.shape)
        return run(self.out, run(self.neurons, product).astype(x.dtype))


class SpikingMLP(Module):
    """Two dense layers with their norms and neurons: SN(BN(SN(BN(x W_1 + b_1)) W_2 + b_2)).

    Args:
      features: D, in and out. hidden: width between.
      use_bias: whether both layers have biases.
      neurons, kernel_init, rngs: as for `SpikingSelfAttention`.

    >>> mlp = SpikingMLP(8, 32, rngs=nnx.Rngs(0))
    >>> mlp(None, jnp.ones((4, 2, 5, 8)))[1].shape
    (4, 2, 5, 8)
    """

    def __init__(
        self,
        features: int,
        hidden: int,
        *,
        use_bias: bool = True,
        neurons: Neurons = Neurons(),  # noqa: B008, it is immutable
        kernel_init: nnx.Initializer = KERNEL_INIT,
        rngs: nnx.Rngs,
    ):
        options: dict[str, Any] = {"neurons": neurons, "kernel_init": kernel_init, "rngs": rngs}
        self.first = SpikingDense(features, hidden, use_bias=use_bias, **options)
        self.second = SpikingDense(hidden, features, use_bias=use_bias, **options)
        pair(self.first.dense, [self.first.norm, self.first.neurons], self.second.dense)

    def forward(self, run: Run, x: Array) -> Array:
        """From tokens [T, B, N, D] to spikes of that shape."""
        check_tokens(type(self).__name__, x, self.second.features)
        return run(self.second, run(self.first, x))


class SpikformerBlock(Module):
    """An encoder block of Spikformer: y = x + SSA(x), z = y + MLP(y).

    Both branches end in neurons, so an integer input stays integer and grows by at most 2.
    12 D^2 + 24 D parameters with hidden = 4 D, and 3 D more with `qkv_bias`.

    Args:
      features: D. heads: H.
      hidden: width of the MLP; None takes 4 D.
      drop_path: share of the samples that lose a branch in training, see `DropPath`.
      scale, qkv_bias, order, neurons, kernel_init, rngs: as for `SpikingSelfAttention`.
      bias: whether the projection and the MLP have biases.

    Zhou et al., "Spikformer: when spiking neural network meets transformer", ICLR 2023.

    >>> block = SpikformerBlock(8, 2, rngs=nnx.Rngs(0))
    >>> block(None, jnp.ones((4, 2, 5, 8)))[1].shape
    (4, 2, 5, 8)
    """

    rematerialised = True

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
        kernel_init: nnx.Initializer = KERNEL_INIT,
        rngs: nnx.Rngs,
    ):
        options: dict[str, Any] = {"neurons": neurons, "kernel_init": kernel_init, "rngs": rngs}
        self.attention = SpikingSelfAttention(
            features, heads, scale=scale, qkv_bias=qkv_bias, out_bias=bias, order=order, **options
        )
        width = 4 * features if hidden is None else hidden
        self.mlp = SpikingMLP(features, width, use_bias=bias, **options)
        self.drop_path = DropPath(drop_path)

    def forward(self, run: Run, x: Array) -> Array:
        """Encode tokens [T, B, N, D]."""
        x = x + run(self.drop_path, run(self.attention, x))
        return x + run(self.drop_path, run(self.mlp, x))


def check_heads(layer: str, features: int, heads: int, order: Order | None) -> None:
    """Refuse heads that do not divide the features, and an unknown order."""
    check_count("features", features, layer)
    check_count("heads", heads, layer)
    if features % heads:
        raise ValueError(
            f"{layer}: `heads` must divide `features`; got {heads} and {features}. Take "
            f"features={-(-features // heads) * heads}, or other heads."
        )
    if order not in (None, "scores", "context"):
        raise ValueError(f'{layer}: `order` must be None, "scores" or "context"; got {order!r}.')


def check_tokens(layer: str, x: ArrayLike, features: int) -> None:
    """Raise unless the input is tokens [T, B, N, D]."""
    shape = jnp.shape(x)
    if len(shape) != 4 or shape[-1] != features:
        raise ValueError(
            f"{layer} takes tokens [T, B, N, {features}]; got {shape}. Merge places into N, such "
            "as with x.reshape(T, B, H * W, C)."
        )
