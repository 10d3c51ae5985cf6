"""The shardings that have a name: whole, over the data axis, over the model axis, over both."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from snnjax.sharding.rules import Rules, check_spec, parameter_path, specs_by_rules

SMALLEST = 1024
"""Entries below which a parameter stays whole under "fsdp": to gather it costs more than it saves.
"""


def replicated(params: Any, mesh: Mesh, rules: Rules | None = None, stats: Any = ()) -> Any:
    """Every parameter whole on every device."""
    del mesh, rules, stats
    return jax.tree.map(lambda _: P(), params)


def fsdp(params: Any, mesh: Mesh, rules: Rules | None = None, stats: Any = ()) -> Any:
    """Every parameter of `SMALLEST` entries or more is cut over "data".

    It is cut along the largest dimension that the devices divide; of equals the first.

    Raises:
      ValueError: the devices divide no dimension of a parameter.
    """
    del rules, stats
    return jax.tree_util.tree_map_with_path(
        partial(_over_data, mesh), params, replicated(params, mesh)
    )


def tensor(params: Any, mesh: Mesh, rules: Rules | None = None, stats: Any = ()) -> Any:
    """The kernels are cut over "model", as the rules of the model say.

    Raises:
      ValueError: the model has no rules, or they do not fit its parameters or the mesh.
    """
    if not rules:
        raise ValueError(
            "this model does not say how its kernels are sharded over the axis 'model'. Call "
            "snnjax.nn.pair in its __init__, or choose the sharding 'replicated' or 'fsdp'. "
            "Give it tensor_rules of its own, such as (('first/kernel$', P(None, 'model')), "
            "('.*', P())), where its layers are not of this library."
        )
    return specs_by_rules(rules, params, mesh, stats=stats)


def mixed(params: Any, mesh: Mesh, rules: Rules | None = None, stats: Any = ()) -> Any:
    """As "tensor", and along another dimension as "fsdp", where the devices divide one."""
    return jax.tree_util.tree_map_with_path(
        partial(_over_data, mesh), params, tensor(params, mesh, rules, stats)
    )


PRESETS: dict[str, Callable[..., Any]] = {
    "replicated": replicated,
    "fsdp": fsdp,
    "tensor": tensor,
    "mixed": mixed,
}
"""Names of shardings; each takes parameters, mesh and rules and returns a tree of specs."""


def preset_specs(
    name: str, params: Any, mesh: Mesh, rules: Rules | None = None, stats: Any = ()
) -> Any:
    """The specs of a preset.

    Args:
      name: one of `PRESETS`.
      params: a tree of arrays, or of `jax.ShapeDtypeStruct`.
      mesh: devices.
      rules: how the model's kernels are cut over "model"; only "tensor" and "mixed" ask for it.
      stats: the other arrays of the model, over which rules may decide instead.

    Raises:
      ValueError: there is no such preset, it does not fit the parameters, or it leaves the axis
        "model" of the mesh without work.
    """
    if name not in PRESETS:
        raise ValueError(f"sharding must be one of {', '.join(PRESETS)}; got {name!r}.")
    specs = PRESETS[name](params, mesh, rules, stats)
    size = mesh.shape.get("model", 1)
    if size > 1 and not any("model" in spec for spec in jax.tree.leaves(specs)):
        raise ValueError(
            f"the sharding {name!r} leaves the {size} devices of the axis 'model' without work. "
            "Choose 'tensor' or 'mixed', or give all devices to 'data'."
        )
    return specs


def stats_specs(name: str, stats: Any, mesh: Mesh, rules: Rules | None = None) -> Any:
    """The specs of norm statistics: as the rules cut their channels over "model", or whole.

    The rules are of parameters, so statistics that no rule names are whole. So are all that have
    fewer axes than their rule, such as counters.
    """

    def spec_of(keys: tuple[Any, ...], leaf: Any) -> P:
        path = parameter_path(keys)
        spec = next((spec for pattern, spec in rules or () if re.search(pattern, path)), P())
        if name not in ("tensor", "mixed") or len(spec) > leaf.ndim:
            return P()
        check_spec(spec, leaf.shape, mesh, f"{path!r}")
        return spec

    return jax.tree_util.tree_map_with_path(spec_of, stats)


def _over_data(mesh: Mesh, keys: tuple[Any, ...], leaf: Any, spec: P) -> P:
    """`spec` with "data" at the largest dimension that is free and divisible."""
    size = mesh.shape["data"]
    if leaf.size < SMALLEST or size == 1:
        return spec
    entries = [*spec, *[None] * (leaf.ndim - len(spec))]
    fitting = [d for d in range(leaf.ndim) if entries[d] is None and leaf.shape[d] % size == 0]
    if not fitting and any(entries):
        return spec  # it is cut over "model" at least
    if not fitting:
        raise ValueError(
            f"{parameter_path(keys)!r} with shape {tuple(leaf.shape)} has no dimension that the "
            f"{size} devices of 'data' divide. Take another size of 'data', or a sharding without "
            "fsdp."
        )
    entries[max(fitting, key=lambda d: leaf.shape[d])] = "data"
    return P(*entries)
