"""A step, its state and its batches from plain arrays."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jax.sharding import Mesh

from snnjax.data import DataInfo
from snnjax.data.clouds import CloudSource
from snnjax.experiment import Experiment
from snnjax.models import E3DSNNConfig
from snnjax.train import Session, StepSpec, TrainState


@dataclass(frozen=True)
class Made:
    """Stands for the configuration of a model: a function of (in_channels, num_classes, rngs)."""

    make: Callable[..., Any]
    options: dict[str, Any] = field(default_factory=dict)

    def build(self, info: Any, *, rngs: Any) -> Any:
        classes = len(info.class_names)
        return self.make(
            in_channels=info.in_channels, num_classes=classes, rngs=rngs, **self.options
        )


def info_of(classes: int, channels: int, train: int = 64, test: int = 24) -> DataInfo:
    return DataInfo(tuple("abcdefghijklmn"[:classes]), channels, train, test, 0)


def build_spec(experiment: Experiment, info: DataInfo, mesh: Mesh) -> tuple[StepSpec, TrainState]:
    """The static part of the step, and the state before the first update."""
    session = Session.of(experiment, info, mesh)
    return session.spec, session.first_state()


def abstract_spec(experiment: Experiment, info: DataInfo, mesh: Mesh) -> tuple[StepSpec, Any]:
    """The static part of the step, and the shapes of the state."""
    session = Session.of(experiment, info, mesh)
    return session.spec, session.state


def cloud_batch(points: Any, count: Any, label: Any, weight: Any) -> dict[str, np.ndarray]:
    return {"points": points, "count": count, "label": label, "weight": weight}


def frame_batch(frames: Any, lengths: Any, label: Any, weight: Any) -> dict[str, np.ndarray]:
    return {"frames": frames, "lengths": lengths, "label": label, "weight": weight}


def changed(experiment: Experiment, **changes: Any) -> Experiment:
    return dataclasses.replace(experiment, **changes)


def any_experiment(**changes: Any) -> Experiment:
    """An experiment on clouds, of which a test looks at few fields."""
    given: dict[str, Any] = {"data": CloudSource(), "model": E3DSNNConfig.t(), "epochs": 10}
    return Experiment(**{**given, **changes})
