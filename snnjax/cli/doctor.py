"""``snnjax doctor``: what this machine offers, and what is missing."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from snnjax.cli.cores import core_count
from snnjax.cli.options import Common, parse
from snnjax.cli.output import console

# Accelerator extras are read off the devices instead: their plugins are named per CUDA version.
HARDWARE_EXTRAS = ("cuda", "tpu")
LOW_DISK_GB = 2.0


@dataclass(frozen=True, kw_only=True)
class DoctorOptions(Common):
    """Options of ``snnjax doctor``."""

    json: bool = False
    """Print one JSON object instead of a table."""


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def requirements() -> tuple[list[str], dict[str, list[str]]]:
    """Core requirements and those of each extra, by name, from the installed metadata."""
    core: list[str] = []
    extras: dict[str, list[str]] = {}
    for line in importlib.metadata.requires("snnjax") or []:
        name = re.split(r"[\s<>=!~;\[(]", line, maxsplit=1)[0]
        extra = re.search(r"extra\s*==\s*['\"]([\w-]+)['\"]", line)
        if extra is None:
            core.append(name)
        else:
            extras.setdefault(extra.group(1), []).append(name)
    return core, extras


def _extra_status(extra: str, packages: list[str]) -> str:
    missing = [name for name in packages if _version(name) is None]
    if not missing:
        return "present"
    return f"missing {', '.join(missing)}: pip install 'snnjax[{extra}]'"


def _devices() -> list[str]:
    import jax

    return [f"{d.platform}:{d.id} {d.device_kind}" for d in jax.devices()]


def _disk() -> str:
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    return f"{free:.1f} GB free here" + (
        f" (low: a checkpoint may not fit; have {LOW_DISK_GB} GB)" if free < LOW_DISK_GB else ""
    )


def diagnose() -> dict[str, dict[str, str]]:
    """All findings, by section: machine, jax, versions, extras."""
    import jax

    core, extras = requirements()
    flags: Any = jax.config  # its attributes are created dynamically
    return {
        "machine": {
            "python": f"{platform.python_version()} ({sys.executable})",
            "platform": platform.platform(),
            "cores": str(core_count()),
            "disk": _disk(),
        },
        "jax": {
            "backend": jax.default_backend(),
            "devices": "; ".join(_devices()),
            "processes": str(jax.process_count()),
            "x64": str(bool(flags.jax_enable_x64)),
            "matmul precision": str(flags.jax_default_matmul_precision or "default"),
            "XLA_FLAGS": os.environ.get("XLA_FLAGS") or "not set",
            "JAX_PLATFORMS": os.environ.get("JAX_PLATFORMS") or "not set",
        },
        "versions": {name: _version(name) or "MISSING" for name in ["snnjax", *core, "jaxlib"]},
        "extras": {
            name: _extra_status(name, packages)
            for name, packages in sorted(extras.items())
            if name not in HARDWARE_EXTRAS
        },
    }


def _tables(findings: dict[str, dict[str, str]]) -> Table:
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for section, rows in findings.items():
        for i, (name, value) in enumerate(rows.items()):
            table.add_row(section if i == 0 else "", name, value)
        table.add_section()
    return table


def run(arguments: list[str]) -> None:
    """Print the findings."""
    options = parse(
        DoctorOptions,
        arguments,
        command="doctor",
        description="Show devices, versions, flags and extras of this machine.",
    )
    findings = diagnose()
    if options.json:
        print(json.dumps(findings))
    else:
        console().print(_tables(findings))
