"""A mesh of devices from a line of text, such as ``data=4,model=2``."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh

AXES = ("data", "model")
"""Allowed axis names: "data" shards the batch, "model" shards channels."""


def mesh_axes(text: str) -> dict[str, int]:
    """The axis sizes given in `text`; at most one is -1, for the remaining devices.

    An axis "data" of size 1 is added if missing: the batch is always sharded over it.

    Raises:
      ValueError: `text` is not a list of axis=size, or an axis is repeated or unknown.

    >>> mesh_axes("data=-1,model=2"), mesh_axes("model=2")
    ({'data': -1, 'model': 2}, {'data': 1, 'model': 2})
    """
    axes: dict[str, int] = {}
    for part in text.split(",") if isinstance(text, str) else [repr(text)]:
        match = re.fullmatch(r"\s*([^=\s]+)\s*=\s*(-?\d+)\s*", part)
        if match is None:
            raise ValueError(
                f"a mesh is a comma-separated list of axis=size, such as 'data=4,model=2' or "
                f"'data=-1'; got {text!r}."
            )
        name, size = match[1], int(match[2])
        if name not in AXES:
            raise ValueError(
                f"the axes of a mesh are {' and '.join(AXES)}; got {name!r} in {text!r}."
            )
        if name in axes:
            raise ValueError(f"the mesh {text!r} names {name!r} twice; give it one size.")
        if size != -1 and size < 1:
            raise ValueError(
                f"the size of {name!r} must be at least 1, or -1 for the remaining devices; got "
                f"{size} in {text!r}."
            )
        axes[name] = size
    if list(axes.values()).count(-1) > 1:
        raise ValueError(f"one axis of a mesh may be -1; got {text!r}. Give the other a size.")
    return axes if "data" in axes else {"data": 1, **axes}


def parse_mesh(text: str, devices: Sequence[Any] | None = None) -> Mesh:
    """The mesh that `text` describes, over the first of `devices`, with automatic axes.

    Args:
      text: comma-separated axis=size; one size may be -1, for the remaining devices.
      devices: the devices to use; None takes all.

    Raises:
      ValueError: `text` is not a valid mesh, or does not fit the number of devices.

    >>> dict(parse_mesh("data=1").shape)
    {'data': 1}
    """
    axes = mesh_axes(text)
    present = jax.devices() if devices is None else list(devices)
    fixed = math.prod(size for size in axes.values() if size != -1)
    if fixed > len(present):
        raise ValueError(
            f"the mesh {text!r} needs {fixed} devices, but there are {len(present)}. Use a smaller "
            "mesh; on a CPU, raise JAX_NUM_CPU_DEVICES."
        )
    rest = len(present) // fixed
    if -1 in axes.values() and len(present) % fixed:
        raise ValueError(
            f"the sizes of the mesh {text!r} multiply to {fixed}, which does not divide the "
            f"{len(present)} available devices. Give sizes that do, or replace -1 by a size "
            f"of at most {rest}."
        )
    sizes = tuple(rest if size == -1 else size for size in axes.values())
    grid = np.asarray(present[: math.prod(sizes)]).reshape(sizes)
    return Mesh(grid, tuple(axes), axis_types=(AxisType.Auto,) * len(sizes))
