"""The mesh of the data axis, and where arrays lie on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from snnjax.sharding import AXIS as AXIS


def data_mesh(devices: int | Sequence[Any] | None = None) -> Mesh:
    """A mesh with the one axis "data".

    Args:
      devices: how many local devices, or which; None takes all of them.

    Raises:
      ValueError: more devices are asked for than there are.
    """
    local = jax.local_devices()
    if isinstance(devices, int):
        if not 1 <= devices <= len(local):
            raise ValueError(
                f"devices must be from 1 to the {len(local)} local ones; got {devices}."
            )
        local = local[:devices]
    elif devices is not None:
        local = list(devices)
    return Mesh(np.asarray(local), (AXIS,), axis_types=(AxisType.Auto,))


def check_divisible(batch_size: int, mesh: Mesh, accumulate: int = 1) -> None:
    """Raise unless each micro-batch can be cut evenly over the data axis."""
    devices = mesh.shape[AXIS]
    parts = devices * accumulate
    if batch_size % parts:
        nearest = max(round(batch_size / parts), 1) * parts
        times, other = "", ""
        if accumulate > 1:
            times, other = f" times accumulate={accumulate}", ", another accumulate"
        raise ValueError(
            f"batch_size must be a multiple of the {devices} devices that share a batch{times}; "
            f"got {batch_size}. Take {nearest}{other}, or a mesh with another size of 'data'."
        )


def replicate(tree: Any, mesh: Mesh) -> Any:
    """`tree` with a whole copy on each device."""
    return jax.device_put(tree, NamedSharding(mesh, P()))


def shard(tree: Any, mesh: Mesh) -> Any:
    """`tree` cut along the first axis of each leaf."""
    return jax.device_put(tree, NamedSharding(mesh, P(AXIS)))
