"""Named shardings: replicated, over the data axis, over the model axis, or over both."""

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
"""Entries below which "fsdp" replicates a parameter: gathering it would cost more than it saves.
"""


def replicated(params: Any, mesh: Mesh, rules: Rules | None = None, stats: Any = ()) -> Any:
    """Replicate every parameter on every device."""
    del mesh, rules, stats
    return jax.tree.map(lambda _: P(), params)


def fsdp(params: Any, mesh: Mesh, rules: Rules | None = None, stats: Any = ()) -> Any:
    """Shard every parameter of `SMALLEST` entries or more over "data".

    It is sharded along its largest dimension that the devices divide, the first in case of a tie.

    Raises:
      ValueError: the number of devices divides no dimension of a parameter.
    """
    del rules, stats
    return jax.tree_util.tree_map_with_path(
        partial(_over_data, mesh), params, replicated(params, mesh)
    )


def tensor(params: Any, mesh: Mesh, rules: Rules | None = None, stats: Any = ()) -> Any:
    """Shard the kernels over "model", by the rules of the model.

    Raises:
      ValueError: the model has no rules, or they do not match its parameters or the mesh.
    """
    if not rules:
        raise ValueError(
            "this model has no rules to shard its kernels over the axis 'model'. Call "
            "snnjax.nn.pair in its __init__, or choose the sharding 'replicated' or 'fsdp'. "
            "If its layers are not from this library, give it its own tensor_rules, such as "
            "(('first/kernel$', P(None, 'model')), ('.*', P()))."
        )
    return specs_by_rules(rules, params, mesh, stats=stats)


def mixed(params: Any, mesh: Mesh, rules: Rules | None = None, stats: Any = ()) -> Any:
    """Shard like "tensor", and along another dimension like "fsdp", where one is divisible."""
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
    """The partition specs of the parameters under a named preset.

    Args:
      name: one of `PRESETS`.
      params: a tree of arrays, or of `jax.ShapeDtypeStruct`.
      mesh: the device mesh.
      rules: how the model's kernels are sharded over "model"; used by "tensor" and "mixed" only.
      stats: the other arrays of the model, which rules may match too.

    Raises:
      ValueError: the preset is unknown, does not fit the parameters, or does not use the axis
        "model" of the mesh.
    """
    if name not in PRESETS:
        raise ValueError(f"sharding must be one of {', '.join(PRESETS)}; got {name!r}.")
    specs = PRESETS[name](params, mesh, rules, stats)
    size = mesh.shape.get("model", 1)
    if size > 1 and not any("model" in spec for spec in jax.tree.leaves(specs)):
        raise ValueError(
            f"the sharding {name!r} does not use the {size} devices of the axis 'model'. "
            "Choose 'tensor' or 'mixed', or give all devices to 'data'."
        )
    return specs


def stats_specs(name: str, stats: Any, mesh: Mesh, rules: Rules | None = None) -> Any:
    """The specs of norm statistics: sharded over "model" where a rule matches, else replicated.

    Rules are written for parameters, so statistics that no rule matches are replicated. So are
    those with fewer axes than their rule, such as counters.
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
    """`spec` with "data" added at the largest dimension that is unsharded and divisible."""
    size = mesh.shape["data"]
    if leaf.size < SMALLEST or size == 1:
        return spec
    entries = [*spec, *[None] * (leaf.ndim - len(spec))]
    fitting = [d for d in range(leaf.ndim) if entries[d] is None and leaf.shape[d] % size == 0]
    if not fitting and any(entries):
        return spec  # at least it is sharded over "model"
    if not fitting:
        raise ValueError(
            f"{parameter_path(keys)!r} with shape {tuple(leaf.shape)} has no dimension that the "
            f"{size} devices of 'data' divide. Use another size of 'data', or a sharding without "
            "fsdp."
        )
    entries[max(fitting, key=lambda d: leaf.shape[d])] = "data"
    return P(*entries)
