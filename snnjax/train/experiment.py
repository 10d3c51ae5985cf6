"""The experiment: everything that decides a training run, as frozen dataclasses."""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
import types
import typing
from dataclasses import dataclass, field
from typing import Any, Literal

from snnjax.data import Augment
from snnjax.data.speech import FrontEnd, SpeechAugment
from snnjax.nn.recompute import REMATS
from snnjax.sharding import PRESETS, mesh_axes
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
        _at_least_one("data.batch_size", self.batch_size)
        for name in ("train_size", "test_size"):
            if getattr(self, name) is not None:
                _at_least_one(f"data.{name}", getattr(self, name))


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
            _at_least_one(f"data.{name}", getattr(self, name))
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
        _at_least_one("data.steps", self.steps)
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
    spike_head: bool = False
    """Put a neuron before the head, so that the head receives spikes too."""
    twin: bool = False
    """Build the ANN twin: the same graph with ReLU in place of the neurons."""

    def __post_init__(self) -> None:
        _at_least_one("model.levels", self.levels)
        _at_least_one("model.steps", self.steps)
        _within("model.beta", self.beta, 0.0, 1.0)
        _within("model.bn_decay", self.bn_decay, 0.0, 1.0, open_above=True)

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
            _at_least_one(f"model.{name}", getattr(self, name))
        _positive("model.tau", self.tau)
        _within("model.dropout", self.dropout, 0.0, 1.0, open_above=True)
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
            _within("model.sigma", self.sigma, 0.0, math.inf, open_above=True)
        if self.readout not in ("softmax_sum", "mean"):
            raise ValueError(
                f"model.readout must be 'softmax_sum' or 'mean'; got {self.readout!r}."
            )


C = typing.TypeVar("C")


def of_type(config: Any, wanted: type[C]) -> C:
    """`config`, which must be of this class.

    Raises:
      TypeError: it is not, so what is asked for is done for another kind of data.
    """
    if not isinstance(config, wanted):
        raise TypeError(
            f"this needs a {wanted.__name__}, and the experiment has a {type(config).__name__}."
        )
    return config


KINDS: dict[str, tuple[type[Source], type[Network]]] = {
    "clouds": (DataConfig, ModelConfig),
    "sequences": (SpeechConfig, SequenceConfig),
}
"""Which data go with which models; `config.json` names the kind."""


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
        _positive("optimiser.groups.rate", self.rate)
        _within("optimiser.groups.weight_decay", self.weight_decay, 0.0, math.inf)


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
        _positive("optimiser.learning_rate", self.learning_rate)
        _within("optimiser.momentum", self.momentum, 0.0, 1.0, open_above=True)
        if self.momentum_swing:
            room = min(self.momentum, 1 - self.momentum)
            _within("optimiser.momentum_swing", self.momentum_swing, 0.0, room, open_above=True)
        if self.name == "sgd" and self.momentum_swing:
            raise ValueError("optimiser.momentum_swing is of adamw and adam; leave it out for sgd.")
        _within("optimiser.weight_decay", self.weight_decay, 0.0, math.inf)
        _within("optimiser.clip_norm", self.clip_norm, 0.0, math.inf)


@dataclass(frozen=True)
class Experiment:
    """One training run: data, model, optimiser, schedule, length, seed."""

    name: str = "e3dsnn_t_shapes3d"
    """Name of the experiment; the run folder is <run_root>/<name>-<seed>."""
    data: Source = field(default_factory=DataConfig)
    """What is read: a `DataConfig` or a `SpeechConfig`."""
    model: Network = field(default_factory=ModelConfig)
    """What is trained: a `ModelConfig` for clouds, a `SequenceConfig` for speech."""
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
    mesh: str = "data=-1"
    """Devices as axis=size with commas between: `data` cuts the batch, `model` channels; -1 takes
    the rest. On a CPU `snnjax train` makes the devices, for -1 one of each core as far as the
    batch divides."""
    sharding: Literal["replicated", "fsdp", "tensor", "mixed"] = "replicated"
    """How the parameters lie on the mesh: whole on every device, cut over `data` (fsdp), over
    `model` (tensor), or over both (mixed)."""
    accumulate: int = 1
    """Micro-batches that a batch is cut into, to save memory: they go through the model one after
    the other and make one update. Norms then see a micro-batch, and move their running statistics
    once for each. Evaluation takes the whole batch at once."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """What the operands of products are rounded to, in training and evaluation. Weights, sums,
    membranes, norms, losses and gradients are float32 in either."""
    remat: Literal["none", "products", "layers"] = "none"
    """What of the model is kept for the gradient: all it needs, or of each layer its input with the
    results of `products`, or the inputs of `layers` alone. The rest is computed again: less memory,
    more time, the same gradient but for rounding."""
    run_root: str = "runs"
    """Folder of the run folders."""

    def __post_init__(self) -> None:
        if not self.name or "/" in self.name or self.name.startswith("."):
            raise ValueError(f"name must be a plain folder name; got {self.name!r}.")
        for name in ("epochs", "evaluate_every", "checkpoint_every", "accumulate"):
            _at_least_one(name, getattr(self, name))
        if self.data.batch_size % self.accumulate:
            raise ValueError(
                f"data.batch_size must be a multiple of the accumulate={self.accumulate} "
                f"micro-batches of a step; got {self.data.batch_size}. Take "
                f"{_near(self.data.batch_size, self.accumulate)}, or another accumulate."
            )
        mesh_axes(self.mesh)
        if self.sharding not in PRESETS:
            raise ValueError(
                f"sharding must be one of {', '.join(PRESETS)}; got {self.sharding!r}."
            )
        if self.precision not in ("float32", "bfloat16"):
            raise ValueError(f"precision must be float32 or bfloat16; got {self.precision!r}.")
        if self.remat not in REMATS:
            raise ValueError(f"remat must be one of {', '.join(REMATS)}; got {self.remat!r}.")
        _within("label_smoothing", self.label_smoothing, 0.0, 1.0, open_above=True)
        _within("ema", self.ema, 0.0, 1.0, open_above=True)
        if not 0 <= self.seed < 2**31:
            raise ValueError(f"seed must be in [0, 2^31); got {self.seed}.")
        if (type(self.data), type(self.model)) not in KINDS.values():
            pairs = " or ".join(f"{d.__name__} with {m.__name__}" for d, m in KINDS.values())
            raise ValueError(
                f"data and model must go together, {pairs}; got {type(self.data).__name__} with "
                f"{type(self.model).__name__}."
            )
        if self.optimiser.momentum_swing and self.schedule.name != "one_cycle":
            raise ValueError(
                "optimiser.momentum_swing follows a one_cycle; set schedule.name to 'one_cycle', "
                f"or leave it out; got {self.schedule.name!r}."
            )
        if self.kind != "clouds" and self.arithmetic is not None:
            raise ValueError("arithmetic is of sparse convolutions; leave it out for sequences.")

    @property
    def kind(self) -> str:
        """Which of `KINDS` this is."""
        pair = (type(self.data), type(self.model))
        return next(name for name, types in KINDS.items() if types == pair)


def experiment_to_dict(experiment: Experiment) -> dict[str, Any]:
    """`experiment` as nested dictionaries of JSON values.

    >>> experiment_from_dict(experiment_to_dict(Experiment(seed=3))).seed
    3
    """
    return {"kind": experiment.kind, **dataclasses.asdict(experiment)}


def experiment_from_dict(values: dict[str, Any]) -> Experiment:
    """The experiment that `experiment_to_dict` wrote.

    Raises:
      ValueError: a field is unknown (the nearest name is given) or has an impossible value.
    """
    if not isinstance(values, dict):
        return _build(Experiment, values, "")
    kind = values.get("kind", "clouds")  # runs of before there were kinds are of clouds
    if kind not in KINDS:
        raise ValueError(f"kind must be {' or '.join(map(repr, KINDS))}; got {kind!r}.")
    data, model = KINDS[kind]
    fields = {name: value for name, value in values.items() if name != "kind"}
    if "devices" in fields:  # runs of before there were meshes
        devices = fields.pop("devices")
        fields["mesh"] = "data=-1" if devices is None else f"data={devices}"
    return _build(Experiment, fields, "", {"data": data, "model": model})


ELSEWHERE = ("run_root", "mesh", "sharding", "remat")
"""Fields that say where and how a run is computed, not what: a resumed run may have others.

Not `accumulate`, on which the statistics of norms depend, and not `precision`.
"""


def differences(old: Experiment, new: Experiment) -> tuple[str, ...]:
    """One line for each field that differs by its dotted name, those of `ELSEWHERE` apart.

    >>> differences(Experiment(), Experiment(data=DataConfig(extent=16)))
    ('data.extent: the run has 32, now 16',)
    """
    before, after = (_flatten(experiment_to_dict(x)) for x in (old, new))
    names = [name for name in before if name not in ELSEWHERE]
    names += [name for name in after if name not in before]
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


def _build(cls: type, values: Any, path: str, of: dict[str, type] | None = None) -> Any:
    """`cls` from its JSON; `of` tells the types of fields that their hints leave open."""
    if not isinstance(values, dict):
        raise ValueError(
            f"{path.rstrip('.') or 'the experiment'} must be an object of fields; got {values!r}."
        )
    hints = typing.get_type_hints(cls) | (of or {})
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
    if _is_config(hint):
        return _build(hint, value, path + ".")
    options = typing.get_args(hint) if typing.get_origin(hint) in _UNIONS else (hint,)
    for option in options:
        if isinstance(value, list) and typing.get_origin(option) is tuple:
            inner = typing.get_args(option)[0]
            return tuple(_value(inner, v, path) if _is_config(inner) else v for v in value)
    accepted = tuple(t for option in options for t in _accepted(option))
    if accepted and not isinstance(value, accepted):
        names = " or ".join(sorted({t.__name__ for t in accepted}))
        raise ValueError(f"{path} must be {names}; got {value!r}.")
    return value


def _is_config(hint: Any) -> bool:
    return isinstance(hint, type) and dataclasses.is_dataclass(hint)


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


def _near(value: int, factor: int) -> int:
    """The multiple of `factor` that is nearest to `value`, not 0."""
    return max(round(value / factor), 1) * factor


def _within(name: str, value: float, low: float, high: float, *, open_above: bool = False) -> None:
    if not (low <= value < high if open_above else low <= value <= high):
        raise ValueError(
            f"{name} must be in [{low}, {high}{')' if open_above else ']'}; got {value!r}."
        )
