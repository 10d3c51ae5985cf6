"""Synaptic operations of weighted layers, counted by layer type from what they receive."""

from __future__ import annotations

import functools
from typing import Any

import jax
import numpy as np
from flax import nnx
from jax import Array

from snnjax.metrics import LayerActivity, dense_activity
from snnjax.nn.neurons.population import Population

Counts = tuple[LayerActivity, ...]


@functools.singledispatch
def count_inputs(
    layer: Any, name: str, *inputs: Any, state: Any = None, out: Any = None, **named: Any
) -> Counts | None:
    """What a layer received, for its synaptic operations.

    The library's layers and `nnx.Linear`, `nnx.LinearGeneral`, `nnx.Conv` and `nnx.Embed` are
    counted; register a function for others:

        @count_inputs.register
        def _(layer: MyLayer, name, x, **_):
            return (snnjax.metrics.dense_activity(name, x, layer.out_features),)

    Args:
      layer: any module. name: its path.
      inputs, named: what it was called with.
      state: the state before the call, of a layer with state. out: what the layer returned.

    Returns:
      One `LayerActivity` for each of its products; none for a layer without matrices. None if the
      layer has matrices among its parameters, or is a function, and none is registered for it.
    """
    own = isinstance(layer, Population)  # constants of branches are matrices, and no synapses
    known = isinstance(layer, nnx.Module) and (own or not holds_matrices(layer))
    return () if known else None


def holds_matrices(layer: Any) -> bool:
    """Whether a module has a parameter of two axes or more."""
    return any(leaf.ndim > 1 for leaf in jax.tree.leaves(nnx.state(layer, nnx.Param)))


def own_matrices(layer: nnx.Module) -> bool:
    """Whether a module itself, not one of its parts, has a parameter of two axes or more."""
    return any(isinstance(own, nnx.Param) and own.ndim > 1 for own in vars(layer).values())


@count_inputs.register
def _(layer: nnx.Linear, name: str, x: Array, **_: Any) -> Counts:
    return (dense_activity(name, x, layer.out_features),)


@count_inputs.register
def _(layer: nnx.LinearGeneral, name: str, x: Array, **_: Any) -> Counts | None:
    if layer.axis != (-1,) or layer.batch_axis:
        return None
    return (dense_activity(name, x, int(np.prod(layer.out_features))),)


@count_inputs.register
def _(layer: nnx.Embed, name: str, *_: Any, **__: Any) -> Counts:
    return ()  # rows are looked up, not multiplied


@count_inputs.register(nnx.Conv)
@count_inputs.register(nnx.ConvTranspose)
def _(layer: Any, name: str, x: Array, **_: Any) -> Counts | None:
    if layer.mask is not None:
        return None
    options = {option: _fixed(getattr(layer, option)) for option in _GEOMETRY[type(layer)]}
    places = x.shape[-1 - len(layer.kernel_size) : -1]
    degree = conv_outdegree(type(layer), places, tuple(options.items()))
    outputs = layer.out_features // getattr(layer, "feature_group_count", 1)
    return (dense_activity(name, with_steps(x, len(places)), outputs, degree),)


def with_steps(x: Array, places: int) -> Array:
    """`x` [T, B, ..., C] with that many axes between batch and channels; a single step gets T."""
    return x[None] if x.ndim == places + 2 else x


_SHARED = ("kernel_size", "strides", "padding", "kernel_dilation")
_GEOMETRY: dict[type, tuple[str, ...]] = {
    nnx.Conv: (*_SHARED, "input_dilation"),
    nnx.ConvTranspose: (*_SHARED, "transpose_kernel"),
}


@functools.lru_cache(maxsize=256)
def conv_outdegree(
    kind: type, places: tuple[int, ...], options: tuple[tuple[str, Any], ...]
) -> np.ndarray:
    """How many outputs of a convolution of Flax read each input place, int32 [*places].

    It is the gradient of the summed output of a single channel with a kernel of ones, so every
    padding and dilation is that of the layer itself.

    >>> options = (("kernel_size", (3,)), ("strides", 2), ("padding", "VALID"))
    >>> conv_outdegree(nnx.Conv, (6,), options).tolist()
    [1, 1, 2, 1, 1, 0]
    """
    with jax.ensure_compile_time_eval():
        ones = nnx.initializers.ones
        conv = kind(1, 1, **dict(options), use_bias=False, kernel_init=ones, rngs=nnx.Rngs(0))
        degree = jax.grad(lambda x: conv(x).sum())(np.zeros((1, *places, 1), np.float32))
        return np.asarray(degree).reshape(places).astype(np.int32)


def _fixed(value: Any) -> Any:
    """Lists as tuples, so that options can be compared."""
    return tuple(_fixed(v) for v in value) if isinstance(value, (list, tuple)) else value
