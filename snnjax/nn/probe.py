"""Inspect the outputs of a model's layers, by path, without changing the model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from flax import nnx

from snnjax.nn.module import Module
from snnjax.nn.neurons.population import nearest
from snnjax.nn.paths import join
from snnjax.nn.repeat import Repeat
from snnjax.nn.run import Options, State, parameters_of, traverse
from snnjax.nn.stateful import forgotten_state


def probe(
    model: Module, paths: Sequence[str]
) -> Callable[..., tuple[tuple[State, Any], dict[str, Any]]]:
    """The model as a function that also returns what some of its layers return.

        probe(model, paths)(*args) = (model(*args), {path: what the layer at path returned})

    Works inside `jax.jit`, `jax.vmap` and `jax.grad`, under `remat` and in the blocks of a
    `Repeat`, since recorded values leave the traversal as results. For the state inside a layer
    give its path with a field behind a colon: `"neurons:v"` records v after every step.

    Args:
      model: any `snnjax.nn.Module`.
      paths: dotted paths of layers, such as "fc1" or "blocks.0.conv"; with ":field" the state of a
        layer over time, by the names that `record` of `snnjax.unroll.unroll` takes.

    Returns:
      A function with the arguments of the model. A layer with state gives (state, output). One that
      is called several times gives a list, one that is not called is left out.

    Raises:
      ValueError: an unknown layer (with the nearest name), or a field of a layer that has none.
      TypeError: the model is not a `snnjax.nn.Module`.

    >>> import jax.numpy as jnp
    >>> from snnjax.nn import LIF, Sequential
    >>> net = Sequential(LIF(2), lambda z: z.sum())
    >>> (_, out), seen = probe(net, ["layers.0", "layers.0:v"])(None, jnp.ones((5, 3, 2)))
    >>> state, spikes = seen["layers.0"]
    >>> spikes.shape, seen["layers.0:v"].shape, float(out) == float(spikes.sum())
    ((5, 3, 2), (5, 3, 2), True)
    """
    known = layers_of(model)
    for path in paths:
        layer, colon, _ = path.partition(":")
        if layer not in known:
            raise ValueError(
                f"{path!r} names no layer of {type(model).__name__}; {nearest(layer, known)}"
            )
        if colon and not records(known[layer]):
            able = ", ".join(at for at, module in known.items() if records(module)) or "none"
            raise ValueError(
                f"{path!r}: {layer!r}, a {type(known[layer]).__name__}, records no fields, for its "
                f"call takes no `record`. Layers that do: {able}. Omit the colon to see what "
                "it returns."
            )

    def call(
        state: State | None, *inputs: Any, train: bool = False, key: Any = None, **named: Any
    ) -> tuple[tuple[State, Any], dict[str, Any]]:
        if not inputs:
            raise forgotten_state(model)
        options = Options(
            train,
            named.pop("axis_name", None),
            remat=named.pop("remat", "none"),
            taps=frozenset(paths),
        )
        out, found = traverse(model, state, inputs, named, options, key)
        seen: dict[str, list[Any]] = {}
        for entry in found.seen:
            seen.setdefault(entry.name, []).append(entry.value)
        return (found.state, out), {path: v[0] if len(v) == 1 else v for path, v in seen.items()}

    return call


def layers_of(model: Module) -> dict[str, nnx.Module]:
    """Every module inside a model by its path, the blocks of a `Repeat` by number.

    Raises:
      TypeError: the model is not a `snnjax.nn.Module`.
    """
    if not isinstance(model, Module):
        raise TypeError(
            f"only a snnjax.nn.Module shows what its layers do; got a {type(model).__name__}. "
            "Derive it from snnjax.nn.Module and call its parts in forward(self, run, x)."
        )
    found: dict[str, nnx.Module] = {}
    for path, module in nnx.iter_modules(model):
        if path and not isinstance(module, nnx.List):
            for name in _numbered(model, path):
                found[name] = module
    return found


def _numbered(model: Any, path: tuple[Any, ...]) -> list[str]:
    """The paths of a module during a run: one per block of stacked blocks."""
    names: list[str] = [""]
    node: Any = model
    for part in path:
        if isinstance(node, Repeat) and part == "block":
            names = [join(name, str(i)) for name in names for i in range(node.count)]
        else:
            names = [join(name, str(part)) for name in names]
        node = _part(node, part)
    return names


def _part(node: Any, name: Any) -> Any:
    """An attribute of a module, or an element of a list of modules."""
    return node[name] if isinstance(name, int) else getattr(node, name)


def records(layer: Any) -> bool:
    """Whether a layer takes `record` when it is called."""
    return not isinstance(layer, Module) and "record" in parameters_of(type(layer))
