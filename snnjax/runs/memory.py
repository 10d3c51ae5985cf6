"""Keeping freed memory in the process between steps."""

from __future__ import annotations

import ctypes
import os

# From malloc.h of glibc; the environment sets the same ones, by the names below.
_MMAP_MAX, _TRIM_THRESHOLD, _TOP_PAD = -4, -1, -2
_PAD = 2**26
_SETTINGS = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, -1), (_TOP_PAD, _PAD))
_DEFAULTS = ((_MMAP_MAX, 2**16), (_TRIM_THRESHOLD, 2**17), (_TOP_PAD, 2**17))

ENVIRONMENT = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**40),
    "MALLOC_TOP_PAD_": str(_PAD),
}
"""Environment variables with the same effect for a new process."""


def keep_memory() -> bool:
    """Have the C library keep freed memory for the next step rather than return it to the system.

    `snnjax train` calls it; call it once, before the first step, in a training loop of your own.
    On a CPU each step allocates its arrays again. Large ones come from the system, which hands out
    zeroed pages one by one as they are first touched: for a layer of LIF neurons over 1000 steps
    that is two thirds of the time. The process then keeps its peak size.

    Returns:
      Whether it was applied: only with glibc, and if the environment sets none of `ENVIRONMENT`. If
      the library refuses one of the settings, all are put back to its defaults.
    """
    if any(name in os.environ for name in ENVIRONMENT):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is None:
        return False
    if all(mallopt(name, value) == 1 for name, value in _SETTINGS):
        return True
    for name, value in _DEFAULTS:
        mallopt(name, value)
    return False
