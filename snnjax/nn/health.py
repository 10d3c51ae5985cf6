"""How the layers of a model fire: silent, saturated, on numbers that are none, or well."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from snnjax.metrics import RATE_BAND, PopulationRate, population_rate
from snnjax.nn.delayed import DelayedRecurrent
from snnjax.nn.neurons.population import Population, check_finite
from snnjax.nn.probe import probe
from snnjax.nn.recurrent import Recurrent

RECURRENT = (Recurrent, DelayedRecurrent)


def spike_report(
    model: nnx.Module,
    *args: Any,
    paths: Sequence[str] | None = None,
    band: tuple[float, float] = RATE_BAND,
    **kwargs: Any,
) -> tuple[PopulationRate, ...]:
    """How every spiking layer fires for a batch, in the order in which the model calls them.

    `snnjax.metrics.rate_alarms` makes a sentence with the usual remedy of each row in alarm. NaN
    and infinity in what a layer returns, its last state included, are an alarm of their own. The
    model stays as it is. A model over sparse tensors counts its own activity; see
    `snnjax.metrics.firing_rates`.

    Args:
      model: any nnx.Module over populations.
      args, kwargs: what the model is called with, such as a state and x [T, B, ..., N].
      paths: layers to look at, without fields; None takes all that spike. All calls of one that the
        model calls several times count.
      band: healthy rates.

    Raises:
      ValueError: no layer spikes, an unknown path, one of a layer that does not spike, a layer that
        the model does not call itself, a bad band, or a NaN or infinity in `args`.

    >>> from snnjax.metrics import rate_alarms
    >>> from snnjax.nn import LIF
    >>> class Net(nnx.Module):
    ...     def __init__(self):
    ...         self.cells = LIF(3)
    ...     def __call__(self, state, x):
    ...         return self.cells(state, x)
    >>> net, x = Net(), jnp.full((8, 2, 3), 0.1)
    >>> (row,) = spike_report(net, net.cells.init_state((2,)), x)
    >>> row.name, row.rate, row.silent, row.alarm
    ('cells', 0.0, 1.0, 'silent')
    >>> rate_alarms([row])[0][:48]
    "layer 'cells' is silent: 0.0 % of its outputs ar"
    """
    whole = paths is None and isinstance(model, (Population, *RECURRENT))
    modules = {".".join(map(str, path)): module for path, module in nnx.iter_modules(model)}
    found = _spiking(modules) if paths is None else list(paths)
    if not found:
        raise ValueError(
            f"{type(model).__name__} holds no spiking layer, a Population, Recurrent or "
            "DelayedRecurrent, in its attributes or nnx.Lists; name the layers to look at in "
            "`paths`."
        )
    for path in found:
        _check_path(path, modules)
    for leaf in jax.tree.leaves((args, kwargs)):  # inside jit nobody sees a NaN
        if isinstance(leaf, (jax.Array, np.ndarray)) and jnp.issubdtype(leaf.dtype, jnp.floating):
            check_finite(type(model).__name__, leaf)
    order: list[str] = []
    graphdef, leaves = nnx.split(model)
    inputs, tree = jax.tree.flatten((args, kwargs))
    arrays = [leaf if isinstance(leaf, (jax.Array, np.ndarray)) else None for leaf in inputs]

    @jax.jit
    def run(leaves: Any, arrays: Any) -> dict[str, tuple[list[Any], list[jax.Array]]]:
        merged = nnx.merge(graphdef, leaves)
        filled = [b if a is None else a for a, b in zip(arrays, inputs, strict=True)]
        args, kwargs = jax.tree.unflatten(tree, filled)
        if whole:
            seen = {type(model).__name__: merged(*args, **kwargs)}
        else:
            _, seen = probe(merged, found)(*args, **kwargs)
            _check_called(found, seen)
        order[:] = seen
        return {name: _states_and_outputs(name, value) for name, value in seen.items()}

    calls = run(leaves, arrays)
    rows = []
    for name in order:
        states, outs = calls[name]
        rows.append(population_rate(name, np.concatenate(outs), band=band, state=states))
    return tuple(rows)


def _spikes(module: Any) -> bool | None:
    """Whether a layer spikes; None for one that does not say."""
    inner = module.population if isinstance(module, RECURRENT) else module
    return inner.spiking if isinstance(inner, Population) else None


def _spiking(modules: dict[str, Any]) -> list[str]:
    """The paths of the spiking layers; a population inside a recurrent layer is part of it."""
    inside = {
        f"{path}.population".lstrip(".")
        for path, module in modules.items()
        if isinstance(module, RECURRENT)
    }
    return [path for path, module in modules.items() if _spikes(module) and path not in inside]


def _check_path(path: str, modules: dict[str, Any]) -> None:
    """Refuse fields, and layers that are known not to spike."""
    if ":" in path:
        raise ValueError(
            f"`paths` names layers, without fields; got {path!r}. See membranes with "
            "snnjax.nn.probe."
        )
    if _spikes(modules.get(path)) is False:
        raise ValueError(
            f"{path!r}, a {type(modules[path]).__name__}, does not spike; leave it out. "
            f"Layers that do: {', '.join(_spiking(modules)) or 'none'}."
        )


def _check_called(found: Sequence[str], seen: dict[str, Any]) -> None:
    missing = [path for path in found if path not in seen]
    if missing:
        raise ValueError(
            f"the model does not call {', '.join(map(repr, missing))}, so that nothing is known of "
            "how it fires. Where a layer around it takes its step, name that one in `paths`; leave "
            "out what is not used."
        )


def _states_and_outputs(name: str, value: Any) -> tuple[list[Any], list[jax.Array]]:
    """Of all calls of a layer, from what it returned: (state, out) or with records."""
    calls = value if isinstance(value, list) else [value]
    for call in calls:
        if not isinstance(call, tuple) or len(call) != 2:
            raise ValueError(
                f"{name!r} returned no (state, outputs), as spiking layers do, but a "
                f"{type(call).__name__}; name spiking layers in `paths`."
            )
    outs = [out[0] if isinstance(out, tuple) else out for _, out in calls]
    return [state for state, _ in calls], outs
