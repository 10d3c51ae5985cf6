"""What the tests on meshes train: an E-3DSNN, a convolutional net and a transformer."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from snnjax.models import E3DSNN, MODELS, SEQUENCE_MODELS, E3DSNNConfig
from snnjax.sparse import Capacities
from snnjax.train import (
    DataConfig,
    DeviceBatch,
    Experiment,
    ModelConfig,
    OptimiserConfig,
    SequenceConfig,
    SpeechConfig,
)
from snnjax.runs.folder import DatasetInfo
from tests.train.dense_models import SIDE, ConvNet, Transformer
from tests.train.doubles import widened
from tests.train.on_meshes import Subject, drawn, filled

B, T = 16, 5
ROWS, STEM, BLOCK = 64, 8, 16
NETS = {"conv": ConvNet, "transformer": Transformer}
NAMES = ("clouds", *NETS)


def clouds(*, rngs: Any, **options: Any) -> E3DSNN:
    return E3DSNN(E3DSNNConfig(stem=STEM, channels=(BLOCK,), depth=1, **options), rngs=rngs)


@contextlib.contextmanager
def registered(dtype: Any) -> Iterator[None]:
    """Inside, the experiments of the subjects find their models, in this dtype."""

    def typed(make: Any) -> Any:
        return make if dtype == np.float32 else lambda **options: widened(make(**options))

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MODELS, "clouds", typed(clouds))
        for name, net in NETS.items():
            patch.setitem(SEQUENCE_MODELS, name, typed(net))
        yield


def subject(name: str, dtype: Any) -> Subject:
    """One of `NAMES`, with a batch of random numbers."""
    make = clouds_subject if name == "clouds" else frames_subject
    return make(name, dtype, np.random.default_rng(0))


def first_of(on: Subject, seed: int = 0) -> Any:
    """The state before the first step, on the host: the quickest way that lets neurons fire."""
    return filled(on, seed + 1) if on.capacities else drawn(on, seed)


def clouds_subject(name: str, dtype: Any, rng: np.random.Generator) -> Subject:
    label = rng.integers(0, 8, B).astype(np.int32)
    weight = np.r_[np.ones(B - 3), np.zeros(3)].astype(dtype)
    points = rng.uniform(-1, 1, (B, ROWS, 3)).astype(dtype)
    count = rng.integers(20, ROWS + 1, B).astype(np.int32)
    batch = DeviceBatch(points, count, label, weight)  # pyright: ignore
    data = DataConfig(batch_size=B, points=ROWS, extent=16)
    return Subject(experiment(data, ModelConfig(name)), info(3), batch, Capacities((ROWS, ROWS)))


def frames_subject(name: str, dtype: Any, rng: np.random.Generator) -> Subject:
    channels = 2 * SIDE**2
    frames = rng.normal(0, 1, (B, T, channels)).astype(dtype)
    label = rng.integers(0, 8, B).astype(np.int32)
    batch = DeviceBatch(frames, np.full(B, T, np.int32), label, np.ones(B, dtype))  # pyright: ignore
    data = SpeechConfig(batch_size=B, steps=T)
    return Subject(experiment(data, SequenceConfig(name)), info(channels), batch, None)


def experiment(data: Any, model: Any) -> Experiment:
    rule = OptimiserConfig("sgd", 0.1, 0.0, 0.0, clip_norm=0.2)
    return Experiment(data=data, model=model, optimiser=rule, ema=0.0)


def info(channels: int) -> DatasetInfo:
    return DatasetInfo(tuple("abcdefgh"), channels, 64, 24, 0)
