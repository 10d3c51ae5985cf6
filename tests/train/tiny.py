"""A model that obeys the contract of the classifiers and compiles in a second."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from snnjax.data.clouds import CloudSource
from snnjax.experiment import Experiment, OptimiserConfig, ScheduleConfig
from snnjax.metrics import sparse_activity
from snnjax.models import ClassifierOutput
from snnjax.nn import Module, count_inputs
from snnjax.sparse import SparseTensor
from snnjax.tasks import Classification


class Voxelwise(nnx.Linear):
    """A linear layer on every voxel, counted as a sparse one."""

    def __call__(self, feats: Array, x: SparseTensor) -> Array:
        return super().__call__(feats)


@count_inputs.register
def _(layer: Voxelwise, name: str, feats: Array, x: SparseTensor, **_: Any) -> Any:
    degree = x.valid.astype(jnp.int32)
    return (sparse_activity(name, feats, x.valid, degree, layer.out_features),)


class Norm(nnx.Module):
    """A batch norm over the valid voxels, with a counter of its updates."""

    def __init__(self, channels: int, dtype: Any):
        self.scale = nnx.Param(jnp.ones(channels, dtype))
        self.shift = nnx.Param(jnp.ones(channels, dtype))
        self.mean = nnx.BatchStat(jnp.zeros(channels, dtype))
        self.var = nnx.BatchStat(jnp.ones(channels, dtype))
        self.seen = nnx.BatchStat(jnp.zeros((), jnp.int32))

    def __call__(
        self, h: Array, valid: Array, *, train: bool = False, axis_name: str | None = None
    ) -> Array:
        mean, var = self.mean[...], self.var[...]
        if train:
            mean, var = self._moments(h, valid, axis_name)
        return (h - mean) * jax.lax.rsqrt(var + 1e-3) * self.scale[...] + self.shift[...]

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


class Tiny(Module):
    """Per-voxel linear -> batch norm -> integer spikes (straight-through) -> mean -> linear."""

    depth = 2  # as if it halved its grid twice

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        *,
        levels: int = 4,
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        self.levels = levels
        self.first = Voxelwise(in_channels, 24, param_dtype=dtype, rngs=rngs)
        self.norm = Norm(24, dtype)
        self.second = Voxelwise(24, num_classes, param_dtype=dtype, rngs=rngs)

    def forward(self, run: Any, x: SparseTensor, *, capacities: Any = None) -> ClassifierOutput:
        valid = x.valid[..., None]
        h = jnp.where(valid, run(self.first, x.feats, x), 0.0)
        h = run(self.norm, h, valid)
        clipped = jnp.clip(h, 0.0, self.levels)
        s = clipped + jax.lax.stop_gradient(jnp.floor(clipped + 0.5) - clipped)
        s = jnp.where(valid, s, 0.0)
        scores = jnp.where(valid, run(self.second, s, x), 0.0)
        return ClassifierOutput(scores.sum(1) / jnp.maximum(x.n, 1)[:, None], x.overflow.sum())


@dataclass(frozen=True)
class TinyConfig:
    """The tiny model, in float32 or with float64 weights, which needs `jax.enable_x64`."""

    levels: int = 4
    dtype: Literal["float32", "float64"] = "float32"

    def build(self, info: Any, *, rngs: nnx.Rngs) -> Tiny:
        return Tiny(
            info.in_channels,
            len(info.class_names),
            levels=self.levels,
            rngs=rngs,
            dtype=jnp.dtype(self.dtype),
        )


def tiny_experiment(root: Any, **changes: Any) -> Experiment:
    """Three epochs of four steps, with everything switched on that a state can hold."""
    defaults: dict[str, Any] = {
        "name": "tiny",
        "data": CloudSource(path="shapes3d", points=64, extent=16, train_size=64, test_size=24),
        "model": TinyConfig(),
        "task": Classification(label_smoothing=0.1),
        "optimiser": OptimiserConfig(learning_rate=0.02),
        "schedule": ScheduleConfig(warmup=0.2),
        "batch_size": 16,
        "epochs": 3,
        "ema": 0.9,
        "checkpoint_every": 3,
        "mesh": "data=1",
        "run_root": str(root),
    }
    return Experiment(**{**defaults, **changes})
