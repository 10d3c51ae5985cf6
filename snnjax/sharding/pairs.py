"""Tensor parallelism by pairs of layers: the rules of a pair, and products that know their cut."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import jax
from jax import Array
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

MODEL = "model"
Cut = Literal["inputs", "outputs"]


def pair_rules(
    first: str, between: str, second: str, *, kernel: int = 0
) -> tuple[tuple[str, P], ...]:
    """Cut the first layer of a pair by outputs over "model", and the second by inputs.

    Norms and neurons between them then see the channels of their device alone, and one sum joins
    the outputs of the second: of all ways to cut two layers this sends the least. On the way back
    one sum joins the gradient by the input of the first.

    Args:
      first, second: patterns of the kernels. between: pattern of what has one number a channel
        between them, such as norms, neurons, and a bias of the first.
      kernel: axes of a kernel before its inputs and outputs: 0 for linear and delayed layers
        ([I, O] and [I, O, Kc]), 1 for sparse convolutions [K, I, O], 2 for images [K, K, I, O].

    >>> pair_rules("^fc1/kernel$", "^fc1/bias$", "^fc2/kernel$")[2] == ("^fc2/kernel$", P("model"))
    True
    """
    space = (None,) * kernel
    return (
        (first, P(*space, None, MODEL)),
        (between, P(MODEL)),
        (second, P(*space, MODEL)),
    )


def model_devices() -> int:
    """Devices of an automatic axis "model" of the mesh around this trace; 1 where there is none."""
    mesh = jax.sharding.get_abstract_mesh()
    automatic = [
        name
        for name, kind in zip(mesh.axis_names, mesh.axis_types, strict=True)
        if kind == AxisType.Auto
    ]
    return mesh.shape[MODEL] if MODEL in automatic else 1


def cut_product(
    function: Callable[..., Array],
    x: Any,
    kernels: Any,
    *rest: Any,
    cut: Cut | None,
    kernel: int = 0,
) -> Array:
    """`function(x, kernels, *rest)`, where each device of "model" takes its part of the kernels.

    The partitioner sees plain products by itself. It does not see through loops: it joins what each
    turn of a loop gives, or gathers what the loop cuts. Here the loop runs on the part of a device
    alone, and one sum joins the results (cut by inputs) or the gradients by `x` (cut by outputs).
    Values are those of `function`, up to the order of a sum, wherever the arrays lie; without an
    automatic axis "model", or one that does not divide the channels, it is just called.

    Args:
      function: bilinear in `x` and `kernels`.
      x: arrays with channels last. kernels: arrays as of `pair_rules`, whose `kernel` it shares.
      rest: what every device needs whole.
      cut: "inputs", "outputs", or None for products that are never cut.

    Returns:
      The array that `function` returns, with as many axes as those of `x` and channels last.
    """
    devices = model_devices()
    axis = kernel + (cut == "outputs")
    if (
        cut is None
        or devices == 1
        or any(k.shape[axis] % devices for k in jax.tree.leaves(kernels))
    ):
        return function(x, kernels, *rest)
    part = P(*(None,) * axis, MODEL)
    channels = jax.tree.map(lambda a: P(*(None,) * (a.ndim - 1), MODEL), x)
    if cut == "outputs":
        whole = jax.tree.leaves(channels)[0]
        return _by_parts(function, (P(), part, *(P(),) * len(rest)), whole)(x, kernels, *rest)
    parts = _by_parts(
        lambda *args: function(*args)[None], (channels, part, *(P(),) * len(rest)), P(MODEL)
    )
    return parts(x, kernels, *rest).sum(0)


def _by_parts(function: Callable[..., Array], in_specs: Any, out_specs: Any) -> Any:
    return jax.shard_map(
        function, in_specs=in_specs, out_specs=out_specs, axis_names={MODEL}, check_vma=False
    )
