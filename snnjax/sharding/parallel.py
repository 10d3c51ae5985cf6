"""Products whose kernels are sharded over a mesh axis "model"."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import jax
from jax import Array
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

MODEL = "model"
"""Name of the mesh axis of tensor parallelism."""

Parallel = Literal["column", "row", "channel"]
"""How a layer is sharded over "model": by its outputs ("column"), by its inputs ("row"), or by
channel, for parameters with one number per channel."""


def model_devices() -> int:
    """The size of the automatic axis "model" of the surrounding mesh; 1 without such an axis."""
    mesh = jax.sharding.get_abstract_mesh()
    automatic = [
        name
        for name, kind in zip(mesh.axis_names, mesh.axis_types, strict=True)
        if kind == AxisType.Auto
    ]
    return mesh.shape[MODEL] if MODEL in automatic else 1


def sharded_product(
    function: Callable[..., Array],
    x: Any,
    kernels: Any,
    *rest: Any,
    parallel: Parallel | None,
    kernel: int = 0,
) -> Array:
    """`function(x, kernels, *rest)`, with the kernels sharded over the devices of "model".

    The partitioner handles plain products by itself, but not loops: it reduces the result of every
    iteration, or gathers the arrays that the loop slices. Here the loop runs on the shard of each
    device, and one sum joins the results ("row") or the gradients with respect to `x` ("column").
    Values are those of `function`, up to the order of summation, for any placement of the arrays.
    Without an automatic axis "model" that divides the channels, `function` is called as it is.

    Args:
      function: bilinear in `x` and `kernels`.
      x: arrays with channels last.
      kernels: arrays with `kernel` axes before their inputs and outputs: 0 for linear and delayed
        layers ([I, O] and [I, O, Kc]), 1 for sparse convolutions [K, I, O].
      rest: arguments that every device needs in full.
      parallel: "row", "column", or None for products that are never sharded.

    Returns:
      The array that `function` returns, with as many axes as `x` and channels last.
    """
    devices = model_devices()
    axis = kernel + (parallel == "column")
    if (
        parallel is None
        or devices == 1
        or any(k.shape[axis] % devices for k in jax.tree.leaves(kernels))
    ):
        return function(x, kernels, *rest)
    part = P(*(None,) * axis, MODEL)
    channels = jax.tree.map(lambda a: P(*(None,) * (a.ndim - 1), MODEL), x)
    if parallel == "column":
        outputs = jax.tree.leaves(channels)[0]
        return _by_parts(function, (P(), part, *(P(),) * len(rest)), outputs)(x, kernels, *rest)
    parts = _by_parts(
        lambda *args: function(*args)[None], (channels, part, *(P(),) * len(rest)), P(MODEL)
    )
    return parts(x, kernels, *rest).sum(0)


def _by_parts(function: Callable[..., Array], in_specs: Any, out_specs: Any) -> Any:
    return jax.shard_map(
        function, in_specs=in_specs, out_specs=out_specs, axis_names={MODEL}, check_vma=False
    )
