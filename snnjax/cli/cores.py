"""The cores of this machine as devices."""

from __future__ import annotations

import contextlib
import os

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


def use_cores(batch_size: int, devices: int | None = None) -> None:
    """Where training runs on the CPU, let its cores share each batch as devices.

    Most operations of a sparse step are too small to be cut into threads; the samples are not.
    Nothing changes for accelerators, nor where JAX_NUM_CPU_DEVICES or XLA_FLAGS set a number.

    Args:
      batch_size: samples of a step. devices: how many to make; None decides by the cores.
    """
    import jax

    chosen = "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
    if chosen or "JAX_NUM_CPU_DEVICES" in os.environ:
        return
    count = device_count(batch_size, core_count()) if devices is None else devices
    with contextlib.suppress(RuntimeError):  # a running backend keeps the devices it has
        jax.config.update("jax_num_cpu_devices", count)
