"""The experiment: everything that decides a training run, as frozen dataclasses."""

from __future__ import annotations

import dataclasses
import difflib
import math
import types
import typing
from dataclasses import dataclass, field
from typing import Any, Literal

from snnjax.data import Augment
from snnjax.sparse import check_extent


@dataclass(frozen=True)
class DataConfig:
    """What is read, and how a cloud becomes voxels in the cube [-1, 1]^3."""

    source: str = "shapes3d"
    """`shapes3d` (the embedded generator) or a folder of clouds or meshes."""
    points: int = 1024
    """Points of a cloud, sampled with a fixed rule."""
    extent: int = 32
    """Voxels along each side of the grid; the voxel size is 2 / extent."""
    batch_size: int = 32
    """Clouds in a step, over all devices."""
    train_size: int | None = None
    """Clouds of the training split; None takes what the source has."""
    test_size: int | None = None
    """Clouds of the test split; None takes what the source has."""
    skip_bad: bool = False
    """Skip files that cannot be read and count them, instead of stopping at the first."""
    normals: bool = False
    """Three more channels: columns 3..5 of a cloud, or the normals of a mesh."""
    augment: Augment = field(default_factory=Augment)
    """Random changes of the training clouds."""

    def __post_init__(self) -> None:
        for name in ("points", "extent", "batch_size"):
            _at_least_one(f"data.{name}", getattr(self, name))
        for name in ("train_size", "test_size"):
            if getattr(self, name) is not None:
                _at_least_one(f"data.{name}", getattr(self, name))
        check_extent((self.extent, self.extent, self.extent), radius=1)


@dataclass(frozen=True)
class ModelConfig:
    """Which network, and its neuron."""

    name: str = "e3dsnn_t"
    """A name of `snnjax.models.MODELS`."""
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
    spike_head: bool = False
    """Put a neuron before the head, so that the head receives spikes too."""
    twin: bool = False
    """Build the ANN twin: the same graph with ReLU in place of the neurons."""

    def __post_init__(self) -> None:
        _at_least_one("model.levels", self.levels)
        _at_least_one("model.steps", self.steps)
        _within("model.beta", self.beta, 0.0, 1.0)
        _within("model.bn_decay", self.bn_decay, 0.0, 1.0, open_above=True)


@dataclass(frozen=True)
class OptimiserConfig:
    """The update rule; decay never touches norm scales, biases and neuron constants."""

    name: Literal["adamw", "sgd"] = "adamw"
    """`adamw` (decoupled decay) or `sgd` (decay added to the gradient, as PyTorch does)."""
    learning_rate: float = 4e-3
    """Peak of the schedule."""
    weight_decay: float = 1e-2
    """Decay of the weights."""
    momentum: float = 0.9
    """Momentum of sgd, first-moment decay of adamw."""
    nesterov: bool = False
    """Nesterov momentum, for either rule."""
    clip_norm: float = 1.0
    """Largest global gradient norm; 0 does not clip."""

    def __post_init__(self) -> None:
        if self.name not in ("adamw", "sgd"):
            raise ValueError(f"optimiser.name must be 'adamw' or 'sgd'; got {self.name!r}.")
        _positive("optimiser.learning_rate", self.learning_rate)
        _within("optimiser.momentum", self.momentum, 0.0, 1.0, open_above=True)
        _within("optimiser.weight_decay", self.weight_decay, 0.0, math.inf)
        _within("optimiser.clip_norm", self.clip_norm, 0.0, math.inf)


@dataclass(frozen=True)
class ScheduleConfig:
    """The learning rate over the run: linear warm-up, then a cosine or steps."""

    name: Literal["cosine", "step"] = "cosine"
    """`cosine` or `step`."""
    warmup: float = 0.1
    """Fraction of all steps in which the rate rises linearly to its peak."""
    start: float = 0.04
    """Rate of the first step, as a fraction of the peak (no effect without warm-up)."""
    end: float = 0.001
    """Rate at the end of a cosine, as a fraction of the peak."""
    boundaries: tuple[float, ...] = (0.6, 0.8)
    """Fractions of all steps at which `step` multiplies the rate."""
    factor: float = 0.1
    """What `step` multiplies the rate with."""

    def __post_init__(self) -> None:
        if self.name not in ("cosine", "step"):
            raise ValueError(f"schedule.name must be 'cosine' or 'step'; got {self.name!r}.")
        _within("schedule.warmup", self.warmup, 0.0, 1.0, open_above=True)
        _within("schedule.start", self.start, 0.0, 1.0)
        _within("schedule.end", self.end, 0.0, 1.0)
        _positive("schedule.factor", self.factor)
        bounds = self.boundaries
        if list(bounds) != sorted(set(bounds)) or any(not 0 < b < 1 for b in bounds):
            raise ValueError(
                f"schedule.boundaries must rise strictly inside (0, 1); got {tuple(bounds)}."
            )


@dataclass(frozen=True)
class Experiment:
    """One training run: data, model, optimiser, schedule, length, seed."""

    name: str = "e3dsnn_t_shapes3d"
    """Name of the experiment; the run folder is <run_root>/<name>-<seed>."""
    data: DataConfig = field(default_factory=DataConfig)
    """What is read."""
    model: ModelConfig = field(default_factory=ModelConfig)
    """What is trained."""
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    """How it is updated."""
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    """The learning rate over the run."""
    epochs: int = 10
    """Passes over the training split."""
    label_smoothing: float = 0.1
    """Share of the target that is spread over all classes."""
    ema: float = 0.0
    """Decay of the running average of weights and norm statistics that is evaluated; 0 has none."""
    seed: int = 0
    """Seed of the weights, of the data order and of the augmentation."""
    evaluate_every: int = 1
    """Epochs between evaluations on the test split; the end is always evaluated."""
    checkpoint_every: int = 200
    """Steps between checkpoints; the end and each best evaluation are always saved."""
    arithmetic: str | None = None
    """File of `snnjax profile --write-table` that chooses how sparse convolutions are computed;
    None takes the table that comes with the library."""
    devices: int | None = None
    """Devices that share a batch; None takes all local ones. On a CPU `snnjax train` makes one of
    each core, as far as the batch divides."""
    run_root: str = "runs"
    """Folder of the run folders."""

    def __post_init__(self) -> None:
        if not self.name or "/" in self.name or self.name.startswith("."):
            raise ValueError(f"name must be a plain folder name; got {self.name!r}.")
        for name in ("epochs", "evaluate_every", "checkpoint_every"):
            _at_least_one(name, getattr(self, name))
        if self.devices is not None:
            _at_least_one("devices", self.devices)
        _within("label_smoothing", self.label_smoothing, 0.0, 1.0, open_above=True)
        _within("ema", self.ema, 0.0, 1.0, open_above=True)
        if not 0 <= self.seed < 2**31:
            raise ValueError(f"seed must be in [0, 2^31); got {self.seed}.")


def experiment_to_dict(experiment: Experiment) -> dict[str, Any]:
    """`experiment` as nested dictionaries of JSON values.

    >>> experiment_from_dict(experiment_to_dict(Experiment(seed=3))).seed
    3
    """
    return dataclasses.asdict(experiment)


def experiment_from_dict(values: dict[str, Any]) -> Experiment:
    """The experiment that `experiment_to_dict` wrote.

    Raises:
      ValueError: a field is unknown (the nearest name is given) or has an impossible value.
    """
    return _build(Experiment, values, "")


def differences(old: Experiment, new: Experiment) -> tuple[str, ...]:
    """One line for each field that differs, `run_root` apart, by its dotted name.

    >>> differences(Experiment(), Experiment(data=DataConfig(extent=16)))
    ('data.extent: the run has 32, now 16',)
    """
    before, after = (_flatten(experiment_to_dict(x)) for x in (old, new))
    names = [name for name in before if name != "run_root"] + [k for k in after if k not in before]
    return tuple(
        f"{name}: the run has {before.get(name)!r}, now {after.get(name)!r}"
        for name in names
        if before.get(name) != after.get(name)
    )


def _flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def _build(cls: type, values: Any, path: str) -> Any:
    if not isinstance(values, dict):
        raise ValueError(
            f"{path.rstrip('.') or 'the experiment'} must be an object of fields; got {values!r}."
        )
    hints = typing.get_type_hints(cls)
    known = [f.name for f in dataclasses.fields(cls)]
    built = {}
    for name, value in values.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(known)}."
            raise ValueError(f"unknown field {path + name!r}{hint}")
        built[name] = _value(hints[name], value, path + name)
    return cls(**built)


def _value(hint: Any, value: Any, path: str) -> Any:
    if dataclasses.is_dataclass(hint):
        return _build(typing.cast(type, hint), value, path + ".")
    options = typing.get_args(hint) if typing.get_origin(hint) in _UNIONS else (hint,)
    if isinstance(value, list) and any(typing.get_origin(o) is tuple for o in options):
        return tuple(value)
    accepted = tuple(t for option in options for t in _accepted(option))
    if accepted and not isinstance(value, accepted):
        names = " or ".join(sorted({t.__name__ for t in accepted}))
        raise ValueError(f"{path} must be {names}; got {value!r}.")
    return value


_UNIONS = (typing.Union, types.UnionType)


def _accepted(hint: Any) -> tuple[type, ...]:
    """Types of a JSON value that fit `hint`; empty if the constructor checks it itself."""
    if hint is float:
        return (float, int)
    return (hint,) if hint in (int, bool, str, type(None)) else ()


def _at_least_one(name: str, value: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} must be an integer of at least 1; got {value!r}.")


def _positive(name: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} must be a positive number; got {value!r}.")


def _within(name: str, value: float, low: float, high: float, *, open_above: bool = False) -> None:
    if not (low <= value < high if open_above else low <= value <= high):
        raise ValueError(
            f"{name} must be in [{low}, {high}{')' if open_above else ']'}; got {value!r}."
        )
