"""The experiment: all settings that determine a training run."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from snnjax.experiment.checks import at_least_one, within
from snnjax.experiment.registry import make
from snnjax.experiment.settings import OptimiserConfig, ScheduleConfig
from snnjax.nn import REMATS
from snnjax.sharding import PRESETS, mesh_axes

if TYPE_CHECKING:
    from snnjax.data import Source
    from snnjax.tasks import Task
else:  # the command line takes the options from the value, whatever its class
    Source = Task = Any

NEEDED = {
    "data": ("open", "collate", "shapes", "shapes_from_json", "encode", "notices"),
    "model": ("build",),
    "task": (
        *("goal", "inputs", "prepare", "loss", "score", "summarise", "outputs", "check"),
        *("check_batch", "bind", "pictures", "notes", "draw", "files", "answer"),
    ),
}
"""All that a run calls of its parts; see `snnjax.data.Source` and `snnjax.tasks.Task`, whose
subclasses have defaults for most of it."""


def _default_task() -> Any:
    return make("task", "classification")


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """One training run: data, model, task, optimiser, schedule, length, seed.

    Data, model and task are any frozen dataclasses with the methods of `Source`, `build`, and
    `Task`. Exactly one of `epochs` and `steps` gives the length.
    """

    data: Source
    """The data: a `snnjax.data.Source`."""
    model: Any
    """The model: its configuration, with `build(info, rngs=)`."""
    task: Task = field(default_factory=_default_task)
    """The task: a `snnjax.tasks.Task`."""
    evaluators: tuple[Any, ...] = ()
    """Further measurements of the trained model, such as `snnjax.train.Votes(16)`."""
    name: str = "experiment"
    """Name of the experiment; the run folder is <run_root>/<name>-<seed>."""
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    """The update rule."""
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    """The learning rate over the run."""
    batch_size: int = 32
    """Samples in a step, over all devices."""
    epochs: int | None = None
    """Length in passes over the training split; or give `steps`."""
    steps: int | None = None
    """Length in updates; or give `epochs`."""
    ema: float = 0.0
    """Decay of the evaluated running average of weights and norm statistics; 0 disables it."""
    seed: int = 0
    """Seed of the weights, of the data order and of the random changes."""
    evaluate_every: int = 1
    """Epochs between evaluations on the test split; the end is always evaluated."""
    checkpoint_every: int = 200
    """Steps between checkpoints; the end and each best evaluation are always saved."""
    mesh: str = "data=-1"
    """Devices as axis=size with commas between: `data` divides the batch, `model` the channels; -1
    takes the rest. On a CPU `snnjax train` makes the devices, for -1 one of each core as far as
    the batch divides."""
    sharding: Literal["replicated", "fsdp", "tensor", "mixed"] = "replicated"
    """How the parameters lie on the mesh: replicated on every device, sharded over `data` (fsdp),
    over `model` (tensor), or over both (mixed)."""
    accumulate: int = 1
    """Micro-batches that a batch is divided into, to save memory: they go through the model one
    after the other and make one update. Norms then use the statistics of a micro-batch, and update
    their running statistics once for each. Evaluation takes the full batch at once."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """The dtype to which operands of products are rounded, in training and evaluation. Weights,
    sums, membranes, norms, losses and gradients are always float32."""
    remat: Literal["none", "products", "layers"] = "none"
    """Activations kept for the gradient: `none` recomputes nothing; `products` keeps the inputs of
    blocks and the results of their products; `layers` keeps the inputs alone. The rest is
    recomputed: less memory, more time, the same gradient up to rounding."""
    run_root: str = "runs"
    """Folder of the run folders."""

    def __post_init__(self) -> None:
        if not self.name or "/" in self.name or self.name.startswith("."):
            raise ValueError(f"name must be a plain folder name; got {self.name!r}.")
        for name, needed in NEEDED.items():
            check_part(name, getattr(self, name), needed)
        for evaluator in self.evaluators:
            check_part("evaluators", evaluator, ("run",))
        self._check_lengths()
        mesh_axes(self.mesh)
        if self.sharding not in PRESETS:
            raise ValueError(
                f"sharding must be one of {', '.join(PRESETS)}; got {self.sharding!r}."
            )
        if self.precision not in ("float32", "bfloat16"):
            raise ValueError(f"precision must be float32 or bfloat16; got {self.precision!r}.")
        if self.remat not in REMATS:
            raise ValueError(f"remat must be one of {', '.join(REMATS)}; got {self.remat!r}.")
        within("ema", self.ema, 0.0, 1.0, open_above=True)
        if not 0 <= self.seed < 2**31:
            raise ValueError(f"seed must be in [0, 2^31); got {self.seed}.")
        if self.optimiser.momentum_swing and self.schedule.name != "one_cycle":
            raise ValueError(
                "optimiser.momentum_swing follows a one_cycle; set schedule.name to 'one_cycle', "
                f"or leave it out; got {self.schedule.name!r}."
            )

    def _check_lengths(self) -> None:
        if (self.epochs is None) == (self.steps is None):
            raise ValueError(
                "the length of a run is either epochs or steps, exactly one of them; got "
                f"epochs={self.epochs} and steps={self.steps}."
            )
        length = "steps" if self.epochs is None else "epochs"
        for name in (length, "batch_size", "evaluate_every", "checkpoint_every", "accumulate"):
            at_least_one(name, getattr(self, name))
        if self.batch_size % self.accumulate:
            raise ValueError(
                f"batch_size must be a multiple of the accumulate={self.accumulate} "
                f"micro-batches of a step; got {self.batch_size}. Take "
                f"{_near(self.batch_size, self.accumulate)}, or another accumulate."
            )


def check_part(name: str, part: Any, needed: tuple[str, ...]) -> None:
    """Raise unless a part of an experiment is a dataclass with these methods."""
    if isinstance(part, type) or not dataclasses.is_dataclass(part):
        got = f"the class {part.__name__}" if isinstance(part, type) else type(part).__name__
        raise TypeError(
            f"{name} must be an instance of a frozen dataclass, whose fields can be stored; got "
            f"{got}."
        )
    missing = [method for method in needed if not _has(part, method)]
    if missing:
        base = {"data": " snnjax.data.SourceBase", "task": " snnjax.tasks.Task"}.get(name)
        hint = f" A subclass of{base} has defaults for most methods." if base else ""
        raise TypeError(
            f"{name} needs {', '.join(f'`{m}`' for m in missing)}, which {type(part).__name__} "
            f"does not define.{hint}"
        )


def _has(part: Any, method: str) -> bool:
    """Whether a part defines a method, and not only inherits the one that must be replaced."""
    return hasattr(part, method) and not getattr(
        getattr(part, method), "__isabstractmethod__", False
    )


def _near(value: int, factor: int) -> int:
    """The multiple of `factor` that is nearest to `value`, not 0."""
    return max(round(value / factor), 1) * factor
