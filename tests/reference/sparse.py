"""Slow NumPy loops over dictionaries of voxels, written from the equations; no code of snnjax here.

A sample is a dictionary from site (z, y, x) to a feature vector. Everything is float64.
"""

from __future__ import annotations

import math
from itertools import product

import numpy as np

Site = tuple[int, int, int]
Sample = dict[Site, np.ndarray]


def random_coords(seed: int, extent: Site, counts: tuple[int, ...], rows: int) -> np.ndarray:
    """Distinct sites in random order, `counts[b]` of them in the first rows: int32 [B, rows, 3]."""
    rng = np.random.default_rng(seed)
    coords = np.zeros((len(counts), rows, 3), np.int32)
    for sample, count in enumerate(counts):
        cells = rng.permutation(math.prod(extent))[:count]
        coords[sample, :count] = np.stack(np.unravel_index(cells, extent), axis=-1)
    return coords


def to_samples(feats, coords, n) -> list[Sample]:
    """Arrays [B, N, C], [B, N, 3] and [B] as one dictionary a sample."""
    feats, coords = np.asarray(feats, np.float64), np.asarray(coords)
    return [
        {tuple(coords[b, i].tolist()): feats[b, i] for i in range(int(count))}
        for b, count in enumerate(np.asarray(n))
    ]


def offsets(kernel: int) -> list[Site]:
    """Kernel offsets, z-major, x fastest."""
    return list(product(range(kernel), repeat=3))


def out_extent(extent: Site, kernel: int, stride: int, padding: int) -> Site:
    z, y, x = ((e + 2 * padding - kernel) // stride + 1 for e in extent)
    return z, y, x


def sources(u: Site, kernel: int, stride: int, padding: int) -> list[Site]:
    """The positions u * s + k - p that an output site reads, by offset."""
    z, y, x = (a * stride - padding for a in u)
    return [(z + kz, y + ky, x + kx) for kz, ky, kx in offsets(kernel)]


def reached(sites, extent: Site, kernel: int, stride: int, padding: int) -> list[Site]:
    """Output sites with at least one source among `sites`, in the order of their key."""
    grid = out_extent(extent, kernel, stride, padding)
    return [
        u
        for u in product(*map(range, grid))
        if any(p in sites for p in sources(u, kernel, stride, padding))
    ]


def conv_loop(
    sample: Sample, weight: np.ndarray, out_sites, kernel: int, stride: int, padding: int
) -> Sample:
    """y_u = sum_k W_k^T x[u * s + k - p] at the given output sites; weight [K, C, O]."""
    result = {}
    for u in out_sites:
        total = np.zeros(weight.shape[2])
        for k, source in enumerate(sources(u, kernel, stride, padding)):
            if source in sample:
                total = total + sample[source] @ weight[k]
        result[u] = total
    return result


def inverse_loop(
    sample: Sample, weight: np.ndarray, in_sites, kernel: int, stride: int, padding: int
) -> Sample:
    """z_i = sum_k W_k^T y[o(i, k)] at the sites that a strided convolution came from."""
    result = {site: np.zeros(weight.shape[2]) for site in in_sites}
    for u, value in sample.items():
        for k, site in enumerate(sources(u, kernel, stride, padding)):
            if site in result:
                result[site] = result[site] + value @ weight[k]
    return result


def pool_loop(sample: Sample, out_sites, kernel: int, stride: int, padding: int, reduce) -> Sample:
    """`reduce` (np.max or np.mean) over the present sources of each output site."""
    return {
        u: reduce([sample[p] for p in sources(u, kernel, stride, padding) if p in sample], axis=0)
        for u in out_sites
    }


def bins_loop(sample: Sample, extent: Site, level: int, channels: int, reduce) -> np.ndarray:
    """`reduce` over the sites of each of level^3 disjoint bins; 0 in an empty one: [level^3, C]."""
    bins: dict[int, list[np.ndarray]] = {}
    for site, value in sample.items():
        z, y, x = (p * level // e for p, e in zip(site, extent, strict=True))
        bins.setdefault((z * level + y) * level + x, []).append(value)
    out = np.zeros((level**3, channels))
    for index, values in bins.items():
        out[index] = reduce(values, axis=0)
    return out


def voxel_loop(cloud, extent: Site, voxel_size: float, origin=None) -> tuple[dict[Site, int], int]:
    """The index of the point kept in each voxel of one cloud [P, 3], and how many were dropped.

    Of the points in a voxel the one nearest to its centre is kept, the first on a tie. The
    arithmetic has the precision of the cloud: where a point falls depends on it.
    """
    kind = cloud.dtype.type
    finite = [i for i, point in enumerate(cloud) if np.isfinite(point).all()]
    if origin is None:
        corner = np.min(cloud[finite], axis=0) if finite else np.zeros(3, kind)
    else:
        corner = np.asarray(origin, kind)
    best: dict[Site, tuple[float, int]] = {}
    kept = 0
    for i in finite:
        with np.errstate(over="ignore"):
            place = (cloud[i] - corner) / kind(voxel_size)
        if any(not 0 <= p < e for p, e in zip(place, extent[::-1], strict=True)):
            continue
        kept += 1
        cell = np.floor(place)
        distance = kind(0)
        for part in place - cell - kind(0.5):
            distance = distance + part * part
        x, y, z = cell.astype(int).tolist()
        if (z, y, x) not in best or distance < best[z, y, x][0]:
            best[z, y, x] = (distance, i)
    return {site: index for site, (_, index) in sorted(best.items())}, len(cloud) - kept
