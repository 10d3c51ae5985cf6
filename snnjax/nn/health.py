"""How the layers of a model fire: silent, saturated, or well."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from flax import nnx

from snnjax.metrics import RATE_BAND, PopulationRate, population_rate
from snnjax.nn.population import Population
from snnjax.nn.probe import probe
from snnjax.nn.recurrent import Recurrent


def spike_report(
    model: nnx.Module,
    *args: Any,
    paths: Sequence[str] | None = None,
    band: tuple[float, float] = RATE_BAND,
) -> tuple[PopulationRate, ...]:
    """How every spiking layer fires for a batch, in the order in which the model calls them.

    `snnjax.metrics.rate_alarms` makes a sentence with the usual remedy of each row in alarm. The
    model stays as it is. A model over sparse tensors counts its own activity; see
    `snnjax.metrics.firing_rates`.

    Args:
      model: any nnx.Module over populations.
      args: what the model is called with, such as a state and x [T, B, ..., N].
      paths: layers to look at, as for `snnjax.nn.probe`; None takes all that spike. Those that the
        model does not call are left out, all calls of one that it calls several times count.
      band: healthy rates.

    Raises:
      ValueError: no layer spikes, an unknown path, or a bad band.

    >>> import jax.numpy as jnp
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
    whole = paths is None and isinstance(model, (Population, Recurrent))
    found = [] if whole else list(_spiking(model) if paths is None else paths)
    if not whole and not found:
        raise ValueError(
            f"{type(model).__name__} holds no spiking layer, a Population or Recurrent, in its "
            "attributes or nnx.Lists; name the layers to look at in `paths`."
        )
    order: list[str] = []
    graphdef, leaves = nnx.split(model)

    @jax.jit
    def run(leaves: Any, args: Any) -> dict[str, list[jax.Array]]:
        merged = nnx.merge(graphdef, leaves)
        if whole:
            seen = {type(model).__name__: merged(*args)}
        else:
            _, seen = probe(merged, found)(*args)
        order[:] = seen
        return {name: _outputs(value) for name, value in seen.items()}

    outputs = run(leaves, args)
    return tuple(population_rate(name, np.concatenate(outputs[name]), band=band) for name in order)


def _spiking(model: nnx.Module) -> list[str]:
    """The paths of the spiking layers; a population inside a `Recurrent` is part of it."""
    modules = {".".join(map(str, path)): module for path, module in nnx.iter_modules(model)}
    recurrent = [path for path, module in modules.items() if isinstance(module, Recurrent)]
    inside = tuple(f"{path}.population" for path in recurrent)
    return [
        path
        for path, module in modules.items()
        if (isinstance(module, Population) and module.spiking and path not in inside)
        or (isinstance(module, Recurrent) and module.population.spiking)
    ]


def _outputs(value: Any) -> list[jax.Array]:
    """The outputs of all calls of a layer, from what it returned: (state, out) or with records."""
    calls = value if isinstance(value, list) else [value]
    outs = [out for _, out in calls]
    return [out[0] if isinstance(out, tuple) else out for out in outs]
