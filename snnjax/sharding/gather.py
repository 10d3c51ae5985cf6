"""Whole parameters from their shards, inside `shard_map` over the data axis."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
from jax import Array
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

AXIS = "data"


def manual_spec(sharding: NamedSharding) -> P:
    """What `shard_map` over "data" must know of a sharding: where the axis "data" is.

    >>> from snnjax.sharding import parse_mesh
    >>> mesh = parse_mesh("data=1,model=1")
    >>> manual_spec(NamedSharding(mesh, P("model", "data"))) == P(None, "data")
    True
    """
    return P(*(axis if axis == AXIS else None for axis in sharding.spec))


def gather(params: Any, shardings: Any) -> Any:
    """All-gather the parameters that are cut over "data"; the others are as they were.

    The transpose is the reduce-scatter: a gradient through this is the share of the sum over the
    devices. Gradients of the parameters that were whole are still each device's own, see
    `reduce_whole`.

    Args:
      params: the shards of this device.
      shardings: a tree of `NamedSharding` as `params`.
    """
    return jax.tree.map(_gather_leaf, params, shardings)


def _gather_leaf(leaf: Array, sharding: NamedSharding) -> Array:
    spec = manual_spec(sharding)
    if AXIS not in spec:
        return leaf
    collect = partial(jax.lax.all_gather, axis_name=AXIS, axis=list(spec).index(AXIS), tiled=True)
    rest = P(*(None if axis == AXIS else axis for axis in sharding.spec))
    others = {axis for axis in rest if axis is not None}
    if not others:
        return collect(leaf)
    # The automatic axes do not see through a manual collective and would be gathered before it.
    return jax.shard_map(
        collect, in_specs=rest, out_specs=rest, axis_names=others, check_vma=False
    )(leaf)


def reduce_whole(gradient: Any, shardings: Any) -> Any:
    """Sum over "data" the gradients that `gather` did not scatter already."""
    leaves, structure = jax.tree.flatten(gradient)
    cut = [AXIS in sharding.spec for sharding in jax.tree.leaves(shardings)]
    whole = jax.lax.psum([g for g, c in zip(leaves, cut, strict=True) if not c], AXIS)
    rest = iter(whole)
    return jax.tree.unflatten(
        structure, [g if c else next(rest) for g, c in zip(leaves, cut, strict=True)]
    )
