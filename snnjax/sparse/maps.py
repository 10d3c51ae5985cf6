"""Kernel maps: the pairs of input and output sites for each kernel offset."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import cast

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Int

from snnjax.sparse.arithmetic import ArithmeticTable, check_arithmetic
from snnjax.sparse.pairs import Pairs, compact_pairs
from snnjax.sparse.tensor import (
    INT32_MAX,
    SparseTensor,
    check_extent,
    key_coords,
    linear_key,
    one_integer,
    valid_rows,
)
from snnjax.sparse.voxelize import search_rows, unique_keys


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class KernelMap:
    """An explicit kernel map from N input rows to M output rows of each sample.

    Offsets are z-major, x fastest: offset k = (kz * K_y + ky) * K_x + kx, so that a weight
    [K, C, O] reshaped to [k, k, k, C, O] is the DHWIO kernel of a dense convolution.

    Attributes:
      table: input row of each output row and offset, N where missing; int32 [B, M, K]. None in a
        submanifold map with pairs.
      slots: for each input row the entries `u * K + k` that it feeds, M * K where missing; int32
        [B, N, J]. None in submanifold maps, where it is the table with its columns reversed.
      pairs: the compacted form of the same map, or None.
      coords: output sites, int32 [B, M, 3].
      n: number of output sites of each sample, int32 [B].
      overflow: output sites of each sample that exceed the capacity, int32 [B].
      kind: "submanifold", "strided" or "inverse", static.
      kernel_size, stride, padding: static geometry of the convolution.
      in_extent, out_extent, in_stride, out_stride: input and output grids, static.
      in_rows: N, static.
    """

    table: Int[Array, "B M K"] | None
    slots: Int[Array, "B N J"] | None
    pairs: Pairs | None
    coords: Int[Array, "B M 3"]
    n: Int[Array, " B"]
    overflow: Int[Array, " B"]
    kind: str = dataclasses.field(metadata={"static": True})
    kernel_size: int = dataclasses.field(metadata={"static": True})
    stride: int = dataclasses.field(metadata={"static": True})
    padding: int = dataclasses.field(metadata={"static": True})
    in_extent: tuple[int, int, int] = dataclasses.field(metadata={"static": True})
    out_extent: tuple[int, int, int] = dataclasses.field(metadata={"static": True})
    in_stride: int = dataclasses.field(metadata={"static": True})
    out_stride: int = dataclasses.field(metadata={"static": True})
    in_rows: int = dataclasses.field(metadata={"static": True})

    @property
    def volume(self) -> int:
        """Kernel offsets, K = kernel_size^3."""
        return self.kernel_size**3

    @property
    def out_rows(self) -> int:
        """Output rows per sample, M."""
        return self.coords.shape[1]

    def gap_after(self, x: SparseTensor) -> int:
        """Planes between the packed samples of `x` on the output grid."""
        return x.gap * self.in_stride // self.out_stride


def submanifold_map(
    x: SparseTensor, kernel_size: int = 3, *, stride: int = 1, arithmetic: str | None = None
) -> KernelMap:
    """The kernel map of a submanifold convolution: output sites equal input sites.

        y_u = sum_k W_k^T x[u + k - r],   r = kernel_size // 2,   u in the input sites

    Neighbours are found by one binary search for each line of offsets with a positive (z, y) part;
    the next offsets of the line are at most the next rows. The other half follows from symmetry:
    `table[table[o, k], K - 1 - k] = o`.

    Args:
      x: tensor with the sites to map; the map is shared by every layer on the same sites.
      kernel_size: odd edge of the kernel.
      stride: only 1 is supported.
      arithmetic: "pairs" or "table"; None takes the measured choice for these shapes.
    """
    kernel_size = one_integer("kernel_size", kernel_size)
    if stride != 1:
        raise ValueError(
            f"a submanifold convolution has stride 1; got {stride}. Use strided_map to downsample."
        )
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise ValueError(
            f"a submanifold kernel needs a centre: kernel_size must be odd; got {kernel_size}."
        )
    radius = kernel_size // 2
    check_extent(x.extent, radius)
    if x.samples > 1 and radius > x.gap:
        raise ValueError(
            f"a kernel of {kernel_size} reaches {radius} planes, but only {x.gap} separate the "
            "packed samples. Pack with a larger depth, or not at all."
        )
    batch, rows, _ = x.coords.shape
    volume = kernel_size**3
    chosen = check_arithmetic(arithmetic) or ArithmeticTable().choose(batch * rows, volume)
    half = _half_neighbours(x.coords, x.n, x.extent, kernel_size)
    pairs = table = None
    if volume == 1 or chosen == "table":
        table = _mirror(half, x.valid)
    else:
        pairs = compact_pairs(half)
    return KernelMap(
        table=table,
        slots=None,
        pairs=pairs,
        coords=x.coords,
        n=x.n,
        overflow=jnp.zeros_like(x.overflow),
        kind="submanifold",
        kernel_size=kernel_size,
        stride=1,
        padding=radius,
        in_extent=x.extent,
        out_extent=x.extent,
        in_stride=x.stride,
        out_stride=x.stride,
        in_rows=rows,
    )


def strided_map(
    x: SparseTensor,
    kernel_size: int = 2,
    stride: int = 2,
    padding: int = 0,
    *,
    capacity: int | None = None,
) -> KernelMap:
    """The kernel map of a strided convolution, with every output site that an input site reaches.

        y_u = sum_k W_k^T x[u * s + k - p],   u in bounds with u * s = p_i + p - k for some site p_i

    The output extent is that of a dense convolution, floor((E + 2p - K) / s) + 1. With kernel 2,
    stride 2 the last plane of an odd extent feeds nothing: round extents up to a multiple of
    2^levels.

    Args:
      x: input tensor.
      kernel_size, stride, padding: geometry, the same on the three axes.
      capacity: output rows per sample; None takes the number that cannot overflow,
        min(N * ceil(K / s)^3, cells of the output grid).

    Returns:
      The map; sites beyond the capacity (those of largest key) are counted in `overflow`.
    """
    kernel_size, stride = one_integer("kernel_size", kernel_size), one_integer("stride", stride)
    padding = one_integer("padding", padding)
    out_extent = check_extent(strided_extent(x.extent, kernel_size, stride, padding))
    if x.samples > 1 and (kernel_size != stride or padding or x.gap % stride):
        raise ValueError(
            f"packed samples need kernel = stride, no padding, and a gap that is a multiple of the "
            f"stride; got kernel {kernel_size}, stride {stride}, padding {padding} and "
            f"{x.gap} planes between the samples. Pack with a larger depth, or not at all."
        )
    reach = (-(-kernel_size // stride)) ** 3
    cells = out_extent[0] * out_extent[1] * out_extent[2]
    most = min(x.capacity * reach, cells)
    capacity = most if capacity is None else one_integer("capacity", capacity)
    if capacity < 1:
        raise ValueError(f"capacity must be at least 1; got {capacity}.")
    sites = x.replace(feats=x.feats[..., :0])  # the map does not depend on the features
    return _strided_map(sites, out_extent, kernel_size, stride, padding, capacity)


@partial(jax.jit, static_argnums=(1, 2, 3, 4, 5))
def _strided_map(
    x: SparseTensor,
    out_extent: tuple[int, int, int],
    kernel_size: int,
    stride: int,
    padding: int,
    capacity: int,
) -> KernelMap:
    """`strided_map` without argument checks."""
    candidates, offsets = _candidates(x, out_extent, kernel_size, stride, padding)
    batch, rows, reach = candidates.shape
    sites, found = unique_keys(candidates.reshape(batch, -1), capacity)
    out_row = search_rows(sites, candidates.reshape(batch, -1)).reshape(candidates.shape)
    volume = kernel_size**3
    places = capacity * volume
    slots = jnp.where(out_row < capacity, out_row * volume + offsets, places)
    source = jnp.broadcast_to(jnp.arange(rows, dtype=jnp.int32)[:, None], (rows, reach))
    empty = jnp.full((places,), rows, jnp.int32)
    fill = jax.vmap(
        lambda s: empty.at[s.reshape(-1)].set(source.reshape(-1), mode="drop", unique_indices=True)
    )
    n = jnp.minimum(found, capacity)
    return KernelMap(
        table=fill(slots).reshape(batch, capacity, volume),
        slots=slots,
        pairs=None,
        coords=jnp.where(valid_rows(n, capacity)[..., None], key_coords(sites, out_extent), 0),
        n=n,
        overflow=jnp.maximum(found - capacity, 0),
        kind="strided",
        kernel_size=kernel_size,
        stride=stride,
        padding=padding,
        in_extent=x.extent,
        out_extent=out_extent,
        in_stride=x.stride,
        out_stride=x.stride * stride,
        in_rows=rows,
    )


def inverse_map(kmap: KernelMap, x: SparseTensor) -> KernelMap:
    """The kernel map of the inverse of a strided convolution, back to its input sites.

        z_i = sum_k W_k^T y[o(i, k)],   o(i, k) the output row that input row i fed under offset k

    With tied weights it is the adjoint of the strided convolution. It creates no sites.

    Args:
      kmap: a strided map.
      x: the tensor that `kmap` was built from; its sites become the output sites.
    """
    if kmap.kind != "strided":
        raise ValueError(f"only a strided map has an inverse; got a {kmap.kind} map.")
    if x.extent != kmap.in_extent or x.capacity != kmap.in_rows:
        raise ValueError(
            f"x must be the tensor the map was built from, extent {kmap.in_extent} and "
            f"{kmap.in_rows} rows; got extent {x.extent} and {x.capacity} rows."
        )
    return dataclasses.replace(
        kmap,
        kind="inverse",
        coords=x.coords,
        n=x.n,
        overflow=jnp.zeros_like(kmap.overflow),
        in_extent=kmap.out_extent,
        out_extent=kmap.in_extent,
        in_stride=kmap.out_stride,
        out_stride=kmap.in_stride,
        in_rows=kmap.out_rows,
    )


def outdegree(kmap: KernelMap, n: Int[Array, " B"]) -> Array:
    """The number of pairs of the map that read each input row, int32 [B, N].

    Args:
      kmap: any map.
      n: occupied input rows of each sample, int32 [B].
    """
    batch = len(n)
    if kmap.kind == "strided":
        return (cast(Array, kmap.slots) < kmap.out_rows * kmap.volume).sum(axis=-1, dtype=jnp.int32)
    if kmap.kind == "inverse":
        return (cast(Array, kmap.table) < kmap.out_rows).sum(axis=-1, dtype=jnp.int32)
    if kmap.table is not None:  # submanifold: a row is read as often as it reads
        return (kmap.table < kmap.in_rows).sum(axis=-1, dtype=jnp.int32)
    pairs = cast(Pairs, kmap.pairs)
    own = valid_rows(n, kmap.in_rows).astype(jnp.int32).reshape(-1)
    read = own.at[pairs.rows_in.reshape(-1)].add(1, mode="drop")
    return read.at[pairs.rows_out.reshape(-1)].add(1, mode="drop").reshape(batch, -1)


def strided_extent(
    extent: tuple[int, int, int], kernel_size: int, stride: int, padding: int
) -> tuple[int, int, int]:
    """The output extent of a dense convolution with the same geometry."""
    if kernel_size < 1 or stride < 1 or padding < 0 or padding >= kernel_size:
        raise ValueError(
            f"need kernel_size >= 1, stride >= 1 and 0 <= padding < kernel_size; got "
            f"kernel_size={kernel_size}, stride={stride}, padding={padding}."
        )
    out = [(e + 2 * padding - kernel_size) // stride + 1 for e in extent]
    if min(out) < 1:
        raise ValueError(
            f"a kernel of {kernel_size} with padding {padding} does not fit into extent {extent}."
        )
    return out[0], out[1], out[2]


@partial(jax.jit, static_argnums=(2, 3))
def _half_neighbours(
    coords: Array, n: Array, extent: tuple[int, int, int], kernel_size: int
) -> Array:
    """Rows of the neighbours at each offset after the centre, N where missing: [K // 2, B, N]."""
    batch, rows, _ = coords.shape
    r = kernel_size // 2
    if r == 0:
        return jnp.zeros((0, batch, rows), jnp.int32)
    _, y_size, x_size = (e + 2 * r for e in extent)
    valid = valid_rows(n, rows)
    keys = jnp.where(valid, linear_key(coords, extent, r), INT32_MAX)
    padded = jnp.pad(keys, ((0, 0), (0, kernel_size)), constant_values=INT32_MAX)
    lines = [(dz, dy) for dz, dy in product(range(r + 1), range(-r, r + 1)) if (dz, dy) > (0, 0)]
    starts = jnp.array([(dz * y_size + dy) * x_size - r for dz, dy in lines], jnp.int32)
    # A site's key is at most the last padded cell, so no query of a valid row overflows.
    query = jnp.where(
        valid[:, None], jnp.where(valid, keys, 0)[:, None] + starts[:, None], INT32_MAX
    )
    search = jax.vmap(lambda k, q: jnp.searchsorted(k, q, method="scan"))
    first = search(keys, query.reshape(batch, -1)).astype(jnp.int32)

    own = jnp.broadcast_to(jnp.arange(1, rows + 1, dtype=jnp.int32), (batch, rows))
    same_line = _walk(padded, own, jnp.where(valid, keys, INT32_MAX - 1) + 1, r, rows)
    others = _walk(padded, first, query.reshape(batch, -1), kernel_size, rows)
    others = others.reshape(kernel_size, batch, len(lines), rows)
    others = others.transpose(2, 0, 1, 3).reshape(-1, batch, rows)  # offset by offset
    return jnp.concatenate([same_line, others])


def _walk(keys: Array, row: Array, query: Array, steps: int, missing: int) -> Array:
    """Rows whose keys are query, query + 1, ..., compared from `row` on: [steps, B, Q]."""
    usable = query != INT32_MAX

    def step(row: Array, ahead: Array) -> tuple[Array, Array]:
        there = jnp.take_along_axis(keys, row, axis=1, mode="clip")
        hit = (there == query + ahead) & usable
        return row + hit.astype(row.dtype), jnp.where(hit, row, missing)

    return jax.lax.scan(step, row, jnp.arange(steps, dtype=query.dtype))[1]


@jax.jit
def _mirror(half: Array, valid: Array) -> Array:
    """The full neighbour table [B, N, K] from the offsets after its centre, [K // 2, B, N]."""
    columns, _, rows = half.shape
    own = jnp.arange(rows, dtype=jnp.int32)
    empty = jnp.full((columns, rows), rows, jnp.int32)
    column = jnp.arange(columns)[:, None]

    def reverse(h: Array) -> Array:
        return empty.at[column, h].set(own, mode="drop", unique_indices=True)

    before = jax.vmap(reverse, in_axes=1, out_axes=1)(half)[::-1]
    centre = jnp.where(valid, own, rows)[None]
    return jnp.moveaxis(jnp.concatenate([before, centre, half]), 0, -1)


def _candidates(
    x: SparseTensor, extent: tuple[int, int, int], kernel: int, stride: int, padding: int
) -> tuple[Array, Array]:
    """Keys of the output sites that each input row reaches, and the corresponding offsets.

    On one axis a site p reaches u = (p + padding - k) / s for the offsets k congruent to
    p + padding modulo s: at most ceil(K / s) of them. Keys are INT32_MAX where there is none.
    """
    steps = jnp.array(list(product(range(-(-kernel // stride)), repeat=3)), jnp.int32)
    place = x.coords[:, :, None, :] + padding
    offset = place % stride + stride * steps
    u = (place - offset) // stride
    fits = (offset < kernel) & (u >= 0) & (u < jnp.array(extent, jnp.int32))
    fits = fits.all(axis=-1) & x.valid[..., None]
    keys = jnp.where(fits, linear_key(u, extent), INT32_MAX)
    return keys, (offset[..., 0] * kernel + offset[..., 1]) * kernel + offset[..., 2]
