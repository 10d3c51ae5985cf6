"""The cores of this machine as devices."""

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
    """The most devices, up to one a core, that cut a batch evenly into shares of at least `SHARE`.

    >>> device_count(32, 2), device_count(32, 64), device_count(30, 4), device_count(4, 8)
    (2, 4, 3, 1)
    """
    fitting = (n for n in range(1, cores + 1) if batch_size % n == 0 and batch_size // n >= SHARE)
    return max(fitting, default=1)


def mesh_devices(mesh: str, batch_size: int, cores: int, processes: int = 1) -> int:
    """The devices of one process for a mesh, where those of a size -1 are made of the cores.

    Raises:
      ValueError: the processes cannot have equally many.

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
                "evenly. Take a size that they can, or data=-1 for all."
            )
        return fixed // processes
    rest = max(cores // fixed, 1)
    share = batch_size // processes
    return fixed * (device_count(share, rest) if axes["data"] == -1 else rest)


def use_cores(batch_size: int, mesh: str = "data=-1", processes: int = 1) -> None:
    """Where training runs on the CPU, let its cores share each batch as devices.

    Most operations of a sparse step are too small to be cut into threads; the samples are not.
    Nothing changes for accelerators, nor where JAX_NUM_CPU_DEVICES or XLA_FLAGS set a number.

    Args:
      batch_size: samples of a step.
      mesh: what the devices are for; the cores decide over a size of -1.
      processes: how many share the batch and the mesh; each has its cores for itself.
    """
    chosen = "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
    if chosen or "JAX_NUM_CPU_DEVICES" in os.environ:
        return
    count = mesh_devices(mesh, batch_size, core_count(), processes)
    with contextlib.suppress(RuntimeError):  # a running backend keeps the devices it has
        jax.config.update("jax_num_cpu_devices", count)
