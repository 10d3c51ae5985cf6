"""How a batch and a state lie on a mesh."""

from __future__ import annotations

from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from snnjax.sharding import AXIS as AXIS


def check_divisible(batch_size: int, mesh: Mesh) -> None:
    """Raise unless a batch can be cut evenly over the data axis."""
    devices = mesh.shape[AXIS]
    if batch_size % devices:
        nearest = max(round(batch_size / devices), 1) * devices
        raise ValueError(
            f"batch_size must be a multiple of the {devices} devices that share a batch; got "
            f"{batch_size}. Take {nearest}, or a mesh with another size of 'data'."
        )


def replicate(tree: Any, mesh: Mesh) -> Any:
    """`tree` with a whole copy on each device."""
    return jax.device_put(tree, NamedSharding(mesh, P()))


def shard(tree: Any, mesh: Mesh) -> Any:
    """`tree` cut along the first axis of each leaf."""
    return jax.device_put(tree, NamedSharding(mesh, P(AXIS)))
