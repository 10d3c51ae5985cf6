"""Submanifold kernel maps: the neighbours of every site among the sites themselves."""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from snnjax.sparse.arithmetic import ArithmeticTable, check_arithmetic
from snnjax.sparse.geometry import Geometry, Size, Triple, three
from snnjax.sparse.maps import KernelMap
from snnjax.sparse.pairs import compact_pairs
from snnjax.sparse.tensor import INT32_MAX, SparseTensor, check_extent, linear_key, valid_rows


def submanifold_map(
    x: SparseTensor,
    kernel_size: Size = 3,
    *,
    stride: Size = 1,
    dilation: Size = 1,
    arithmetic: str | None = None,
) -> KernelMap:
    """The kernel map of a submanifold convolution: output sites equal input sites.

        y_u = sum_k W_k^T x[u + (k - r) d],   r = kernel_size // 2,   u in the input sites

    Neighbours are found by one binary search for each line of offsets with a positive (z, y) part;
    the next offsets of the line are at most the next rows (with a dilation along x, one search for
    each offset). The other half follows from symmetry: `table[table[o, k], K - 1 - k] = o`.

    Args:
      x: tensor with the sites to map; the map is shared by every layer on the same sites.
      kernel_size: odd edge of the kernel, one integer or three for z, y, x; (1, 3, 3) in a plane.
      stride: only 1 is supported.
      dilation: distance d between neighbouring offsets, one integer or three.
      arithmetic: "pairs" or "table"; None takes the measured choice for these shapes.
    """
    geometry, radius = _check_submanifold(x, kernel_size, stride, dilation)
    batch, rows, _ = x.coords.shape
    choose = ArithmeticTable().choose
    chosen = check_arithmetic(arithmetic) or choose(batch * rows, geometry.volume)
    half = _half_neighbours(x.coords, x.n, x.extent, geometry, radius)
    pairs = table = None
    if geometry.volume == 1 or chosen == "table":
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
        geometry=geometry,
        in_extent=x.extent,
        out_extent=x.extent,
        in_stride=x.stride,
        out_stride=x.stride,
        out_gap=x.gap,
        in_rows=rows,
    )


def _check_submanifold(
    x: SparseTensor, kernel_size: Size, stride: Size, dilation: Size
) -> tuple[Geometry, Triple]:
    """The geometry, and how many cells the kernel reaches along each axis."""
    kernel = three("kernel_size", kernel_size)
    if three("stride", stride) != (1, 1, 1):
        raise ValueError(
            f"a submanifold convolution has stride 1; got {stride}. Use strided_map to downsample."
        )
    if min(kernel) < 1 or any(size % 2 == 0 for size in kernel):
        raise ValueError(
            f"a submanifold kernel needs a centre: kernel_size must be odd; got {kernel_size}. "
            "For an even kernel at the sites of x use strided_map(x, kernel_size, 1, padding, "
            "onto=x), whose padding says which neighbours it reads."
        )
    step = three("dilation", dilation)
    if min(step) < 1:
        raise ValueError(f"dilation must be at least 1; got {dilation}.")
    z, y, x_reach = (size // 2 * d for size, d in zip(kernel, step, strict=True))
    radius = z, y, x_reach
    check_extent(x.extent, radius)
    if x.samples > 1 and radius[0] > x.gap:
        raise ValueError(
            f"a kernel of {kernel_size} reaches {radius[0]} planes, but only {x.gap} separate the "
            "packed samples. Pack with a larger depth, or not at all."
        )
    return Geometry.of(kernel, 1, radius, step), radius


class _Lines(NamedTuple):
    """The offsets after the centre as runs of consecutive keys, relative to the key of a site."""

    starts: tuple[int, ...]  # first key of each run
    length: int  # keys of a run
    own: int  # offsets on the line of the site itself, which are its next keys


def _lines(extent: Triple, geometry: Geometry, radius: Triple) -> _Lines:
    _, y_size, x_size = (e + 2 * r for e, r in zip(extent, radius, strict=True))
    kernel, (dz, dy, dx) = geometry.kernel_size, geometry.dilation
    rz, ry, rx = (size // 2 for size in kernel)
    lines = [at for at in product(range(rz + 1), range(-ry, ry + 1)) if at > (0, 0)]
    heads = [(z * dz * y_size + y * dy) * x_size for z, y in lines]
    if dx == 1:
        return _Lines(tuple(head - rx for head in heads), kernel[2], rx)
    steps = [x * dx for x in range(-rx, rx + 1)]
    own = [x * dx for x in range(1, rx + 1)]
    return _Lines((*own, *(head + x for head in heads for x in steps)), 1, 0)


@partial(jax.jit, static_argnums=(2, 3, 4))
def _half_neighbours(
    coords: Array, n: Array, extent: Triple, geometry: Geometry, radius: Triple
) -> Array:
    """Rows of the neighbours at each offset after the centre, N where missing: [K // 2, B, N]."""
    batch, rows, _ = coords.shape
    if geometry.volume == 1:
        return jnp.zeros((0, batch, rows), jnp.int32)
    lines = _lines(extent, geometry, radius)
    valid = valid_rows(n, rows)
    keys = jnp.where(valid, linear_key(coords, extent, radius), INT32_MAX)
    ahead = max(lines.length, lines.own + 1)
    padded = jnp.pad(keys, ((0, 0), (0, ahead)), constant_values=INT32_MAX)
    own = jnp.broadcast_to(jnp.arange(1, rows + 1, dtype=jnp.int32), (batch, rows))
    after = jnp.where(valid, keys, INT32_MAX - 1) + 1
    same_line = _walk(padded, own, after, lines.own, rows)
    if not lines.starts:
        return same_line
    # A site's key is at most the last padded cell, so no query of a valid row overflows.
    starts = jnp.array(lines.starts, jnp.int32)[:, None]
    query = jnp.where(valid, keys, 0)[:, None] + starts
    query = jnp.where(valid[:, None], query, INT32_MAX).reshape(batch, -1)
    search = jax.vmap(lambda k, q: jnp.searchsorted(k, q, method="scan"))
    others = _walk(padded, search(keys, query).astype(jnp.int32), query, lines.length, rows)
    others = others.reshape(lines.length, batch, len(lines.starts), rows)
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
