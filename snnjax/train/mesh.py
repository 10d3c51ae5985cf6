"""How a batch and a state lie on a mesh, whose devices may belong to several processes."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from snnjax.sharding import AXIS as AXIS


def check_divisible(batch_size: int, mesh: Mesh, accumulate: int = 1) -> None:
    """Raise unless each micro-batch can be divided evenly over the data axis."""
    devices = mesh.shape[AXIS]
    parts = devices * accumulate
    if batch_size % parts:
        nearest = max(round(batch_size / parts), 1) * parts
        times, other = "", ""
        if accumulate > 1:
            times, other = f" times accumulate={accumulate}", ", another accumulate"
        raise ValueError(
            f"batch_size must be a multiple of the {devices} devices that share a batch"
            f"{times}; got {batch_size}. Take {nearest}{other}, or a mesh with another size of "
            "'data'."
        )


def local_rows(batch_size: int, mesh: Mesh) -> np.ndarray:
    """Rows of a batch that lie on devices of this process, ascending."""
    place = NamedSharding(mesh, P(AXIS)).addressable_devices_indices_map((batch_size,))
    every = np.arange(batch_size)
    return np.unique(np.concatenate([every[index] for index in place.values()]))


def shard_rows(array: Any, rows: np.ndarray, batch_size: int, mesh: Mesh) -> jax.Array:
    """An array of the full batch, sharded along its first axis, from the rows of this process.

    Args:
      array: the rows `rows` of the batch, as `local_rows` gives them.
      rows: their positions. batch_size: rows of the full batch.
      mesh: devices.
    """

    def part(index: Any) -> np.ndarray:
        wanted = np.arange(batch_size)[index[0]]
        return array[np.searchsorted(rows, wanted)]

    shape = (batch_size, *array.shape[1:])
    return jax.make_array_from_callback(shape, NamedSharding(mesh, P(AXIS)), part)


def put(tree: Any, shardings: Any) -> Any:
    """`jax.device_put` of arrays that every process has, also onto devices of other processes."""
    return jax.tree.map(_put, tree, shardings)


def _put(leaf: jax.Array, place: NamedSharding) -> jax.Array:
    if place.is_fully_addressable:
        return jax.device_put(leaf, place)
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        words = _put(jax.random.key_data(leaf), NamedSharding(place.mesh, P()))
        return jax.random.wrap_key_data(words, impl=jax.random.key_impl(leaf))
    here = np.asarray(leaf)
    return jax.make_array_from_callback(here.shape, place, lambda index: here[index])


def replicate(tree: Any, mesh: Mesh) -> Any:
    """`tree` with a full copy on each device."""
    return jax.device_put(tree, NamedSharding(mesh, P()))


def shard(tree: Any, mesh: Mesh) -> Any:
    """`tree` sharded along the first axis of each leaf."""
    return jax.device_put(tree, NamedSharding(mesh, P(AXIS)))


def place_batch(arrays: dict[str, np.ndarray], mesh: Mesh) -> dict[str, jax.Array]:
    """Place a batch on its devices; each process passes its own rows, or all rows."""
    if not mesh.is_multi_process:
        return shard(arrays, mesh)
    size = len(arrays["weight"])
    own, every = local_rows(size, mesh), np.arange(size)
    return {
        name: shard_rows(array, every if len(array) == size else own, size, mesh)
        for name, array in arrays.items()
    }


def fetch(tree: Any) -> Any:
    """`tree` in full on the host of every process; all processes must call this."""

    def full(leaf: Any) -> Any:
        if not isinstance(leaf, jax.Array) or leaf.is_fully_addressable or leaf.is_fully_replicated:
            return jax.device_get(leaf)
        return multihost_utils.process_allgather(leaf, tiled=True)

    return jax.tree.map(full, tree)
