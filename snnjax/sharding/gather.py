"""Full parameters from their shards, inside `shard_map` over the data axis."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
from jax import Array
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

AXIS = "data"


def manual_spec(sharding: NamedSharding) -> P:
    """The part of a sharding that concerns "data", as the spec of a `shard_map` over that axis.

    >>> from snnjax.sharding import parse_mesh
    >>> mesh = parse_mesh("data=1,model=1")
    >>> manual_spec(NamedSharding(mesh, P("model", "data"))) == P(None, "data")
    True
    """
    return P(*(axis if axis == AXIS else None for axis in sharding.spec))


def gather(params: Any, shardings: Any) -> Any:
    """All-gather the parameters that are sharded over "data"; the others are unchanged.

    The transpose is a reduce-scatter: a gradient through this is the shard of the sum over devices.
    Gradients of replicated parameters are still local to each device, see `reduce_replicated`.

    Args:
      params: the shards of this device.
      shardings: a tree of `NamedSharding` with the structure of `params`.
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
    # The partitioner does not shard automatic axes through a manual collective; it would gather
    # them first.
    return jax.shard_map(
        collect, in_specs=rest, out_specs=rest, axis_names=others, check_vma=False
    )(leaf)


def reduce_replicated(gradient: Any, shardings: Any) -> Any:
    """Sum over "data" the gradients that `gather` did not already reduce."""
    leaves, structure = jax.tree.flatten(gradient)
    sharded = [AXIS in sharding.spec for sharding in jax.tree.leaves(shardings)]
    replicated = [g for g, s in zip(leaves, sharded, strict=True) if not s]
    rest = iter(jax.lax.psum(replicated, AXIS))
    return jax.tree.unflatten(
        structure, [g if s else next(rest) for g, s in zip(leaves, sharded, strict=True)]
    )
