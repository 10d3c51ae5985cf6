"""The parts of an experiment: data, model, schedule and update rule, as frozen dataclasses."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any, Literal

from snnjax.data import Augment
from snnjax.data.speech import FrontEnd, SpeechAugment
from snnjax.sparse import check_extent


@dataclass(frozen=True)
class Source:
    """What every kind of data has: `DataConfig` are clouds, `SpeechConfig` sequences."""

    source: str = "shapes3d"
    """`shapes3d` (the embedded generator) or a folder of data."""
    batch_size: int = 32
    """Samples in a step, over all devices."""
    train_size: int | None = None
    """Samples of the training split; None takes what the source has."""
    test_size: int | None = None
    """Samples of the test split; None takes what the source has."""
    skip_bad: bool = False
    """Skip files that cannot be read and count them, instead of stopping at the first."""

    @property
    def rows(self) -> int:
        """Points of a cloud or frames of a sequence, at most."""
        raise NotImplementedError

    @property
    def changes(self) -> Any:
        """The random changes of training batches."""
        raise NotImplementedError

    def __post_init__(self) -> None:
        at_least_one("data.batch_size", self.batch_size)
        for name in ("train_size", "test_size"):
            if getattr(self, name) is not None:
                at_least_one(f"data.{name}", getattr(self, name))


@dataclass(frozen=True)
class DataConfig(Source):
    """What is read, and how a cloud becomes voxels in the cube [-1, 1]^3."""

    points: int = 1024
    """Points of a cloud, sampled with a fixed rule."""
    extent: int = 32
    """Voxels along each side of the grid; the voxel size is 2 / extent."""
    normals: bool = False
    """Three more channels: columns 3..5 of a cloud, or the normals of a mesh."""
    augment: Augment = field(default_factory=Augment)
    """Random changes of the training clouds."""

    @property
    def rows(self) -> int:
        return self.points

    @property
    def changes(self) -> Augment:
        return self.augment

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("points", "extent"):
            at_least_one(f"data.{name}", getattr(self, name))
        check_extent((self.extent, self.extent, self.extent), radius=1)


@dataclass(frozen=True)
class SpeechConfig(Source):
    """What is read, and how speech becomes sequences of T frames."""

    source: str = "../shared/data/fsdd"
    """A folder in a layout that `snnjax.data.speech.load_speech` understands."""
    steps: int = 64
    """T: longer recordings lose their end, shorter ones are filled up with silence."""
    held_out: str | None = None
    """Test on this speaker and train on all others; None takes the parts of the data set."""
    validate: bool = False
    """Test on the data set's validation part, to choose settings without a look at the test; where
    it has none, on every tenth training sample, which is then not trained on."""
    front_end: FrontEnd = field(default_factory=FrontEnd)
    """From a recording to frames."""
    augment: SpeechAugment = field(default_factory=SpeechAugment)
    """Random changes of the training sequences."""

    @property
    def rows(self) -> int:
        return self.steps

    @property
    def changes(self) -> SpeechAugment:
        return self.augment

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least_one("data.steps", self.steps)
        if self.front_end.name == "mel_db" and self.augment.puts_zeros:
            raise ValueError(
                "data.augment puts in zeros, which are no silence in dB; take noise alone, or set "
                "data.front_end.name to 'log_mel'."
            )


@dataclass(frozen=True)
class Network:
    """What every kind of model has: `ModelConfig` reads clouds, `SequenceConfig` sequences."""

    name: str = "e3dsnn_t"
    """A name of `snnjax.models.MODELS`."""

    @property
    def largest_count(self) -> int:
        """The largest integer that a neuron emits."""
        return 1


@dataclass(frozen=True)
class ModelConfig(Network):
    """Which network for clouds, and its neuron."""

    levels: int = 4
    """D, the largest integer that a neuron emits."""
    steps: int = 1
    """T, time steps."""
    beta: float = 0.25
    """Leak of the membrane between steps; without effect when T = 1."""
    detach: bool = True
    """Stop the gradient through the spikes of the reset; without effect when T = 1."""
    bn_decay: float = 0.99
    """Decay of the running statistics of the norms; short runs want 0.9 to 0.97."""
    bn_eps: float = 1e-3
    """Added to the variance in the norms; weights of other implementations may need theirs."""
    spike_head: bool = False
    """Put a neuron before the head, so that the head receives spikes too."""
    twin: bool = False
    """Build the ANN twin: the same graph with ReLU in place of the neurons."""

    def __post_init__(self) -> None:
        at_least_one("model.levels", self.levels)
        at_least_one("model.steps", self.steps)
        within("model.beta", self.beta, 0.0, 1.0)
        within("model.bn_decay", self.bn_decay, 0.0, 1.0, open_above=True)
        positive("model.bn_eps", self.bn_eps)

    @property
    def largest_count(self) -> int:
        return self.levels


@dataclass(frozen=True)
class SequenceConfig(Network):
    """Which network for sequences; times are in frames."""

    name: str = "snn_delays"
    """A name of `snnjax.models.SEQUENCE_MODELS`."""
    hidden: int = 128
    """Neurons of a hidden layer."""
    layers: int = 2
    """Hidden layers."""
    tau: float = 5.0
    """Time constant of the neurons."""
    dropout: float = 0.2
    """Share of the neurons of a hidden layer left out in training, the same at every step."""
    delays: Literal["none", "fixed", "learned"] = "none"
    """Delays of the synapses: `none`, as drawn and `fixed`, or `learned`."""
    max_delay: int = 24
    """The longest delay; without effect where there are none."""
    kernel_count: int = 1
    """Delays of a synapse, each with a weight of its own."""
    per: Literal["synapse", "input", "output"] = "synapse"
    """What has a delay of its own: each synapse, or all that leave an input (axonal) or reach an
    output (dendritic)."""
    sigma: float | None = None
    """Width of the delays at first, in frames, which shrinks to 0.23, or a smaller one that stays;
    None takes half the longest delay, as published."""
    readout: Literal["softmax_sum", "mean"] = "softmax_sum"
    """Score of a class: its share of each step, summed, or the mean of its membrane."""

    def __post_init__(self) -> None:
        for name in ("hidden", "layers", "max_delay", "kernel_count"):
            at_least_one(f"model.{name}", getattr(self, name))
        positive("model.tau", self.tau)
        within("model.dropout", self.dropout, 0.0, 1.0, open_above=True)
        if self.delays not in ("none", "fixed", "learned"):
            raise ValueError(
                f"model.delays must be 'none', 'fixed' or 'learned'; got {self.delays!r}."
            )
        if self.delays == "none" and self.kernel_count > 1:
            raise ValueError(
                f"model.kernel_count must be 1 where there are no delays, since the weights of a "
                f"synapse would only add up; got {self.kernel_count}. Set model.delays."
            )
        if self.per not in ("synapse", "input", "output"):
            raise ValueError(f"model.per must be 'synapse', 'input' or 'output'; got {self.per!r}.")
        if self.per != "synapse" and (self.delays == "none" or self.kernel_count > 1):
            raise ValueError(
                f"model.per={self.per!r} needs delays, one each: set model.delays, and "
                f"model.kernel_count to 1; got {self.delays!r} and {self.kernel_count}."
            )
        if self.sigma is not None:
            within("model.sigma", self.sigma, 0.0, math.inf, open_above=True)
        if self.readout not in ("softmax_sum", "mean"):
            raise ValueError(
                f"model.readout must be 'softmax_sum' or 'mean'; got {self.readout!r}."
            )


@dataclass(frozen=True)
class ScheduleConfig:
    """The learning rate over the run: a warm-up, then a cosine or steps."""

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
    """What `step` multiplies the rate with."""
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
    """Parameters that are updated otherwise than the rest, such as delays."""

    pattern: str
    """Regular expression, searched in the path of a parameter, such as `layers/0/position`."""
    rate: float = 1.0
    """Factor on the learning rate."""
    weight_decay: float = 0.0
    """Decay of these parameters."""
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    """Their own schedule, whose peak is `rate` times the learning rate."""

    def __post_init__(self) -> None:
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise ValueError(
                f"optimiser.groups: {self.pattern!r} is no regular expression ({error})."
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
    """Decay of the weights."""
    momentum: float = 0.9
    """Momentum of sgd, first-moment decay of adamw and adam."""
    momentum_swing: float = 0.0
    """How far the momentum lies above this at the ends of a one_cycle, and below at its peak;
    groups keep `momentum`."""
    nesterov: bool = False
    """Nesterov momentum, for either rule."""
    clip_norm: float = 1.0
    """Largest global gradient norm; 0 does not clip."""
    groups: tuple[Group, ...] = ()
    """Parameters with a rate, decay and schedule of their own; of several groups that match one
    the first counts."""

    def __post_init__(self) -> None:
        if self.name not in ("adamw", "adam", "sgd"):
            raise ValueError(f"optimiser.name must be 'adamw', 'adam' or 'sgd'; got {self.name!r}.")
        positive("optimiser.learning_rate", self.learning_rate)
        within("optimiser.momentum", self.momentum, 0.0, 1.0, open_above=True)
        if self.momentum_swing:
            room = min(self.momentum, 1 - self.momentum)
            within("optimiser.momentum_swing", self.momentum_swing, 0.0, room, open_above=True)
        if self.name == "sgd" and self.momentum_swing:
            raise ValueError("optimiser.momentum_swing is of adamw and adam; leave it out for sgd.")
        within("optimiser.weight_decay", self.weight_decay, 0.0, math.inf)
        within("optimiser.clip_norm", self.clip_norm, 0.0, math.inf)


def at_least_one(name: str, value: int) -> None:
    """Raise a ValueError unless the field `name` holds an integer of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} must be an integer of at least 1; got {value!r}.")


def positive(name: str, value: float) -> None:
    """Raise a ValueError unless the field `name` holds a number above 0."""
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} must be a positive number; got {value!r}.")


def within(name: str, value: float, low: float, high: float, *, open_above: bool = False) -> None:
    """Raise a ValueError unless the field `name` lies in [low, high], or in [low, high)."""
    if not (low <= value < high if open_above else low <= value <= high):
        raise ValueError(
            f"{name} must be in [{low}, {high}{')' if open_above else ']'}; got {value!r}."
        )
