"""CPU cores as JAX devices."""

from __future__ import annotations

import contextlib
import math
import os

import jax

from snnjax.sharding import mesh_axes

SHARE = 8
"""Fewest samples of a batch on one device: below that a step is mostly overhead."""


def core_count() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def device_count(batch_size: int, cores: int) -> int:
    """The largest number of devices, at most one per core, that evenly divides a batch into shares
    of at least `SHARE` samples.

    >>> device_count(32, 2), device_count(32, 64), device_count(30, 4), device_count(4, 8)
    (2, 4, 3, 1)
    """
    fitting = (n for n in range(1, cores + 1) if batch_size % n == 0 and batch_size // n >= SHARE)
    return max(fitting, default=1)


def mesh_devices(mesh: str, batch_size: int, cores: int, processes: int = 1) -> int:
    """The number of devices per process for a mesh; an axis of size -1 uses the CPU cores.

    Raises:
      ValueError: the devices cannot be divided evenly over the processes.

    >>> mesh_devices("data=-1", 32, 2), mesh_devices("data=8,model=2", 32, 2)
    (2, 16)
    >>> mesh_devices("data=-1,model=2", 32, 8), mesh_devices("data=8", 32, 2, processes=4)
    (8, 2)
    """
    axes = mesh_axes(mesh)
    fixed = math.prod(size for size in axes.values() if size != -1)
    if -1 not in axes.values():
        if fixed % processes:
            raise ValueError(
                f"the mesh {mesh!r} has {fixed} devices, which {processes} processes cannot share "
                "evenly. Choose a size that divides evenly, or data=-1 for all."
            )
        return fixed // processes
    rest = max(cores // fixed, 1)
    share = batch_size // processes
    return fixed * (device_count(share, rest) if axes["data"] == -1 else rest)


def use_cores(batch_size: int, mesh: str = "data=-1", processes: int = 1) -> None:
    """When training runs on the CPU, divide each batch over its cores as devices.

    Most operations of a sparse step are too small for threads; samples can be divided.
    Nothing changes for accelerators, nor where JAX_NUM_CPU_DEVICES or XLA_FLAGS set a number.

    Args:
      batch_size: samples of a step.
      mesh: the mesh for the devices; the number of cores sets a size of -1.
      processes: how many share the batch and the mesh; each has its own cores.
    """
    chosen = "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
    if chosen or "JAX_NUM_CPU_DEVICES" in os.environ:
        return
    count = mesh_devices(mesh, batch_size, core_count(), processes)
    with contextlib.suppress(RuntimeError):  # a running backend keeps the devices it has
        jax.config.update("jax_num_cpu_devices", count)
