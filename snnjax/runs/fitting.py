"""`fit`: training in a notebook, of an existing model and without a run folder."""

from __future__ import annotations

import dataclasses
import difflib
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from snnjax.data import Source, from_arrays
from snnjax.experiment import Experiment, OptimiserConfig, ScheduleConfig
from snnjax.nn import Module
from snnjax.runs.compile_cache import kept_programs
from snnjax.runs.use import load_model
from snnjax.tasks import Classification, Task
from snnjax.train import (
    Evaluation,
    Keeper,
    Loop,
    Programs,
    Progress,
    Reporter,
    Session,
    Trained,
    evaluations,
)
from snnjax.train.state import Weights, merge_model, split_model


@dataclass(frozen=True)
class Fit:
    """The result of `fit`.

    Attributes:
      model: the trained module; the given one is unchanged.
      metrics: rows of the steps and evaluations, as in a run's metrics.jsonl.
      result: the evaluation of the test split at the end.
      numbers: results of the `evaluators`.
      trained: the trained model with its data and programs, for evaluators.
    """

    model: Any
    metrics: list[dict[str, Any]]
    result: Evaluation
    numbers: dict[str, Any]
    trained: Trained


@dataclass(frozen=True)
class _Given:
    """The configuration of a model that was built manually: its graph and its arrays."""

    graphdef: nnx.GraphDef = field(compare=False)
    weights: Weights = field(compare=False)

    def build(self, info: Any, *, rngs: nnx.Rngs) -> Any:
        """A copy of the model, whatever the data; training donates its arrays."""
        return merge_model(self.graphdef, jax.tree.map(jnp.copy, self.weights))


def fit(
    model: nnx.Module,
    dataset: Source | tuple[Any, Any],
    task: Task | None = None,
    *,
    epochs: int | None = None,
    steps: int | None = None,
    batch_size: int = 32,
    learning_rate: float = 4e-3,
    seed: int = 0,
    progress: bool = True,
    compile_cache: bool = True,
    **options: Any,
) -> Fit:
    """Train a model, evaluate it after every epoch, and return it: the loop of `train`.

    Args:
      model: a `snnjax.nn.Module`.
      dataset: a source, or arrays (x, y) with samples first, see `snnjax.data.from_arrays`; these
        are trained and tested on.
      task: the task; None is `Classification()`.
      epochs, steps: the length, exactly one of them; without either 10 epochs.
      batch_size, learning_rate, seed: as in an experiment.
      progress: report progress on stderr. compile_cache: keep compiled programs for the user.
      options: further fields of `Experiment`, such as `schedule`, `mesh`, `evaluators`; the
        optimiser is adamw with `learning_rate` unless `optimiser` is given.

    Raises:
      ValueError, TypeError: model, data and task do not fit each other, or an option is unknown.
      Diverged: loss, gradients or weights are not finite.

    >>> import jax.numpy as jnp, numpy as np
    >>> from snnjax.nn import LIF, Sequential
    >>> net = Sequential(nnx.Linear(2, 2, rngs=nnx.Rngs(0)), LIF(2), lambda z: z.mean(0))
    >>> x = np.random.default_rng(0).random((8, 5, 2), np.float32)
    >>> data = from_arrays((x, [0, 1] * 4), sequences=True)
    >>> found = fit(net, data, epochs=1, batch_size=8, mesh="data=1", progress=False)
    >>> len(found.metrics), 0.0 <= found.result.scores["accuracy"] <= 1.0
    (2, True)
    """
    if not isinstance(model, Module):
        got = f"the class {model.__name__}" if isinstance(model, type) else type(model).__name__
        raise TypeError(
            f"`model` must be a snnjax.nn.Module, an object with forward(run, x); got {got}."
        )
    _check_options(options)
    if epochs is None and steps is None:
        epochs = 10
    options.setdefault("optimiser", OptimiserConfig(learning_rate=learning_rate))
    options.setdefault("schedule", ScheduleConfig())
    experiment = Experiment(
        data=from_arrays(dataset) if isinstance(dataset, tuple) else _checked(dataset),
        model=_Given(*split_model(model)),
        task=Classification() if task is None else task,
        epochs=epochs,
        steps=steps,
        batch_size=batch_size,
        seed=seed,
        **options,
    )
    session = Session.open(experiment, load=load_model).planned()
    with kept_programs(compile_cache), Reporter(shown=progress, total=session.total) as reporter:
        for sentence in experiment.data.notices(session.train_set, session.test_set):
            reporter.warn(sentence)
        programs = Programs(session.spec, reporter.say, reporter.warn)
        keeper = Keeper(reporter)
        loop = Loop(session, programs, keeper, Progress())
        state = loop.run(session.first_state())
        trained = loop.trained(state)
        result = loop.result or trained.evaluate(session.test_set)
        numbers = evaluations(experiment.evaluators, trained, session.test_set)
    model = merge_model(session.spec.graphdef, trained.weights)
    return Fit(model, keeper.rows, result, numbers, trained)


def _checked(dataset: Any) -> Source:
    if isinstance(dataset, type) or not hasattr(dataset, "open"):
        got = (
            f"the class {dataset.__name__}" if isinstance(dataset, type) else type(dataset).__name__
        )
        raise TypeError(
            "`dataset` must be a source, such as from_arrays({'x': x, 'label': y}), or a tuple of "
            f"arrays (x, y); got {got}."
        )
    return dataset


def _check_options(options: dict[str, Any]) -> None:
    """Raise for unknown fields of an experiment, with the nearest name."""
    known = [field.name for field in dataclasses.fields(Experiment)]
    for name in options:
        if name not in known:
            near = difflib.get_close_matches(name, [*known, "learning_rate"], n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}."
            raise TypeError(f"fit has no option {name!r}; {hint}")
