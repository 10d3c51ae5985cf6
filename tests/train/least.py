"""The least that a model of sequences must do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jax import Array

from snnjax.nn import Module


class Scheduled(nnx.Variable):
    """A number that changes over the run and is not learned."""


class Least(Module):
    """Two layers with a learned place, a scheduled width and a clamp; its forward takes x alone."""

    def __init__(self, in_channels: int, num_classes: int, rngs: nnx.Rngs):
        self.first = nnx.Linear(in_channels, 8, rngs=rngs)
        self.second = nnx.Linear(8, num_classes, rngs=rngs)
        self.position = nnx.Param(jnp.full((8, 1), 0.9))
        self.width = Scheduled(jnp.float32(-1.0))

    def at_epoch(self, epoch: Any, epochs: int) -> None:
        self.width[...] = 8.0 * 0.5**epoch + epochs

    def constrain(self) -> None:
        self.position[...] = jnp.clip(self.position[...], -1.0, 1.0)

    def forward(self, run: Any, x: Array) -> Array:
        h = jnp.tanh(run(self.first, x)) * self.position[:, 0]
        return run(self.second, h.mean(axis=0, keepdims=True))[0]


@dataclass(frozen=True)
class LeastConfig:
    def build(self, info: Any, *, rngs: nnx.Rngs) -> Least:
        return Least(info.in_channels, len(info.class_names), rngs)
