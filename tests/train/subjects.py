"""What the tests on meshes train: an E-3DSNN, a convolutional net and a transformer."""

from __future__ import annotations

from typing import Any

import numpy as np

from snnjax.data.clouds import CloudSource
from snnjax.data.speech import SpeechSource
from snnjax.experiment import Experiment, OptimiserConfig
from snnjax.models import E3DSNN, E3DSNNConfig
from snnjax.sparse import Capacities
from tests.train.build import Made, cloud_batch, frame_batch, info_of
from tests.train.dense_models import SIDE, ConvNet, Transformer
from tests.train.doubles import widened
from tests.train.on_meshes import Subject, drawn, filled

B, T = 16, 5
ROWS, STEM, BLOCK = 64, 8, 16
NETS = {"conv": ConvNet, "transformer": Transformer}
NAMES = ("clouds", *NETS)


def clouds(*, rngs: Any, **options: Any) -> E3DSNN:
    return E3DSNN(E3DSNNConfig(stem=STEM, channels=(BLOCK,), depth=1, **options), rngs=rngs)


def subject(name: str, dtype: Any) -> Subject:
    """One of `NAMES`, with a batch of random numbers."""
    make = clouds_subject if name == "clouds" else frames_subject
    return make(name, dtype, np.random.default_rng(0))


def first_of(on: Subject, seed: int = 0) -> Any:
    """The state before the first step, on the host: the quickest way that lets neurons fire."""
    return filled(on, seed + 1) if on.capacities else drawn(on, seed)


def made(make: Any, dtype: Any) -> Made:
    """The model in this dtype."""
    if dtype == np.float32:
        return Made(make)
    return Made(lambda **options: widened(make(**options)))


def clouds_subject(name: str, dtype: Any, rng: np.random.Generator) -> Subject:
    label = rng.integers(0, 8, B).astype(np.int32)
    weight = np.r_[np.ones(B - 3), np.zeros(3)].astype(dtype)
    points = rng.uniform(-1, 1, (B, ROWS, 3)).astype(dtype)
    count = rng.integers(20, ROWS + 1, B).astype(np.int32)
    batch = cloud_batch(points, count, label, weight)
    data = CloudSource(points=ROWS, extent=16)
    own = experiment(data, made(clouds, dtype))
    return Subject(own, info_of(8, 3), batch, Capacities((ROWS, ROWS)))


def frames_subject(name: str, dtype: Any, rng: np.random.Generator) -> Subject:
    channels = 2 * SIDE**2
    frames = rng.normal(0, 1, (B, T, channels)).astype(dtype)
    label = rng.integers(0, 8, B).astype(np.int32)
    batch = frame_batch(frames, np.full(B, T, np.int32), label, np.ones(B, dtype))
    own = experiment(SpeechSource(steps=T), made(NETS[name], dtype))
    return Subject(own, info_of(8, channels), batch, None)


def experiment(data: Any, model: Any) -> Experiment:
    rule = OptimiserConfig("sgd", 0.1, 0.0, 0.0, clip_norm=0.2)
    return Experiment(data=data, model=model, optimiser=rule, batch_size=B, epochs=10, ema=0.0)
