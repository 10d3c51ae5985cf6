"""Dense convolution and pooling whose gradients are fast on a CPU."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array, lax
from jax.custom_derivatives import SymbolicZero
from jax.typing import ArrayLike, DTypeLike

from snnjax.metrics import dense_activity
from snnjax.nn.counting import Counts, count_inputs, with_steps
from snnjax.nn.initialisers import kaiming_uniform
from snnjax.nn.narrow import NarrowProducts
from snnjax.nn.neurons.population import check_count
from snnjax.nn.parallel import ChannelAxes, channel_axes
from snnjax.nn.remat import product_of
from snnjax.sparse import narrow_product
from snnjax.surrogates.core import compute_dtype

PATCHES = 2**18
"""Numbers in the patches of one group of images; 1 MB of float32 stays in the cache of a core."""

FEW = 8
"""Channels below which the taps are one axis with them: half the time for 2, but it
cannot be sharded over a mesh by inputs. From there on two axes are faster."""


class Conv(NarrowProducts):
    """Convolution in two dimensions, once over all of [T, B, ...]; stride 1, same size out.

    Args:
      in_channels, out_channels: C and O. kernel_size: K, odd.
      use_bias: whether a bias [O] is added; a norm that follows makes it useless.
      product_dtype: what inputs and weights are rounded to for their product; None leaves them.
      rngs: the weight [K, K, C, O] is Kaiming-uniform, +-1 / sqrt(K * K * C).

    >>> layer = Conv(2, 4, 3, rngs=nnx.Rngs(0))
    >>> layer(jnp.ones((5, 3, 8, 8, 2))).shape
    (5, 3, 8, 8, 4)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        use_bias: bool = False,
        product_dtype: DTypeLike | None = None,
        rngs: nnx.Rngs,
    ):
        inner = check_count("in_channels", in_channels)
        outer = check_count("out_channels", out_channels)
        size = check_count("kernel_size", kernel_size)
        check_odd(size)
        drawn = kaiming_uniform(rngs.params(), (size * size, inner, outer))
        self.weight = nnx.Param(drawn.reshape(size, size, inner, outer))
        self.bias = nnx.Param(jnp.zeros((outer,), jnp.float32)) if use_bias else None
        self.product_dtype = product_dtype

    def __call__(self, x: ArrayLike) -> Array:
        """`x` is [T, B, H, W, C], or with other axes before H; returns [T, B, H, W, O]."""
        out = conv(x, self.weight[...], product_dtype=self.product_dtype)
        return product_of(out if self.bias is None else out + self.bias[...])


@count_inputs.register
def _(layer: Conv, name: str, x: Array, **_: Any) -> Counts:
    edge, outputs = layer.weight[...].shape[0], layer.weight[...].shape[-1]
    degree = window_outdegree(x.shape[-3:-1], edge)
    return (dense_activity(name, with_steps(x, 2), outputs, degree),)


@channel_axes.register
def _(layer: Conv) -> ChannelAxes:
    return {"weight": (-2, -1)} | ({} if layer.bias is None else {"bias": (None, -1)})


def window_outdegree(places: tuple[int, ...], edge: int) -> np.ndarray:
    """How many windows of an odd edge, one round each place, hold each place: int32 [*places].

    >>> window_outdegree((3,), 3).tolist()
    [2, 3, 2]
    """
    half, degree = edge // 2, np.ones((), np.int32)
    for size in places:
        at = np.arange(size)
        reach = np.minimum(at + half, size - 1) - np.maximum(at - half, 0) + 1
        degree = np.multiply.outer(degree, reach.astype(np.int32))
    return degree


def conv(x: ArrayLike, weight: ArrayLike, *, product_dtype: DTypeLike | None = None) -> Array:
    """Convolution in two dimensions with stride 1 and zeros around, channels last.

        out[..., h, w, :] = sum_ij x[..., h + i - K//2, w + j - K//2, :] @ weight[i, j]

    Values and the gradient by `x` are XLA's. The gradient by `weight` is, on a CPU, the product of
    patches and output gradient over a few images at a time: XLA's own, a convolution with a kernel
    as large as the image, takes 1.3 to 4 times as long on one thread, 5 times on two. Forward and
    reverse mode both work.

    Args:
      x: [..., H, W, C], floating; every axis before H is a batch.
      weight: [K, K, C, O] of the same dtype, K odd.
      product_dtype: what both are rounded to, see `snnjax.sparse.narrow_product`.

    Returns:
      [..., H, W, O].

    Raises:
      ValueError: shapes do not fit. TypeError: dtypes differ.

    >>> conv(jnp.ones((1, 3, 3, 1)), jnp.ones((3, 3, 1, 1)))[0, :, :, 0].tolist()
    [[4.0, 6.0, 4.0], [6.0, 9.0, 6.0], [4.0, 6.0, 4.0]]
    """
    x, weight = jnp.asarray(x), jnp.asarray(weight)
    if weight.ndim != 4 or x.ndim < 3 or x.shape[-1] != weight.shape[2] or 0 in x.shape:
        raise ValueError(
            f"`conv` takes x [..., H, W, C], none of them 0, and weight [K, K, C, O] of the same "
            f"C; got x {x.shape} and weight {weight.shape}. Channels are the last axis of x."
        )
    check_odd(*weight.shape[:2])
    if x.dtype != weight.dtype or not jnp.issubdtype(x.dtype, jnp.floating):
        raise TypeError(
            f"`x` and `weight` must have one floating dtype; got {x.dtype} and {weight.dtype}. "
            f"Cast x with .astype({weight.dtype})."
        )
    images = x.reshape(-1, *x.shape[-3:])
    if product_dtype is None:
        out = _conv(images, weight)
    else:
        out = narrow_product(_xla_conv, images, weight, product_dtype)
    return out.reshape(*x.shape[:-1], weight.shape[-1])


def max_pool(x: ArrayLike, size: int = 2) -> Array:
    """The maximum of each `size` x `size` window; incomplete windows at the edge are dropped.

    Windows do not overlap. The gradient goes to the first of equal values, row by row, as with
    XLA's and PyTorch's pooling: spikes are often equal. XLA's own form takes six times as long
    or more, forward and backward on a CPU.

    Args:
      x: [..., H, W, C]. size: edge of a window, at most H and W.

    Returns:
      [..., H // size, W // size, C].

    Raises:
      ValueError: x has fewer than three axes, or no complete window fits.

    >>> max_pool(jnp.arange(6.0).reshape(2, 3, 1)).tolist()
    [[[4.0]]]
    """
    x, size = jnp.asarray(x), check_count("size", size)
    if x.ndim < 3 or min(x.shape[-3:-1]) < size:
        raise ValueError(
            f"`max_pool` takes [..., H, W, C] with H and W of at least size={size}; got "
            f"{x.shape}. Channels are the last axis."
        )
    height, width = (edge // size * size for edge in x.shape[-3:-1])
    parts = [
        x[..., row:height:size, column:width:size, :]
        for row in range(size)
        for column in range(size)
    ]
    while len(parts) > 1:
        pairs = zip(parts[::2], parts[1::2], strict=False)
        left = parts[-1:] if len(parts) % 2 else []
        parts = [jnp.where((a >= b) | jnp.isnan(a), a, b) for a, b in pairs] + left
    return parts[0]


_xla_conv = partial(
    lax.conv_general_dilated,
    window_strides=(1, 1),
    padding="SAME",
    dimension_numbers=("NHWC", "HWIO", "NHWC"),
)


@jax.custom_jvp
def _conv(x: Array, weight: Array) -> Array:
    return _xla_conv(x, weight)


def _conv_jvp(primals: tuple[Array, Array], tangents: tuple[Any, Any]) -> tuple[Array, Any]:
    """Tangents of the convolution; the form used for the weight determines its gradient."""
    (x, weight), (dx, dweight) = primals, tangents
    parts = []
    if not isinstance(dx, SymbolicZero):
        parts.append(_conv(dx, weight))
    if not isinstance(dweight, SymbolicZero):
        parts.append(lax.platform_dependent(x, dweight, cpu=_products, default=_conv))
    tangent = parts[0] + parts[1] if len(parts) == 2 else parts[0]
    return _conv(x, weight), tangent


_conv.defjvp(_conv_jvp, symbolic_zeros=True)


def _products(x: Array, weight: Array) -> Array:
    """The convolution as a matrix product for each of a few groups of images."""
    images, height, width, channels = x.shape
    row = weight.shape[0] * weight.shape[1] * channels
    group = _group(images, height * width * row)
    # Its gradient is a sum over the groups, which needs at least float32; each product does not.
    taps = weight.reshape(-1, *weight.shape[2:]).astype(compute_dtype(weight.dtype))

    # Without the checkpoint the patches of all images would be kept for the backward pass.
    @partial(jax.checkpoint, prevent_cse=False)
    def one(part: Array) -> Array:
        seen, own = patches(part, *weight.shape[:2]), taps.astype(x.dtype)
        if channels < FEW:
            return seen.reshape(*part.shape[:-1], row) @ own.reshape(row, -1)
        return jnp.einsum("bhwkc,kco->bhwo", seen, own)

    out = lax.map(one, x.reshape(-1, group, height, width, channels))
    return out.reshape(images, height, width, -1)


def patches(x: Array, rows: int, columns: int) -> Array:
    """The neighbourhood of each place, [B, H, W, rows * columns, C], zeros outside.

    Channels stay an axis of their own, so that they can be sharded over a mesh.
    """
    height, width = x.shape[1:3]
    top, left = rows // 2, columns // 2
    padded = jnp.pad(x, ((0, 0), (top, top), (left, left), (0, 0)))
    parts = [padded[:, i : i + height, j : j + width] for i in range(rows) for j in range(columns)]
    return jnp.stack(parts, -2)


def _group(images: int, size: int) -> int:
    """The largest divisor of `images` whose patches, of `size` numbers each, fit `PATCHES`.

    >>> _group(128, 2**16), _group(127, 2**16), _group(8, 2**30)
    (4, 1, 1)
    """
    most = max(PATCHES // size, 1)
    return max(n for n in range(1, min(images, most) + 1) if images % n == 0)


def check_odd(*sizes: int) -> None:
    """Check that a kernel size is odd, so that the kernel has a centre."""
    if any(size % 2 == 0 for size in sizes):
        raise ValueError(
            f"the kernel must have odd edges, so that it has a centre; got {sizes}. For other "
            f"kernels and strides take flax.nnx.Conv."
        )
