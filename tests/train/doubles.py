"""Models in float64, where rounding flips no spike."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from snnjax.models import SNNDelays, snn_delays


def widened(model: nnx.Module) -> Any:
    """The model in float64."""
    graphdef, state = nnx.split(model)
    return nnx.merge(
        graphdef,
        jax.tree.map(lambda a: a.astype(jnp.float64) if a.dtype == jnp.float32 else a, state),
    )


class Double(SNNDelays):
    """Membranes in float64 from the start."""

    def init_state(self, x: Any) -> Any:
        return jax.tree.map(lambda a: a.astype(jnp.float64), super().init_state(x))


def sequences(**options: Any) -> Any:
    """As the constructors of `snnjax.models.SEQUENCE_MODELS`."""
    model = snn_delays(**options)
    return widened(Double(model.config, rngs=options["rngs"]))
