"""The experiment: everything that decides a training run, and its record as JSON."""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from dataclasses import dataclass, field
from typing import Any, Literal

from snnjax.nn.remat import REMATS
from snnjax.sharding import PRESETS, mesh_axes
from snnjax.train.settings import DataConfig as DataConfig
from snnjax.train.settings import Group as Group
from snnjax.train.settings import ModelConfig as ModelConfig
from snnjax.train.settings import Network as Network
from snnjax.train.settings import OptimiserConfig as OptimiserConfig
from snnjax.train.settings import ScheduleConfig as ScheduleConfig
from snnjax.train.settings import SequenceConfig as SequenceConfig
from snnjax.train.settings import Source as Source
from snnjax.train.settings import SpeechConfig as SpeechConfig
from snnjax.train.settings import at_least_one, within

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
            at_least_one(name, getattr(self, name))
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
        within("label_smoothing", self.label_smoothing, 0.0, 1.0, open_above=True)
        within("ema", self.ema, 0.0, 1.0, open_above=True)
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


def _near(value: int, factor: int) -> int:
    """The multiple of `factor` that is nearest to `value`, not 0."""
    return max(round(value / factor), 1) * factor
