"""Reports how the layers of a model fire: silent, saturated, non-finite or healthy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from snnjax.metrics import RATE_BAND, PopulationRate, population_rate
from snnjax.nn.found import split_arrays
from snnjax.nn.module import Module, Sequential
from snnjax.nn.neurons.population import check_finite
from snnjax.nn.probe import layers_of, probe
from snnjax.nn.stateful import Stateful
from snnjax.sparse import SparseTensor


def spike_report(
    model: Module | Stateful,
    *args: Any,
    paths: Sequence[str] | None = None,
    band: tuple[float, float] = RATE_BAND,
    **kwargs: Any,
) -> tuple[PopulationRate, ...]:
    """How every spiking layer fires for a batch, in the order in which the model calls them.

    `snnjax.metrics.rate_alarms` makes a sentence with the usual remedy of each row in alarm. NaN
    and infinity in what a layer returns, its last state included, are an alarm of their own. For a
    sparse tensor only the occupied rows count.

    Args:
      model: a `snnjax.nn.Module`, or one spiking layer.
      args, kwargs: what the model is called with, such as None and x [T, B, ..., N].
      paths: layers to look at, without fields; None takes all that spike.
      band: healthy rates.

    Raises:
      ValueError: no layer spikes, an unknown path, one of a layer that does not spike, a layer that
        the model does not call itself, a bad band, or a NaN or infinity in `args`.

    >>> from snnjax.metrics import rate_alarms
    >>> from snnjax.nn import LIF
    >>> (row,) = spike_report(Sequential(LIF(3)), None, jnp.full((8, 2, 3), 0.1))
    >>> row.name, row.rate, row.silent, row.alarm
    ('layers.0', 0.0, 1.0, 'silent')
    >>> rate_alarms([row])[0][:48]
    "layer 'layers.0' is silent: 0.0 % of its outputs"
    """
    if isinstance(model, Stateful):
        chain = _alone(model, args)
        own = None if model.spiking is False else ["layers.0"]
        rows = spike_report(chain, None, *args[1:], paths=own, band=band, **kwargs)
        return tuple(row._replace(name=type(model).__name__) for row in rows)
    known = layers_of(model)
    spiking = spiking_paths(model)
    wanted = spiking if paths is None else list(paths)
    if not wanted:
        raise ValueError(
            f"{type(model).__name__} holds no spiking layer, such as nn.LIF, in its attributes or "
            "nnx.Lists. Name the layers to look at in `paths`, or set spiking = True in the class "
            "of a layer that spikes."
        )
    for path in wanted:
        _check_path(path, known)
    for leaf in jax.tree.leaves((args, kwargs)):  # values are unknown inside jit
        if isinstance(leaf, (jax.Array, np.ndarray)) and jnp.issubdtype(leaf.dtype, jnp.floating):
            check_finite(type(model).__name__, leaf)
    graphdef, leaves = nnx.split(model)
    arrays, rebuild = split_arrays((args, kwargs))
    order: list[str] = []

    @jax.jit
    def run(leaves: Any, arrays: Any) -> dict[str, Any]:
        args, kwargs = rebuild(arrays)
        _, seen = probe(nnx.merge(graphdef, leaves), wanted)(*args, **kwargs)
        order[:] = seen  # in the order of the calls, which jit sorts
        return seen

    seen = run(leaves, arrays)
    _check_called(wanted, seen)
    return tuple(_rate(path, seen[path], band) for path in order)


def _alone(layer: Stateful, args: tuple) -> Sequential:
    """Wraps a single layer as a model that starts from a given state."""
    if args and args[0] is not None:
        raise ValueError(
            f"the report of a single {type(layer).__name__} starts at rest; pass None as its state."
        )
    return Sequential(layer)


def spiking_paths(model: Module) -> list[str]:
    """The paths of the layers of a model that declare that they spike.

    >>> from snnjax.nn import LI, LIF, Recurrent
    >>> back = nnx.Linear(2, 2, rngs=nnx.Rngs(0))
    >>> spiking_paths(Sequential(LIF(2), Recurrent(LIF(2), back), LI(2)))
    ['layers.0', 'layers.1']
    """
    known = layers_of(model)
    return [path for path, layer in known.items() if _spikes(path, layer, known)]


def _spikes(path: str, layer: Any, known: dict[str, Any]) -> bool | None:
    """Whether a layer spikes; None if unknown. A layer inside one with a state is part of it."""
    parts = path.split(".")
    around = (known.get(".".join(parts[:i])) for i in range(1, len(parts)))
    if not isinstance(layer, Stateful) or any(isinstance(outer, Stateful) for outer in around):
        return False
    return layer.spiking


def _check_path(path: str, known: dict[str, Any]) -> None:
    """Raise for fields and for layers known not to spike."""
    if ":" in path:
        raise ValueError(
            f"`paths` names layers, without fields; got {path!r}. See membranes with "
            "snnjax.nn.probe."
        )
    if path in known and _spikes(path, known[path], known) is False:
        able = [name for name, layer in known.items() if _spikes(name, layer, known)]
        raise ValueError(
            f"{path!r}, a {type(known[path]).__name__}, does not spike; leave it out. "
            f"Layers that do: {', '.join(able) or 'none'}."
        )


def _check_called(found: Sequence[str], seen: dict[str, Any]) -> None:
    missing = [path for path in found if path not in seen]
    if missing:
        raise ValueError(
            f"the model does not call {', '.join(map(repr, missing))}, so "
            "their firing is unknown. Where a layer around it takes its step, name that one in "
            "`paths`; leave out what is not used."
        )


def _rate(path: str, seen: tuple[Any, Any], band: tuple[float, float]) -> PopulationRate:
    """The rate of one layer, from its state and its output."""
    state, out = seen
    if not isinstance(out, SparseTensor):
        return population_rate(path, np.asarray(out), band=band, state=state)
    feats = np.asarray(out.feats)
    rows = feats[..., np.asarray(out.valid), :]  # [T?, sites, C]
    rows = rows.reshape(-1, 1, rows.shape[-1]) if rows.ndim == 2 else rows
    return population_rate(path, rows, band=band, state=state)
