"""Models in float64, where rounding flips no spike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from snnjax.models import SNNDelaysConfig


def widened(model: nnx.Module) -> Any:
    """The model in float64."""
    graphdef, state = nnx.split(model)
    return nnx.merge(
        graphdef,
        jax.tree.map(lambda a: a.astype(jnp.float64) if a.dtype == jnp.float32 else a, state),
    )


@dataclass(frozen=True)
class Double(SNNDelaysConfig):
    """An SNN-delays network in float64."""

    def build(self, info: Any, *, rngs: nnx.Rngs) -> Any:
        return widened(super().build(info, rngs=rngs))
