"""Sparse convolution over kernel maps, by gathers and matrix products."""

from __future__ import annotations

from functools import partial
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import DTypeLike
from jaxtyping import Float

from snnjax.sharding import Parallel, sharded_product
from snnjax.sparse.maps import KernelMap, check_batch
from snnjax.sparse.pair_conv import (
    listed_backward,
    listed_forward,
    submanifold_backward,
    submanifold_forward,
)
from snnjax.sparse.rows import contract, flat_index, from_rows, gather, multiply, outer, to_rows
from snnjax.sparse.tensor import SparseTensor, check_floating

BLOCK_BYTES = 2**28  # a gathered [M, K, C] array above this size is computed in blocks of rows


def sparse_conv(
    x: SparseTensor,
    weight: Float[Array, "K C O"],
    kmap: KernelMap,
    bias: Float[Array, " O"] | None = None,
    *,
    differentiate: str = "fast",
    product_dtype: DTypeLike | None = None,
    parallel: Parallel | None = None,
) -> SparseTensor:
    """Convolution evaluated only at the output sites of a kernel map.

        y_u = b + sum_k W_k^T x[source(u, k)]        over the offsets k whose source site exists

    Features and weight are rounded to the dtype of the products, which accumulate in float32 at
    least, and the result has the dtype of the features. The gradient consists of gathers
    and products (and, for compacted pairs, scatters without repeated indices), so that two runs
    agree bit for bit.

    Args:
      x: input; features [B, N, C], or [T, B, N, C] for T steps that share the map.
      weight: kernel [K, C, O], offsets z-major, x fastest.
      kmap: a map built from the sites of `x`.
      bias: added at output sites, [O].
      differentiate: "fast" has a custom reverse rule and no forward mode; "both" is plain
        autodiff, for `jax.jvp`, `jax.hessian` and the like. Under `jax.jit` forward mode through
        "fast" raises JAX's error "can't apply forward-mode autodiff (jvp) to a custom_vjp
        function", which means that "both" is needed.
      product_dtype: dtype of the operands of products, in the gradient too, such as bfloat16, in
        which spikes and counts up to 256 are exact; None uses that of the features.
      parallel: how the weight is sharded over a mesh axis "model" if there is one, "row" or
        "column", see `snnjax.sharding.sharded_product`: the reduction over devices then runs once,
        not for each tile of pairs. Values do not change.

    Returns:
      Features at the output sites, [T?, B, M, O], with the overflow of `x` plus that of the map.

    Raises:
      TypeError: features not floating, or float64 weights or bias with narrower features.
      ValueError: shapes that do not fit the features, or the tensor that the map was built from.
        Whether the sites are the same is unknown under `jax.jit` and not checked.

    Source: Graham et al., "3D Semantic Segmentation with Submanifold Sparse Convolutional
    Networks", CVPR 2018.
    """
    _check_conv(x, weight, kmap, bias, differentiate)
    dtype = np.promote_types(x.feats.dtype, np.float32)
    narrow = jnp.dtype(x.feats.dtype if product_dtype is None else product_dtype)
    convolve: Any = _convolve_fast if differentiate == "fast" else partial(_convolve, bounded=True)

    def product(feats: Array, weight: Array, kmap: KernelMap) -> Array:
        out = convolve(to_rows(feats), weight, kmap, narrow)
        return from_rows(out, feats.shape, kmap.out_rows)

    try:
        out = sharded_product(
            product, x.feats, jnp.asarray(weight), kmap, parallel=parallel, kernel=1
        )
        out = out.astype(dtype)
    except TypeError as error:
        if "custom_vjp" not in str(error):
            raise
        raise TypeError(
            'forward-mode differentiation of sparse_conv needs differentiate="both"; the default '
            '"fast" has a reverse rule only.'
        ) from error
    if bias is not None:
        out = out + bias.astype(dtype)
    return kmap.output(x, out)


@partial(jax.jit, static_argnames=("dtype", "bounded"))
def _convolve(
    rows: Array, weight: Array, kmap: KernelMap, dtype: np.dtype, bounded: bool = False
) -> Array:
    """Flat input rows [B*N, T*C] to flat output rows [B*M, T*O], in float32 at least.

    `bounded` visits every tile of compacted pairs, so that the loop has a static length and JAX can
    differentiate it.
    """
    rows, weight = rows.astype(dtype), weight.astype(dtype)
    if kmap.pairs is not None and kmap.kind == "submanifold":
        return submanifold_forward(rows, weight, kmap.pairs, bounded)
    if kmap.pairs is not None:
        return listed_forward(rows, weight, kmap, bounded)
    if kmap.adjoint:
        return _spread(rows, weight, _flat_slots(kmap))
    return _gather_multiply(rows, weight, _flat_table(kmap))


@partial(jax.custom_vjp, nondiff_argnums=(3,))
def _convolve_fast(rows: Array, weight: Array, kmap: KernelMap, dtype: np.dtype) -> Array:
    return _convolve(rows, weight, kmap, dtype)


def _convolve_forward(rows, weight, kmap, dtype):
    narrow, like = rows.astype(dtype), jnp.zeros((0,), rows.dtype)
    return _convolve(narrow, weight, kmap, dtype), (narrow, like, weight, kmap)


@partial(jax.jit, static_argnums=0)
def _convolve_backward(dtype, residuals, grad):
    rows, like, wide, kmap = residuals
    weight, grad = wide.astype(dtype), grad.astype(dtype)
    if kmap.pairs is not None and kmap.kind == "submanifold":
        d_rows, d_weight = submanifold_backward(rows, weight, kmap.pairs, grad)
    elif kmap.pairs is not None:
        d_rows, d_weight = listed_backward(rows, weight, kmap.pairs, grad)
    elif kmap.kind == "submanifold":
        # The pairs of offset k are those of K - 1 - k with their sides exchanged.
        table = _flat_table(kmap)
        d_rows = _gather_multiply(grad, weight[::-1].swapaxes(1, 2), table)
        d_weight = _weight_gradient(rows, grad, table, weight)
    elif kmap.kind == "strided":
        d_rows = _spread(grad, weight.swapaxes(1, 2), _flat_slots(kmap))
        d_weight = _weight_gradient(rows, grad, _flat_table(kmap), weight)
    else:
        transposed = weight.swapaxes(1, 2)
        d_rows = _gather_multiply(grad, transposed, _flat_table(kmap))
        d_weight = _weight_gradient(grad, rows, _flat_table(kmap), transposed).swapaxes(1, 2)
    return d_rows.astype(like.dtype), d_weight.astype(wide.dtype), None


_convolve_fast.defvjp(_convolve_forward, _convolve_backward)


# --- tables: gather [M, K, C], one matrix product with [K * C, O] ---


def _gather_multiply(rows: Array, weight: Array, table: Array) -> Array:
    """y[u] = sum_k x[table[u, k]] @ W_k."""
    volume, channels, out = weight.shape

    def block(index):
        gathered = gather(rows, index)
        if rows.shape[1] == channels:  # T = 1
            return contract("mc,co->mo", gathered.reshape(len(index), -1), weight.reshape(-1, out))
        gathered = gathered.reshape(len(index), volume, -1, channels)
        return contract("mktc,kco->mto", gathered, weight).reshape(len(index), -1)

    return _by_blocks(block, table, rows.shape[1] * rows.dtype.itemsize)


def _weight_gradient(rows: Array, grad: Array, table: Array, weight: Array) -> Array:
    """dW_k = sum_u x[table[u, k]]^T dy[u], shaped like `weight`: all at once, or one by one."""
    _, channels, out = weight.shape

    def offset(_, column):
        return None, outer(gather(rows, column), grad, channels, out)

    if rows.shape[1] > channels or table.size * channels * rows.dtype.itemsize > BLOCK_BYTES:
        return jax.lax.scan(offset, None, table.T)[1]
    wide = gather(rows, table).reshape(len(table), -1)
    return contract("mc,mo->co", wide, grad).reshape(weight.shape)


def _spread(rows: Array, weight: Array, slots: Array) -> Array:
    """z[i] = sum_j (x W)[slots[i, j]]: every product is computed once, then gathered."""
    volume, channels, out = weight.shape
    wide = weight.swapaxes(0, 1).reshape(channels, -1)
    products = multiply(rows, wide).reshape(len(rows), -1, volume, out)
    products = products.swapaxes(1, 2).reshape(len(rows) * volume, -1)
    return gather(products, slots).sum(axis=1)


def _by_blocks(function, table: Array, row_bytes: int) -> Array:
    """`function` over blocks of table rows small enough for BLOCK_BYTES of gathered features."""
    total, offsets = table.shape
    size = max(BLOCK_BYTES // max(offsets * row_bytes, 1), 1)
    if size >= total:
        return function(table)
    blocks = -(-total // size)
    padded = jnp.pad(
        table, ((0, blocks * size - total), (0, 0)), constant_values=jnp.iinfo(table.dtype).max
    )
    out = jax.lax.map(function, padded.reshape(blocks, size, offsets))
    return out.reshape(-1, *out.shape[2:])[:total]


# --- indices of a map ---


def _flat_table(kmap: KernelMap) -> Array:
    """Table entries as flat rows; missing ones out of bounds."""
    table = cast(Array, kmap.table)  # the caller has checked the kind
    return flat_index(table, kmap.out_rows if kmap.adjoint else kmap.in_rows)


def _flat_slots(kmap: KernelMap) -> Array:
    """Slots as flat places in [B * M * K]; missing ones out of bounds."""
    rows = kmap.in_rows if kmap.adjoint else kmap.out_rows
    return flat_index(cast(Array, kmap.slots), rows * kmap.volume)


def _check_conv(
    x: SparseTensor, weight: Array, kmap: KernelMap, bias: Array | None, differentiate: str
) -> None:
    if differentiate not in ("fast", "both"):
        raise ValueError(f'differentiate must be "fast" or "both"; got {differentiate!r}.')
    if weight.ndim != 3 or weight.shape[0] != kmap.volume or weight.shape[1] != x.feats.shape[-1]:
        raise ValueError(
            f"weight must have shape [K, C, O] with K={kmap.volume} (the map's kernel_size "
            f"{kmap.geometry.kernel_size}) and C={x.feats.shape[-1]} (the features); got "
            f"{weight.shape}."
        )
    if (x.extent, x.stride, x.capacity) != (kmap.in_extent, kmap.in_stride, kmap.in_rows):
        raise ValueError(
            f"the {kmap.kind} map was built for extent {kmap.in_extent}, stride "
            f"{kmap.in_stride}, {kmap.in_rows} rows; got a tensor of extent {x.extent}, stride "
            f"{x.stride}, {x.capacity} rows. Build a map from this tensor."
        )
    check_batch(x, kmap)
    if bias is not None and bias.shape != weight.shape[2:]:
        raise ValueError(f"bias must have shape {weight.shape[2:]}; got {bias.shape}.")
    check_floating(x)
    for name, array in (("weight", weight), ("bias", bias)):
        if array is not None:
            _check_width(name, jnp.asarray(array).dtype, x.feats.dtype)


def _check_width(name: str, dtype: np.dtype, feats: np.dtype) -> None:
    """Raise if a parameter is wider than the features; float32 parameters are always allowed."""
    if jnp.issubdtype(dtype, jnp.floating) and jnp.finfo(dtype).bits > max(
        jnp.finfo(feats).bits, 32
    ):
        raise TypeError(
            f"`{name}` is {dtype} but the features are {feats}: the convolution would narrow it. "
            f"Make the features {dtype} with feats.astype(...), or cast `{name}`."
        )
