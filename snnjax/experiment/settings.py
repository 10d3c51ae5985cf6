"""The update rule and the learning rate of an experiment, as frozen dataclasses."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Literal

from snnjax.experiment.checks import positive, within


@dataclass(frozen=True)
class ScheduleConfig:
    """The learning-rate schedule: a warm-up, then a cosine or steps."""

    name: Literal["cosine", "step", "one_cycle"] = "cosine"
    """`cosine` or `step` after a linear warm-up, or `one_cycle`, which rises by a cosine too."""
    warmup: float = 0.1
    """Fraction of all steps in which the rate rises to its peak."""
    start: float = 0.04
    """Rate of the first step, as a fraction of the peak (no effect without warm-up)."""
    end: float = 0.001
    """Rate at the end of a cosine or cycle, as a fraction of the peak."""
    boundaries: tuple[float, ...] = (0.6, 0.8)
    """Fractions of all steps at which `step` multiplies the rate."""
    factor: float = 0.1
    """Factor that `step` multiplies the rate by."""
    every: Literal["step", "epoch"] = "step"
    """When the rate changes: at every `step`, or only where an `epoch` begins."""

    def __post_init__(self) -> None:
        if self.name not in ("cosine", "step", "one_cycle"):
            raise ValueError(
                f"schedule.name must be 'cosine', 'step' or 'one_cycle'; got {self.name!r}."
            )
        if self.every not in ("step", "epoch"):
            raise ValueError(f"schedule.every must be 'step' or 'epoch'; got {self.every!r}.")
        within("schedule.warmup", self.warmup, 0.0, 1.0, open_above=True)
        within("schedule.start", self.start, 0.0, 1.0)
        within("schedule.end", self.end, 0.0, 1.0)
        positive("schedule.factor", self.factor)
        bounds = self.boundaries
        if list(bounds) != sorted(set(bounds)) or any(not 0 < b < 1 for b in bounds):
            raise ValueError(
                f"schedule.boundaries must rise strictly inside (0, 1); got {tuple(bounds)}."
            )


@dataclass(frozen=True)
class Group:
    """A group of parameters with its own update settings, such as delays."""

    pattern: str
    """Regular expression, searched in the path of a parameter, such as `layers/0/position`."""
    rate: float = 1.0
    """Factor on the learning rate."""
    weight_decay: float = 0.0
    """Weight decay of these parameters."""
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    """Their own schedule, whose peak is `rate` times the learning rate."""

    def __post_init__(self) -> None:
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise ValueError(
                f"optimiser.groups: {self.pattern!r} is not a valid regular expression ({error})."
            ) from error
        positive("optimiser.groups.rate", self.rate)
        within("optimiser.groups.weight_decay", self.weight_decay, 0.0, math.inf)


@dataclass(frozen=True)
class OptimiserConfig:
    """The update rule; decay never touches norm scales, biases and neuron constants."""

    name: Literal["adamw", "adam", "sgd"] = "adamw"
    """`adamw` (decoupled decay), or `adam` or `sgd` (decay added to the gradient, as PyTorch
    does)."""
    learning_rate: float = 4e-3
    """Peak of the schedule."""
    weight_decay: float = 1e-2
    """Weight decay."""
    momentum: float = 0.9
    """Momentum of sgd, first-moment decay of adamw and adam."""
    momentum_swing: float = 0.0
    """How far the momentum lies above this at the ends of a one_cycle, and below at its peak;
    groups keep `momentum`."""
    nesterov: bool = False
    """Nesterov momentum, for either rule."""
    clip_norm: float = 1.0
    """Largest global gradient norm; 0 disables clipping."""
    groups: tuple[Group, ...] = ()
    """Parameters with their own rate, decay and schedule; the first group that matches applies."""

    def __post_init__(self) -> None:
        if self.name not in ("adamw", "adam", "sgd"):
            raise ValueError(f"optimiser.name must be 'adamw', 'adam' or 'sgd'; got {self.name!r}.")
        positive("optimiser.learning_rate", self.learning_rate)
        within("optimiser.momentum", self.momentum, 0.0, 1.0, open_above=True)
        if self.momentum_swing:
            room = min(self.momentum, 1 - self.momentum)
            within("optimiser.momentum_swing", self.momentum_swing, 0.0, room, open_above=True)
        if self.name == "sgd" and self.momentum_swing:
            raise ValueError(
                "optimiser.momentum_swing applies to adamw and adam; leave it out for sgd."
            )
        within("optimiser.weight_decay", self.weight_decay, 0.0, math.inf)
        within("optimiser.clip_norm", self.clip_norm, 0.0, math.inf)
