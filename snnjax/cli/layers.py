"""Compile and time each layer of a model separately, with the arguments of its calls."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from snnjax.nn import inputs_of
from snnjax.nn.found import split_arrays
from snnjax.nn.run import Options, traverse


class Cost(NamedTuple):
    """XLA's cost estimates for a compiled program, and its measured time.

    Attributes:
      milliseconds: median over the runs.
      flops: floating-point operations; the body of a loop counts once.
      bytes_accessed: bytes read and written by all its operations.
      temporary_bytes: scratch memory in addition to inputs and outputs.
    """

    milliseconds: float
    flops: float
    bytes_accessed: float
    temporary_bytes: int


class LayerCall(NamedTuple):
    """A recorded call of a layer.

    Attributes:
      path: path of the layer in the model, e.g. ``stages.0.conv``.
      kind: its class.
      graphdef, state: the layer, as `flax.nnx.split` gives it.
      arrays: the array leaves of its arguments.
      arguments: function from array leaves to (args, kwargs).
    """

    path: str
    kind: str
    graphdef: Any
    state: Any
    arrays: list[jax.Array]
    arguments: Callable[[Sequence[Any]], tuple[tuple[Any, ...], dict[str, Any]]]

    def same_program(self) -> Hashable:
        """Equal for calls that compile to the same program."""
        leaves, tree = jax.tree.flatten((self.state, self.arguments([None] * len(self.arrays))))
        static = tuple(repr(leaf) for leaf in leaves if not _is_array(leaf))
        shapes = tuple((x.shape, str(x.dtype)) for x in [*filter(_is_array, leaves), *self.arrays])
        return self.kind, self.graphdef, tree, static, shapes


def _is_array(leaf: Any) -> bool:
    return isinstance(leaf, (jax.Array, np.ndarray))


def layer_calls(
    model: Any, inputs: dict[str, Any], *, train: bool = True, key: Any = None
) -> list[LayerCall]:
    """Every call of a layer of `model`, in order, with the values of its arguments.

    Args:
      model: a `snnjax.nn.Module`.
      inputs: its named inputs, `x` among them; traced once under `jax.jit`.
      train, key: as in a call of the model.
    """
    graphdef, state = nnx.split(model)
    arrays, rebuild = split_arrays(inputs)

    def traced(state: Any, arrays: list[Any]) -> Any:
        own, given = nnx.merge(graphdef, state), rebuild(arrays)
        named = inputs_of(own, {name: x for name, x in given.items() if name != "x"})
        return traverse(own, None, (given["x"],), named, Options(train, watch=True), key)[1].watched

    return [
        LayerCall(c.name, c.kind, c.graphdef, c.state, c.arrays, c.arguments)
        for c in jax.jit(traced)(state, arrays)
    ]


def _inexact(tree: Any) -> list[Any]:
    return [x for x in jax.tree.leaves(tree) if jnp.issubdtype(jnp.result_type(x), jnp.inexact)]


def forward(call: LayerCall) -> Callable[[Any, list[Any]], list[Any]]:
    """`f(state, arrays) -> outputs`: the layer on its own."""

    def run(state: Any, arrays: list[Any]) -> list[Any]:
        args, kwargs = call.arguments(arrays)
        return jax.tree.leaves(nnx.merge(call.graphdef, state)(*args, **kwargs))

    return run


def gradient(call: LayerCall) -> Callable[[Any, list[Any]], Any]:
    """`f(state, arrays)`: the gradient of the outputs' sum, for parameters and real inputs."""
    run = forward(call)

    def gradients(state: Any, arrays: list[Any]) -> Any:
        leaves, treedef = jax.tree.flatten((state, arrays))
        real = [i for i, x in enumerate(leaves) if jnp.issubdtype(x.dtype, jnp.inexact)]

        def loss(values: list[Any]) -> Any:
            filled = list(leaves)
            for i, value in zip(real, values, strict=True):
                filled[i] = value
            return sum(jnp.sum(out) for out in _inexact(run(*jax.tree.unflatten(treedef, filled))))

        return jax.grad(loss)([leaves[i] for i in real])

    return gradients


def compiled_cost(compiled: Any, run: Callable[[], Any], runs: int) -> Cost:
    """The cost of a compiled program; `run` calls it once, with its own arguments."""
    jax.block_until_ready(run())
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        jax.block_until_ready(run())
        times.append(time.perf_counter() - start)
    analysis = compiled.cost_analysis() or {}
    memory = compiled.memory_analysis()
    return Cost(
        1e3 * statistics.median(times),
        float(analysis.get("flops", 0.0)),
        float(analysis.get("bytes accessed", 0.0)),
        int(getattr(memory, "temp_size_in_bytes", 0)),
    )


def function_cost(function: Callable, *args: Any, runs: int = 5) -> Cost:
    """Compile `function` for these arguments and measure it.

    >>> cost = function_cost(lambda x: x @ x, jnp.ones((8, 8)), runs=1)
    >>> cost.flops >= 2 * 8**3
    True
    """
    compiled = jax.jit(function).lower(*args).compile()
    return compiled_cost(compiled, lambda: compiled(*args), runs)
