"""Kernel maps of strided and transposed convolutions, which have sites of their own."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from snnjax.sparse.arithmetic import ArithmeticTable, check_arithmetic
from snnjax.sparse.geometry import Geometry, Size, Triple, three
from snnjax.sparse.maps import KernelMap
from snnjax.sparse.pairs import Pairs, list_pairs
from snnjax.sparse.reach import Grid, strided_tables, transposed_tables
from snnjax.sparse.rows import site_keys
from snnjax.sparse.tensor import SparseTensor, check_extent, key_coords, one_integer, valid_rows


def strided_map(
    x: SparseTensor,
    kernel_size: Size = 2,
    stride: Size = 2,
    padding: Size = 0,
    *,
    dilation: Size = 1,
    capacity: int | None = None,
    onto: SparseTensor | None = None,
    arithmetic: str | None = None,
) -> KernelMap:
    """The kernel map of a strided convolution, with every output site that an input site reaches.

        y_u = sum_k W_k^T x[u * s + k * d - p],   u in bounds with such a source for some k

    The output extent is that of a dense convolution, floor((E + 2p - d (K - 1) - 1) / s) + 1. With
    kernel 2, stride 2 the last plane of an odd extent feeds nothing: round extents up to a multiple
    of 2^levels. Sizes are one integer, or three for z, y and x: kernel (3, 1, 1), stride (2, 1, 1).

    Args:
      x: input tensor.
      kernel_size, stride, padding, dilation: the geometry.
      capacity: output rows per sample; None takes the number that cannot overflow,
        min(N * ceil(K / s), cells of the output grid), with a product over the axes.
      onto: a tensor of the output's stride, whose grid and sites are taken as those of the output
        instead. Sites that are not among them are left out and not counted, as in a submanifold
        convolution; with `onto=x` and stride 1 even kernels are submanifold too.
      arithmetic: "pairs" or "table"; None takes the measured choice for these shapes.

    Returns:
      The map; sites beyond the capacity (those of largest key) are counted in `overflow`.

    >>> from snnjax.sparse import sparse_tensor
    >>> x = sparse_tensor(jnp.ones((1, 1, 1)), jnp.array([[[4, 1, 1]]]), jnp.array([1]),
    ...                   extent=(5, 4, 4))
    >>> down = strided_map(x, (3, 1, 1), (2, 1, 1))
    >>> down.out_extent, down.coords[0].tolist()
    ((2, 4, 4), [[1, 1, 1], [0, 0, 0]])
    """
    geometry = Geometry.of(kernel_size, stride, padding, dilation)
    out_stride = _times(x.stride, geometry.stride)
    if onto is None:
        size = geometry.out_extent(x.sample_extent)
        pitch, rest = divmod(x.pitch, geometry.stride[0])
        out = _grid(x, size, pitch, fits=rest == 0)
    else:
        out = _grid_of(onto, x, out_stride, capacity)
    return _build("strided", x, geometry, out, out_stride, capacity, onto, arithmetic)


def transposed_map(
    x: SparseTensor,
    kernel_size: Size = 2,
    stride: Size = 2,
    padding: Size = 0,
    *,
    dilation: Size = 1,
    output_padding: Size = 0,
    capacity: int | None = None,
    onto: SparseTensor | None = None,
    arithmetic: str | None = None,
) -> KernelMap:
    """The kernel map of a transposed convolution, with every output site that an input reaches.

        z_u = sum_k W_k^T x[p],   over the sites p and offsets k with u = p * s + k * d - padding

    It is the adjoint of the strided convolution of the same geometry and creates sites: up to K for
    each input. To return to known sites give them as `onto`, or use `inverse_map`, which shares the
    map of the strided convolution. The output extent is (E - 1) s - 2p + d (K - 1) + 1 +
    output_padding.

    Args:
      x: input tensor; its stride must be a multiple of `stride`, so that the output has one.
      kernel_size, stride, padding, dilation: the geometry, integers or three for z, y, x.
      output_padding: cells added to the upper side of the output grid, below the stride.
      capacity: output rows per sample; None takes the number that cannot overflow,
        min(N * K, cells of the output grid).
      onto: as in `strided_map`.
      arithmetic: as in `strided_map`.

    Returns:
      The map; sites beyond the capacity (those of largest key) are counted in `overflow`.
    """
    geometry = Geometry.of(kernel_size, stride, padding, dilation)
    extra = three("output_padding", output_padding)
    out_stride = _over(x.stride, geometry.stride)
    if onto is None:
        size = geometry.transposed_extent(x.sample_extent, extra)
        out = _grid(x, size, x.pitch * geometry.stride[0], fits=True)
    elif any(extra):
        raise ValueError("give `output_padding` or `onto`; the grid of `onto` has its own extent.")
    else:
        out = _grid_of(onto, x, out_stride, capacity)
    return _build("transposed", x, geometry, out, out_stride, capacity, onto, arithmetic)


def _build(
    kind: str,
    x: SparseTensor,
    geometry: Geometry,
    out: Grid,
    out_stride: Triple,
    capacity: int | None,
    onto: SparseTensor | None,
    arithmetic: str | None,
) -> KernelMap:
    if kind == "strided":
        build, most = strided_tables, geometry.reach
    else:
        build, most = transposed_tables, geometry.volume
    capacity = _capacity(capacity, x.capacity * most, out, onto)
    sites = x.replace(feats=x.feats[..., :0])  # the map does not depend on the features
    given = None if onto is None else site_keys(onto)
    table, slots, keys, found = build(sites, given, out, geometry, capacity)
    coords, n, overflow = _sites(keys, found, out, capacity, onto)
    return KernelMap(
        table=table,
        slots=slots,
        pairs=_pairs(kind, slots, geometry.volume, x.capacity, capacity, arithmetic),
        coords=coords,
        n=n,
        overflow=overflow,
        kind=kind,
        geometry=geometry,
        in_extent=x.extent,
        out_extent=out.extent,
        in_stride=x.stride,
        out_stride=out_stride,
        out_gap=out.pitch - out.size[0],
        in_rows=x.capacity,
    )


def _pairs(
    kind: str, slots: Array, volume: int, in_rows: int, out_rows: int, arithmetic: str | None
) -> Pairs | None:
    """The pairs of a map, or None where its table is used."""
    batch, fine, _ = slots.shape
    rows = batch * fine
    choose = ArithmeticTable().choose
    if (check_arithmetic(arithmetic) or choose(rows, volume)) == "table":
        return None
    if kind == "strided":
        return list_pairs(slots, volume, out_rows)
    return list_pairs(slots, volume, in_rows).exchanged()


# --- static checks ---


def _grid(x: SparseTensor, size: Triple, pitch: int, *, fits: bool) -> Grid:
    """The output grid of samples that are `pitch` planes apart, if they are packed."""
    if x.samples == 1:
        pitch = size[0]
    elif not fits or pitch < size[0]:
        raise ValueError(
            f"packed samples are {x.pitch} planes apart, {x.gap} of them empty, which does not fit "
            f"this convolution: the distance must be a multiple of the stride along z, and hold "
            f"the {size[0]} planes of the output. Pack with a larger depth, or not at all."
        )
    out = Grid(size, pitch, x.samples)
    check_extent(out.extent)
    return out


def _grid_of(onto: SparseTensor, x: SparseTensor, stride: Triple, capacity: int | None) -> Grid:
    """The grid of `onto`, checked to be of the level that the convolution leads to."""
    if capacity is not None:
        raise ValueError("give `capacity` or `onto`; the sites of `onto` bring their own rows.")
    apart = x.samples == 1 or onto.pitch * stride[0] == x.pitch * x.stride[0]
    if onto.stride != stride or onto.samples != x.samples or not apart:
        raise ValueError(
            f"`onto` must be of stride {stride} and hold {x.samples} samples in a grid, as the "
            f"output does; got stride {onto.stride} and {onto.samples} samples, one every "
            f"{onto.pitch} planes."
        )
    return Grid(onto.sample_extent, onto.pitch, onto.samples)


def _capacity(capacity: int | None, most: int, out: Grid, onto: SparseTensor | None) -> int:
    if onto is not None:
        return onto.capacity
    capacity = min(most, out.cells) if capacity is None else one_integer("capacity", capacity)
    if capacity < 1:
        raise ValueError(f"capacity must be at least 1; got {capacity}.")
    return capacity


def _times(a: Triple, b: Triple) -> Triple:
    z, y, x = (i * j for i, j in zip(a, b, strict=True))
    return z, y, x


def _over(stride: Triple, by: Triple) -> Triple:
    if any(a % b for a, b in zip(stride, by, strict=True)):
        raise ValueError(
            f"a transposed convolution of stride {by} needs an input whose own stride is a "
            f"multiple of it; got a tensor of stride {stride}. A tensor that starts at a coarse "
            f"level is made with sparse_tensor(..., stride={by})."
        )
    z, y, x = (a // b for a, b in zip(stride, by, strict=True))
    return z, y, x


def _sites(
    keys: Array, found: Array, out: Grid, capacity: int, onto: SparseTensor | None
) -> tuple[Array, Array, Array]:
    """Output coordinates, their number and the overflow."""
    if onto is not None:
        return onto.coords, onto.n, jnp.zeros_like(onto.overflow)
    n = jnp.minimum(found, capacity)
    coords = jnp.where(valid_rows(n, capacity)[..., None], key_coords(keys, out.extent), 0)
    return coords, n, jnp.maximum(found - capacity, 0)
