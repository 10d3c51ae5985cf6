"""Tensor parallelism declared on the layers, from which the sharding rules follow."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flax import nnx
from jax.sharding import PartitionSpec as P

from snnjax.sharding import MODEL, Parallel, Rules

ChannelAxes = Mapping[str, tuple[int | None, int | None]]
"""Of each parameter of a layer, the axis of its inputs and that of its outputs, from the end."""


class Stacked(nnx.Module):
    """A module that holds blocks whose arrays are stacked along a first axis."""


@functools.singledispatch
def channel_axes(layer: nnx.Module) -> ChannelAxes:
    """The input axis and the output axis of each parameter of a weighted layer.

    Axes are counted from the end; None is for a parameter without inputs, or without outputs.
    Layers of other types register a function.

    Raises:
      ValueError: nothing is registered for the type of the layer.
    """
    raise ValueError(
        f"{type(layer).__name__} cannot be sharded over the mesh axis 'model': it does not "
        "declare which axes of its parameters are inputs and outputs. Register them with "
        "@snnjax.nn.channel_axes.register."
    )


@channel_axes.register
def _(layer: nnx.Linear) -> ChannelAxes:
    return {"kernel": (-2, -1), "bias": (None, -1)}


@channel_axes.register
def _(layer: nnx.Conv) -> ChannelAxes:
    return {"kernel": (-2, -1), "bias": (None, -1)}


@channel_axes.register
def _(layer: nnx.LinearGeneral) -> ChannelAxes:
    outputs = len(layer.out_features)
    return {"kernel": (-outputs - 1, -outputs), "bias": (None, -outputs)}


def shard_as(layer: nnx.Module, parallel: Parallel | None) -> None:
    """Declare how a layer is sharded over a mesh axis "model"; None keeps it replicated.

    "column" shards its outputs, "row" its inputs, and "channel" parts with one number per channel,
    such as norms and neurons between the two.
    """
    layer.parallel = parallel  # type: ignore[attr-defined]


def pair(first: nnx.Module, between: Sequence[nnx.Module], second: nnx.Module) -> None:
    """Shard a pair of layers over "model": the first by outputs, the second by inputs.

    Norms and neurons between them then process only the channels of their device, and one sum
    combines the outputs of the second, the least communication of any way to shard two layers. In
    the backward pass one sum combines the gradient by the input of the first.

    Args:
      first, second: weighted layers. between: modules with one number per channel between them.

    Shoeybi et al., "Megatron-LM: training multi-billion parameter language models using model
    parallelism", 2019 (arXiv 1909.08053), for transformers.

    >>> from snnjax.nn import LIF, Sequential
    >>> rngs = nnx.Rngs(0)
    >>> net = Sequential(nnx.Linear(2, 4, rngs=rngs), LIF(4), nnx.Linear(4, 2, rngs=rngs))
    >>> pair(net.layers[0], [net.layers[1]], net.layers[2])
    >>> [path for path, _ in net.tensor_rules()][:2]
    ['^layers/0/kernel$', '^layers/0/bias$']
    """
    shard_as(first, "column")
    for layer in between:
        shard_as(layer, "channel")
    shard_as(second, "row")


def parallel_of(layer: Any) -> Parallel | None:
    """How a layer is sharded over "model"; None if undeclared."""
    return vars(layer).get("parallel")


def rules_of(model: nnx.Module) -> Rules:
    """The sharding rules that follow from `pair` declarations; empty if there are none.

    Stacked blocks of `Repeat` have one axis more, which is not sharded.
    """
    rules = [rule for path, layer in _named(model) for rule in _rules(model, path, layer)]
    return (*rules, (".*", P())) if rules else ()


def _named(model: nnx.Module) -> Iterator[tuple[tuple[Any, ...], nnx.Module]]:
    for path, layer in nnx.iter_modules(model):
        if parallel_of(layer) is not None:
            yield path, layer


def _rules(model: Any, path: tuple[Any, ...], layer: Any) -> Iterator[tuple[str, P]]:
    prefix = "".join(f"{re.escape(str(name))}/" for name in path)
    parallel = parallel_of(layer)
    if parallel == "channel":
        yield f"^{prefix}", P(*(None,) * stacked_axes(model, path), MODEL)
        return
    names: dict[P, list[str]] = {}
    for name, (inputs, outputs) in channel_axes(layer).items():
        leaf, axis = _leaf(layer, name), inputs if parallel == "row" else outputs
        if leaf is not None and axis is not None:
            names.setdefault(P(*(None,) * (leaf.ndim + axis), MODEL), []).append(name)
    for spec, alike in names.items():
        pattern = alike[0] if len(alike) == 1 else f"({'|'.join(alike)})"
        yield f"^{prefix}{pattern}$", spec


def _leaf(layer: Any, name: str) -> Any:
    for part in name.split("/"):
        layer = getattr(layer, part)
    return layer


def stacked_axes(model: Any, path: tuple[Any, ...]) -> int:
    """The number of stacking axes in front of the axes of a layer's own parameters."""
    count, node = 0, model
    for name in path:
        count += isinstance(node, Stacked)
        node = node[name] if isinstance(name, int) else getattr(node, name)
    return count
