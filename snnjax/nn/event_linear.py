"""A linear layer over spikes that goes by events where that is quicker."""

from __future__ import annotations

from typing import Any

from flax import nnx
from jax import Array

from snnjax.sparse import ArithmeticTable, spike_matmul, takes_events


class EventLinear(nnx.Linear):
    """`nnx.Linear` whose product is `snnjax.sparse.spike_matmul`.

        y = x W + b

    The parameters are those of `nnx.Linear`. Events are counted over all of [T, B]: where one step
    is fuller than the rest, call the layer step by step.

    Args:
      in_features, out_features, rngs and further arguments: as of `nnx.Linear`.
      table: of `snnjax profile --write-table`; None takes the default measurements.

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
        super().__init__(in_features, out_features, rngs=rngs, **rest)
        self.table = table

    def __call__(self, x: Array) -> Array:
        """`x` is [..., in_features]; returns [..., out_features] in its dtype."""
        y = spike_matmul(x, self.kernel[...].astype(x.dtype), table=self.table)
        return y if self.bias is None else y + self.bias[...].astype(x.dtype)

    def takes_events(self, x: Array) -> Array:
        """Whether the layer goes by events for this `x`: bool []."""
        return takes_events(x, self.out_features, table=self.table)
