"""Samples of a batch stacked in one grid, so that they share its rows."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from jax import Array

from snnjax.sparse.tensor import SparseTensor, check_extent, one_integer, valid_rows


def pack(x: SparseTensor, samples: int, *, rows: int | None = None, depth: int = 0) -> SparseTensor:
    """Stack groups of `samples` consecutive samples along z into one grid each.

        z' = z + i * pitch   for the i-th sample of its group,   pitch = 2^d * (ceil(Z / 2^d) + 1)

    Empty planes separate the sites of one sample from those of the next, at least one after `depth`
    halvings. So maps, convolutions and norms give the same results as without packing, and a group
    needs rows for the sum of its sites, not `samples` times the largest: clouds differ in size, and
    padding costs as much as data. Global pooling and `SparseTensor.sum_rows` still distinguish the
    samples.

    Args:
      x: unpacked samples, features [B, N, C] or [T, B, N, C].
      samples: number of samples that share a grid; divides B.
      rows: capacity of a group; None means samples * N, which cannot overflow.
      depth: d, strided convolutions with stride 2 along z that will follow, of kernel 2 without
        padding or kernel 3 with padding 1. Submanifold kernels up to 3 fit at every level; a map
        that would reach from one sample into the next raises.

    Returns:
      A SparseTensor of B / samples groups with features [T?, B / samples, rows, C]; sites beyond
      the capacity are counted in `overflow`.
    """
    samples, depth = one_integer("samples", samples), one_integer("depth", depth)
    batch, capacity = x.coords.shape[:2]
    pitch = packed_pitch(x.extent, samples, depth)
    if x.samples != 1 or batch % samples:
        raise ValueError(
            f"samples must divide a batch that is not packed yet; got "
            f"samples={samples} for {batch} grids of {x.samples}."
        )
    return _pack(
        x, samples, samples * capacity if rows is None else one_integer("rows", rows), pitch
    )


@partial(jax.jit, static_argnums=(1, 2, 3))
def _pack(x: SparseTensor, samples: int, rows: int, pitch: int) -> SparseTensor:
    """`pack` without argument checks."""
    batch, capacity = x.coords.shape[:2]
    groups = batch // samples
    n = x.n.reshape(groups, samples)
    end = jnp.cumsum(n, axis=1, dtype=jnp.int32)
    first = (end - n).reshape(batch, 1)
    place = first + jnp.arange(capacity, dtype=jnp.int32)
    place = jnp.where(x.valid & (place < rows), place, rows).reshape(groups, -1)

    def put(values: Array) -> Array:
        """[B, N, C] to [groups, rows, C]."""
        flat = values.reshape(groups, samples * capacity, -1)
        empty = jnp.zeros((rows, flat.shape[-1]), values.dtype)
        return jax.vmap(lambda p, v: empty.at[p].set(v, mode="drop"))(place, flat)

    shift = jnp.arange(batch, dtype=jnp.int32) % samples * pitch
    coords = put(x.coords.at[..., 0].add(shift[:, None]))
    held = jnp.minimum(end[:, -1], rows)
    return SparseTensor(
        feats=put(x.feats) if x.feats.ndim == 3 else jax.vmap(put)(x.feats),
        coords=jnp.where(valid_rows(held, rows)[..., None], coords, 0),
        n=held,
        overflow=x.overflow.reshape(groups, samples).sum(axis=1) + end[:, -1] - held,
        extent=(samples * pitch, *x.extent[1:]),
        stride=x.stride,
        samples=samples,
        gap=pitch - x.extent[0],
    )


def packed_pitch(extent: tuple[int, int, int], samples: int, depth: int) -> int:
    """Planes from one sample of a packed grid to the next.

    Raises:
      ValueError: sizes below the least, or a grid with too many cells for its keys.
    """
    if samples < 1 or depth < 0:
        raise ValueError(
            f"packing needs samples >= 1 and depth >= 0; got samples={samples}, depth={depth}."
        )
    step = 2**depth
    pitch = (-(-extent[0] // step) + 1) * step
    check_extent((samples * pitch, *extent[1:]), radius=1)
    return pitch


def packable(extent: tuple[int, int, int], samples: int, depth: int) -> bool:
    """Whether `pack` supports these sizes.

    >>> packable((32, 32, 32), 64, 4), packable((1408, 1408, 120), 24, 3)
    (True, False)
    """
    try:
        packed_pitch(extent, samples, depth)
    except ValueError:
        return False
    return True
