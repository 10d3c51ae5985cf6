"""Linear layers for spikes: event-driven where that is faster, and with sparse connections."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jax import Array

from snnjax.metrics import dense_activity
from snnjax.nn.counting import Counts, count_inputs
from snnjax.nn.layer import Layer
from snnjax.nn.neurons.population import as_floating
from snnjax.sparse import (
    CSR,
    ArithmeticTable,
    FanOut,
    check_connections,
    propagate,
    spike_matmul,
    takes_events,
)

OPTIONS = {"use_bias", "dtype", "param_dtype", "kernel_init", "bias_init"}


class EventLinear(nnx.Linear):
    """`nnx.Linear` whose product is `snnjax.sparse.spike_matmul`.

        y = x W + b

    Parameters and dtypes are those of `nnx.Linear`. Events are counted over all of [T, B]; where
    one step is fuller than the rest, call the layer step by step.

    Args:
      in_features, out_features, use_bias, dtype, param_dtype, kernel_init, bias_init, rngs: as in
        `nnx.Linear`, in `rest` as far as they are optional.
      table: measurements by `snnjax profile --write-table`; None uses the built-in ones.

    >>> import jax.numpy as jnp
    >>> layer = EventLinear(8, 3, rngs=nnx.Rngs(0))
    >>> layer(jnp.ones((5, 2, 8))).shape
    (5, 2, 3)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        rngs: nnx.Rngs,
        table: ArithmeticTable | None = None,
        **rest: Any,
    ):
        if unknown := set(rest) - OPTIONS:
            raise TypeError(
                f"EventLinear does not take {', '.join(sorted(unknown))}; the valid "
                f"options of nnx.Linear are {', '.join(sorted(OPTIONS))}."
            )
        super().__init__(in_features, out_features, rngs=rngs, **rest)
        self.table = table

    def __call__(self, x: Array) -> Array:
        """`x` is [..., in_features]; returns [..., out_features]."""
        bias = None if self.bias is None else self.bias[...]
        x, kernel, bias = self.promote_dtype((x, self.kernel[...], bias), dtype=self.dtype)
        y = spike_matmul(x, kernel, table=self.table)
        return y if bias is None else y + bias

    def takes_events(self, x: Array) -> Array:
        """Whether the layer uses the event-driven product for this `x`: bool []."""
        return takes_events(x, self.out_features, table=self.table)


class SparseLinear(Layer):
    """A linear layer with sparse connections, whose cost grows with the number of spikes.

        y[m] = sum over connections e from n to m of x[n] weight[e]

    Args:
      connections: connections from N neurons, e.g. `snnjax.sparse.random_fan_out`; their weights
        learn, their targets do not.
      targets: M, neurons that are reached.

    >>> import jax.numpy as jnp
    >>> from snnjax.sparse import fan_out_of
    >>> layer = SparseLinear(fan_out_of([0, 2], [1, 0], [0.5, 2.0], sources=3, targets=2), 2)
    >>> layer(jnp.ones((4, 3))).shape, layer(jnp.array([1.0, 0.0, 1.0])).tolist()
    ((4, 2), [2.0, 0.5])
    """

    def __init__(self, connections: FanOut | CSR, targets: int):
        check_connections(connections, targets)
        self.targets = targets
        self.weight = nnx.Param(connections.weight)
        self.places = nnx.Variable(connections._replace(weight=None))

    def __call__(self, x: Array) -> Array:
        """`x` is [..., N]; returns [..., M] in its dtype, or that of the weights for integers."""
        x = as_floating(x, self.weight[...])
        connections = self.places.get_value()._replace(weight=self.weight[...].astype(x.dtype))
        return propagate(x, connections, targets=self.targets)


@count_inputs.register
def _(layer: SparseLinear, name: str, x: Array, **_: Any) -> Counts:
    """Count one operation per spike and outgoing connection of its neuron."""
    places = layer.places.get_value()
    if isinstance(places, CSR):
        degree = jnp.diff(places.start)
    else:
        degree = jnp.sum(places.target < layer.targets, axis=1, dtype=jnp.int32)
    return (dense_activity(name, x[..., None], 1, degree),)
