"""Look into a model: what its layers return, by path, without changing it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import jax
from flax import nnx
from jax.core import Tracer
from jax.extend.core import get_opaque_trace_state

from snnjax.nn.neurons.population import nearest


class _Tap:
    """Stands where a layer stood: is called instead of it, and is it in everything else."""

    def __init__(self, layer: Any, call: Callable[..., Any]):
        self.layer, self.call = layer, call

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.call(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.layer, name)


def probe(model: nnx.Module, paths: Sequence[str]) -> Callable[..., tuple[Any, dict[str, Any]]]:
    """The model as a function that also returns what some of its layers return.

        probe(model, paths)(*args) = (model(*args), {path: what the layer at path returned})

    Works inside `jax.jit`, `jax.vmap` and `jax.grad`, since the copies of the layers are made when
    the function is called and recorded values leave it as results. The model stays as it is; what
    its layers write into their variables is not seen outside. For the state inside a population
    give its path with a field behind a colon: `"neurons:v"` records v after every step.

    Args:
      model: any nnx.Module.
      paths: dotted paths of layers, such as "fc1" or "blocks.0.conv"; with ":field" the state of a
        population over time, by the names that `record` of `snnjax.unroll.unroll` takes.

    Returns:
      A function with the arguments of the model. A layer that is called several times gives a
      list, one that is not called is left out.

    Raises:
      ValueError: no such layer; the nearest name is given. A field of a layer that records none. In
        the call: the model calls the layer inside `jax.lax.scan`, `jax.checkpoint` or alike, where
        values cannot leave; take `record` there.

    >>> import jax.numpy as jnp
    >>> from snnjax.nn import LIF
    >>> class Net(nnx.Module):
    ...     def __init__(self):
    ...         self.cells = LIF(2)
    ...     def __call__(self, x):
    ...         return self.cells(self.cells.init_state(x.shape[1:-1]), x)[1].sum()
    >>> out, seen = probe(Net(), ["cells", "cells:v"])(jnp.ones((5, 3, 2)))
    >>> state, spikes = seen["cells"]
    >>> spikes.shape, seen["cells:v"].shape, float(out) == float(spikes.sum())
    ((5, 3, 2), (5, 3, 2), True)
    """
    for path in paths:
        layer, colon, _ = path.partition(":")
        found = _find(model, layer)
        if colon and not _records(found):
            modules = {".".join(map(str, at)): module for at, module in nnx.iter_modules(model)}
            known = [at for at, module in modules.items() if at and _records(module)]
            raise ValueError(
                f"{path!r}: {layer!r}, a {type(found).__name__}, records no fields, for it takes "
                f"no `record`. Layers that do: {', '.join(known) or 'none'}. Leave out the colon "
                "to see what it returns."
            )

    def run(*args: Any, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        copy, seen = nnx.merge(*nnx.split(model)), {}
        for layer in dict.fromkeys(path.partition(":")[0] for path in paths):
            fields = [p.partition(":")[2] for p in paths if p.startswith(f"{layer}:")]
            _tap(copy, layer, fields, layer in paths, seen)
        return copy(*args, **kwargs), seen

    return run


def _tap(model: Any, path: str, fields: list[str], whole: bool, seen: dict[str, Any]) -> None:
    """Put a tap at `path` that writes into `seen`."""
    above, _, name = path.rpartition(".")
    parent = _find(model, above)
    parent = parent.layer if isinstance(parent, _Tap) else parent
    layer, outside = _child(parent, name, path), get_opaque_trace_state(convention="nnx")

    def note(path: str, value: Any) -> None:
        traced = any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(value))
        if traced and get_opaque_trace_state(convention="nnx") != outside:
            raise ValueError(
                f"{path!r} cannot be seen: the model calls the layer inside jax.lax.scan, "
                "jax.checkpoint or another transformation, which values leave as results only. "
                "Call the layer outside of it, over the whole sequence; inside, take `record` of "
                "snnjax.unroll.unroll."
            )
        _note(seen, path, value)

    def call(*args: Any, **kwargs: Any) -> Any:
        asked = tuple(kwargs.pop("record", ()))
        if not fields:
            out = layer(*args, **kwargs, **({"record": asked} if asked else {}))
        else:
            state, (out, records) = layer(*args, record=(*asked, *fields), **kwargs)
            for field in fields:
                note(f"{path}:{field}", records[field])
            out = state, ((out, {name: records[name] for name in asked}) if asked else out)
        if whole:
            note(path, out)
        return out

    tap = _Tap(layer, call)
    if isinstance(parent, (nnx.List, list)):
        parent[int(name)] = tap
    else:
        object.__setattr__(parent, name, tap)


def _records(layer: Any) -> bool:
    """Whether a layer takes `record` when it is called."""
    if not callable(layer):
        return False
    known = inspect.signature(type(layer).__call__).parameters
    return "record" in known or any(p.kind is p.VAR_KEYWORD for p in known.values())


def _note(seen: dict[str, Any], path: str, value: Any) -> None:
    if path not in seen:
        seen[path] = value
    elif isinstance(seen[path], list):
        seen[path].append(value)
    else:
        seen[path] = [seen[path], value]


def _find(model: Any, path: str) -> Any:
    node = model
    for name in path.split(".") if path else ():
        node = _child(node, name, path)
    return node


def _child(node: Any, name: str, path: str) -> Any:
    """The part of a module that one name of a path means."""
    if isinstance(node, (nnx.List, list)):
        known = [str(i) for i in range(len(node))]
        found = node[int(name)] if name in known else None
    else:
        known = [key for key, value in vars(node).items() if callable(value)]
        known += [key for key, value in vars(node).items() if isinstance(value, (nnx.List, list))]
        found = getattr(node, name, None)
    if found is None:
        kind, hint = type(node).__name__, nearest(name, known)
        raise ValueError(f"{path!r} names no layer: {kind} has no {name!r}; {hint}")
    return found
