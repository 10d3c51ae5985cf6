"""The least that a model of sequences must do."""

from __future__ import annotations

import jax.numpy as jnp
from flax import nnx
from jax import Array

from snnjax.models import ClassifierOutput


class Scheduled(nnx.Variable):
    """A number that changes over the run and is not learned."""


class Least(nnx.Module):
    """Leaky integration with a learned place, a scheduled width and a clamp.

    It takes no option but `key` and `train`: the least that a model of sequences must do.
    """

    def __init__(self, in_channels: int, num_classes: int, rngs: nnx.Rngs):
        self.first = nnx.Linear(in_channels, 8, rngs=rngs)
        self.second = nnx.Linear(8, num_classes, rngs=rngs)
        self.position = nnx.Param(jnp.full((8, 1), 0.9))
        self.width = Scheduled(jnp.float32(-1.0))

    def at_epoch(self, epoch: Array, epochs: int) -> None:
        self.width[...] = 8.0 * 0.5**epoch + epochs

    def constrain(self) -> None:
        self.position[...] = jnp.clip(self.position[...], -1.0, 1.0)

    def init_state(self, x: Array) -> Array:
        return jnp.zeros(x.shape[1:2])

    def __call__(self, state: Array, x: Array, *, key=None, train: bool = False):
        h = jnp.tanh(self.first(x)) * self.position[:, 0]
        return state, ClassifierOutput(self.second(h.mean(axis=0)), jnp.zeros((), jnp.int32))
