"""Random weights of order 1 for any model, and sparse tensors made site by site on the host."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from flax import nnx

from snnjax.sparse import SparseTensor


def random_net(make: Callable[[], nnx.Module], seed: int = 0) -> tuple[Any, Any, Any]:
    """Graph, parameters and statistics of a model, the arrays random and float64.

    They depend on the shapes alone: nets that differ in their neurons share them. Constants of
    neurons stay as they are.
    """
    graph, params, rest = nnx.split(nnx.eval_shape(make), nnx.Param, ...)
    rng = np.random.default_rng(seed)

    def draw(path: Any, leaf: Any) -> Any:
        name = getattr(path[-1], "key", None)
        if name in ("scale", "var"):
            return rng.uniform(0.5, 1.5, leaf.shape)
        if name in ("shift", "mean", "bias"):
            return rng.normal(0.2, 0.4, leaf.shape)
        if "beta" in str(path):
            return np.full(leaf.shape, 0.25)
        return rng.normal(0, 1, leaf.shape) / np.prod(leaf.shape[:-1]) ** 0.5

    return (
        graph,
        jax.tree.map_with_path(draw, nnx.as_pure(params)),
        jax.tree.map_with_path(draw, nnx.as_pure(rest)),
    )


def pack(grid: np.ndarray, mask: np.ndarray, rows: int | None = None) -> SparseTensor:
    """The SparseTensor of a grid [T?, B, Z, Y, X, C], made site by site on the host."""
    batch, extent, channels = len(mask), mask.shape[1:], grid.shape[-1]
    rows = mask[0].size if rows is None else rows
    feats = np.zeros((*grid.shape[:-5], batch, rows, channels))
    coords = np.zeros((batch, rows, 3), np.int32)
    for b in range(batch):
        sites = np.argwhere(mask[b])  # z-major, x fastest
        coords[b, : len(sites)] = sites
        feats[..., b, : len(sites), :] = grid[..., b, :, :, :, :][..., mask[b], :]
    n = mask.sum((1, 2, 3)).astype(np.int32)
    return SparseTensor(feats, coords, n, np.zeros(batch, np.int32), extent)
