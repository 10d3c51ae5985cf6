"""Statistics of a batch, which the devices that share it must sum."""

from __future__ import annotations

from typing import Any

import jax
from flax import nnx


def unsummed(layer: nnx.Module, axis_name: str) -> dict[str, Any]:
    """The values of the variables of a layer that its call could change on each device alone.

    Excluded are parameters, the counters of random keys, which agree on all devices, and what an
    `nnx.BatchNorm` built with this `axis_name` sums itself.

    >>> list(unsummed(nnx.BatchNorm(2, rngs=nnx.Rngs(0)), "data"))
    ['mean', 'var']
    >>> list(unsummed(nnx.BatchNorm(2, axis_name="data", rngs=nnx.Rngs(0)), "data"))
    []
    """
    found = {}
    for path, module in nnx.iter_modules(layer):
        if isinstance(module, nnx.BatchNorm) and module.axis_name == axis_name:
            continue
        for name, value in vars(module).items():
            if isinstance(value, nnx.Variable) and not isinstance(value, nnx.Param | nnx.RngState):
                found[".".join(map(str, (*path, name)))] = value.get_value()
    return found


def check_summed(path: str, layer: nnx.Module, before: dict[str, Any], axis_name: str) -> None:
    """Raise if a call changed variables of a layer that cannot sum over the mesh axis.

    Args:
      path, layer: the layer after its call.
      before: `unsummed` before it. axis_name: the axis over which the batch is sharded.
    """
    after = unsummed(layer, axis_name)
    changed = [name for name, value in after.items() if value is not before.get(name)]
    if not changed:
        return
    fix = (
        f"or build it with axis_name={axis_name!r}"
        if isinstance(layer, nnx.BatchNorm)
        else "or give its call a parameter `axis_name` and average over it with jax.lax.pmean"
    )
    raise ValueError(
        f"{path}: a {type(layer).__name__} updates {', '.join(map(repr, changed))} by the rows of "
        f"one device, but the batch is sharded over {jax.lax.psum(1, axis_name)} along "
        f"{axis_name!r}. Use snnjax.nn.BatchNorm, {fix}."
    )
