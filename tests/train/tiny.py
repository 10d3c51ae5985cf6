"""A model that obeys the contract of the classifiers and compiles in a second."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from snnjax.metrics import sparse_activity
from snnjax.train import DataConfig, Experiment, ModelConfig, OptimiserConfig, ScheduleConfig


class TinyOutput(NamedTuple):
    logits: Array
    overflow: Array
    activity: tuple = ()


class Tiny(nnx.Module):
    """Per-voxel linear -> batch norm -> integer spikes (straight-through) -> mean -> linear."""

    depth = 2  # as if it halved its grid twice

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        *,
        levels: int,
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        self.levels = levels
        self.first = nnx.Linear(in_channels, 24, param_dtype=dtype, rngs=rngs)
        self.scale = nnx.Param(jnp.ones(24, dtype))
        self.shift = nnx.Param(jnp.ones(24, dtype))
        self.mean = nnx.BatchStat(jnp.zeros(24, dtype))
        self.var = nnx.BatchStat(jnp.ones(24, dtype))
        self.seen = nnx.BatchStat(jnp.zeros((), jnp.int32))
        self.second = nnx.Linear(24, num_classes, param_dtype=dtype, rngs=rngs)

    def init_state(self, x: Any) -> tuple:
        return ()

    def __call__(
        self,
        state: tuple,
        x: Any,
        *,
        key: Array | None = None,
        train: bool = False,
        axis_name: str | None = None,
        capacities: Any = None,
        record: bool = False,
    ) -> tuple[tuple, TinyOutput]:
        valid = x.valid[..., None]
        h = jnp.where(valid, self.first(x.feats), 0.0)
        if train:
            mean, var = self._moments(h, valid, axis_name)
        else:
            mean, var = self.mean[...], self.var[...]
        h = (h - mean) * jax.lax.rsqrt(var + 1e-3) * self.scale[...] + self.shift[...]
        clipped = jnp.clip(h, 0.0, self.levels)
        s = clipped + jax.lax.stop_gradient(jnp.floor(clipped + 0.5) - clipped)
        s = jnp.where(valid, s, 0.0)
        pooled = s.sum(1) / jnp.maximum(x.n, 1)[:, None]
        activity = ()
        if record:
            degree = x.valid.astype(jnp.int32)
            classes = self.second.out_features
            activity = (
                sparse_activity("first", x.feats, x.valid, degree, 24, spiking=False),
                sparse_activity("second", s, x.valid, degree, classes, spiking=True),
            )
        return state, TinyOutput(self.second(pooled), x.overflow.sum(), activity)

    def _moments(self, h: Array, valid: Array, axis_name: str | None) -> tuple[Array, Array]:
        sums = (h.sum((0, 1)), (h * h).sum((0, 1)), valid.sum().astype(jnp.float32))
        if axis_name is not None:
            sums = jax.lax.psum(sums, axis_name)
        mean = sums[0] / sums[2]
        var = sums[1] / sums[2] - mean**2
        self.mean[...] = 0.9 * self.mean[...] + 0.1 * jax.lax.stop_gradient(mean)
        self.var[...] = 0.9 * self.var[...] + 0.1 * jax.lax.stop_gradient(var)
        self.seen[...] = self.seen[...] + 1
        return mean, var


def tiny(in_channels: int, num_classes: int, *, levels: int, rngs: nnx.Rngs, **_: Any) -> Tiny:
    """As the constructors of `snnjax.models.MODELS`."""
    return Tiny(in_channels, num_classes, levels=levels, rngs=rngs)


def tiny_double(in_channels: int, num_classes: int, *, levels: int, rngs: nnx.Rngs, **_: Any):
    """The tiny model with float64 weights; needs `jax.enable_x64`."""
    return Tiny(in_channels, num_classes, levels=levels, rngs=rngs, dtype=jnp.float64)


def tiny_experiment(root: Any, **changes: Any) -> Experiment:
    """Three epochs of four steps, with everything switched on that a state can hold."""
    defaults: dict[str, Any] = {
        "name": "tiny",
        "data": DataConfig(
            source="shapes3d", points=64, extent=16, batch_size=16, train_size=64, test_size=24
        ),
        "model": ModelConfig(name="tiny"),
        "optimiser": OptimiserConfig(learning_rate=0.02),
        "schedule": ScheduleConfig(warmup=0.2),
        "epochs": 3,
        "ema": 0.9,
        "checkpoint_every": 3,
        "mesh": "data=1",
        "run_root": str(root),
    }
    return Experiment(**{**defaults, **changes})
