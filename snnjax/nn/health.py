"""Reports how the layers of a model fire: silent, saturated, non-finite or healthy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from snnjax.metrics import RATE_BAND, PopulationRate, population_rate
from snnjax.nn.delayed_recurrent import DelayedRecurrent
from snnjax.nn.found import split_arrays
from snnjax.nn.module import Module, Sequential
from snnjax.nn.neurons.population import Population, check_finite
from snnjax.nn.probe import layers_of, probe
from snnjax.nn.recurrent import Recurrent
from snnjax.nn.sparse import IntegerNeuron, Rectifier
from snnjax.nn.stateful import Stateful
from snnjax.sparse import SparseTensor

RECURRENT = (Recurrent, DelayedRecurrent)


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
        rows = spike_report(_alone(model, args), None, *args[1:], paths=None, band=band, **kwargs)
        return tuple(row._replace(name=type(model).__name__) for row in rows)
    known = layers_of(model)
    spiking = _spiking(known)
    wanted = spiking if paths is None else list(paths)
    if not wanted:
        raise ValueError(
            f"{type(model).__name__} holds no spiking layer, such as nn.LIF, in its attributes or "
            "nnx.Lists; name the layers to look at in `paths`."
        )
    for path in wanted:
        _check_path(path, known, spiking)
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


def _spikes(module: Any) -> bool | None:
    """Whether a layer spikes; None if unknown."""
    inner = module.population if isinstance(module, RECURRENT) else module
    return inner.spiking if isinstance(inner, (Population, IntegerNeuron, Rectifier)) else None


def _spiking(known: dict[str, Any]) -> list[str]:
    """The paths of the spiking layers; a population inside a recurrent layer is part of it."""
    inside = {
        f"{path}.population" for path, module in known.items() if isinstance(module, RECURRENT)
    }
    return [path for path, module in known.items() if _spikes(module) and path not in inside]


def _check_path(path: str, known: dict[str, Any], spiking: list[str]) -> None:
    """Raise for unknown fields and for layers known not to spike."""
    if ":" in path:
        raise ValueError(
            f"`paths` names layers, without fields; got {path!r}. See membranes with "
            "snnjax.nn.probe."
        )
    if path in known and path not in spiking:
        raise ValueError(
            f"{path!r}, a {type(known[path]).__name__}, does not spike; leave it out. "
            f"Layers that do: {', '.join(spiking) or 'none'}."
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
