"""The subject of ``info`` and ``profile``: an experiment or a run, with a batch of its data."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import tyro

from snnjax.cli.experiments import load_experiment, split_reference
from snnjax.cli.options import CacheOptions, import_modules, parse
from snnjax.cli.train import describe, with_names, with_shortcuts
from snnjax.experiment import Experiment

SAMPLE = 512
"""Number of samples of each split that are used."""


@dataclass(frozen=True, kw_only=True)
class SubjectOptions(CacheOptions):
    """Options that choose an experiment and its data."""

    experiment: Annotated[Experiment, tyro.conf.arg(name="")]
    source: Annotated[str | None, tyro.conf.arg(name="data", metavar="FOLDER")] = None
    """Folder of data, or shapes3d; the same as --data.path."""
    skip_bad: bool = False
    """Skip malformed files and count them; the same as --data.skip-bad."""


class Subject(NamedTuple):
    """An experiment that is ready to run one batch.

    Attributes:
      session: the experiment, its splits reduced to `SAMPLE` samples, with its buckets.
      model: the model; of a run, with its trained weights.
      state: state before the first update.
      item: one prepared training batch.
      trained: whether the weights come from a run.
    """

    session: Any
    model: Any
    state: Any
    item: Any
    trained: bool

    @property
    def experiment(self) -> Experiment:
        """The settings."""
        return self.session.experiment

    def inputs(self) -> dict[str, Any]:
        """The named inputs of the model for the batch, outside the sharded step."""
        import jax

        spec = self.session.spec
        arrays = {k: v for k, v in self.item.batch.items() if k != "weight"}
        key = jax.random.key(self.experiment.seed)
        encoded = spec.source.encode(arrays, self.item.shape, key=key, train=True)
        return spec.task.prepare(encoded, key=key, train=True)[0]

    def call(self, **options: Any) -> Callable[[Any], Any]:
        """`f(model) -> output` on the batch, outside the sharded step; options go to the model."""
        import jax

        from snnjax.train import call_model

        def run(model: Any) -> Any:
            key = jax.random.key(self.experiment.seed)
            return call_model(model, self.inputs(), key=key, **options)

        return run


def _starting_point(reference: str) -> tuple[Experiment, str, Path | None]:
    """The experiment, description and run folder for a reference."""
    folder = Path(reference)
    if (folder / "config.json").is_file():
        from snnjax.runs import read_experiment

        return read_experiment(folder), f"The run in {folder}.", folder
    if folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a run folder: it has no config.json")
    return *load_experiment(reference), None


def read_subject(
    options_type: type[SubjectOptions], arguments: list[str], *, command: str, verb: str
) -> tuple[Any, Path | None]:
    """Parse ``[NAME|FILE|MODULE|RUN_FOLDER] [options]``; returns options and the run folder.

    Raises:
      ValueError: an option changes the model of a run, whose weights would not fit.
    """
    import_modules(arguments)
    reference, rest = split_reference(arguments)
    start, doc, folder = _starting_point(reference)
    changed, rest = with_names(start, rest)
    options = parse(
        options_type,
        rest,
        command=f"{command} {reference}",
        description=describe(reference, doc, verb),
        default=options_type(experiment=changed),
    )
    experiment = with_shortcuts(
        options.experiment, source=options.source, skip_bad=options.skip_bad
    )
    if folder is not None and experiment.model != start.model:
        raise ValueError(
            f"the model of {folder} cannot be changed; leave out the --model options, or name an "
            "experiment instead of a run"
        )
    return dataclasses.replace(options, experiment=experiment), folder


def sampled(experiment: Experiment) -> Experiment:
    """The experiment with its splits reduced to `SAMPLE`, but not below a batch."""
    data: Any = experiment.data
    reduced = dataclasses.replace(
        data,
        train_size=max(min(data.train_size or SAMPLE, SAMPLE), experiment.batch_size),
        test_size=min(data.test_size or SAMPLE, SAMPLE),
    )
    return dataclasses.replace(experiment, data=reduced)


def prepare(experiment: Experiment, folder: Path | None) -> Subject:
    """Load a sample of the data, fix buckets, build the model and one batch, on one device."""
    from snnjax.runs import load_model, restore
    from snnjax.runs.folder import read_shapes
    from snnjax.sharding import parse_mesh
    from snnjax.train import Session, merge_model

    mesh = parse_mesh("data=1")
    session = Session.open(sampled(experiment), mesh, load=load_model)
    session = session.planned(None if folder is None else read_shapes(folder))
    state = session.first_state()
    weights = state.weights if folder is None else restore(folder, mesh=mesh).weights
    model = merge_model(session.spec.graphdef, weights)
    with session.train_feed() as feed:
        item = next(feed)
    return Subject(session, model, state, item, folder is not None)
