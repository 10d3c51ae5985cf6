"""The process itself: its memory, and the core it runs on. Imported by engines of peers too."""

from __future__ import annotations

import os


def memory(name: str) -> int:
    """Bytes that Linux accounts to this process: "VmRSS" now, "VmHWM" at most; else 0."""
    try:
        with open("/proc/self/status", encoding="ascii") as lines:
            found = [line.split()[1] for line in lines if line.startswith(name + ":")]
    except FileNotFoundError:
        return 0
    return 1024 * int(found[0]) if found else 0


def forget_peak() -> None:
    """Let "VmHWM" start again from the memory held now, where Linux permits it."""
    if os.path.exists("/proc/self/clear_refs"):
        with open("/proc/self/clear_refs", "w", encoding="ascii") as switch:
            switch.write("5")


def use_one_core() -> None:
    """Run on the last core that this process may use; call it before threads are started."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
