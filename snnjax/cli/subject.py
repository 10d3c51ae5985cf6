"""What ``info`` and ``profile`` look at: an experiment or a run, with a batch of its data."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import tyro

from snnjax.cli.experiments import load_experiment, split_reference
from snnjax.cli.options import Common, parse
from snnjax.cli.train import describe, with_shortcuts
from snnjax.train import Experiment

SAMPLE = 512
"""Samples of each split that are looked at."""


@dataclass(frozen=True, kw_only=True)
class SubjectOptions(Common):
    """The experiment, and which data."""

    experiment: Annotated[Experiment, tyro.conf.arg(name="")]
    source: Annotated[str | None, tyro.conf.arg(name="data", metavar="FOLDER")] = None
    """Folder of data, or shapes3d; the same as --data.source."""
    skip_bad: bool = False
    """Skip malformed files and count them; the same as --data.skip-bad."""


class Subject(NamedTuple):
    """An experiment made ready to run one batch.

    Attributes:
      experiment: the settings, its splits cut to `SAMPLE` clouds.
      model: the model; of a run, with its trained weights.
      spec: static part of the step. state: state before the first update.
      plan: capacities, from the run or from a scan of the sample; None for sequences.
      item: one prepared training batch.
      sites: mean and largest number of occupied sites by level, over the batch; none of sequences.
      trained: whether the weights come from a run.
    """

    experiment: Experiment
    model: Any
    spec: Any
    state: Any
    plan: Any
    item: Any
    sites: tuple[tuple[float, int], ...]
    trained: bool

    def call(self, **options: Any) -> Callable[[Any], Any]:
        """`f(model) -> output` on the batch, outside the sharded step; options go to the model."""
        import jax
        import jax.numpy as jnp

        from snnjax.train.feed import as_packed

        host = self.item.host
        points, count = (
            jnp.asarray(as_packed(rows, 1, self.experiment.accumulate))
            for rows in (host.points, host.count)
        )
        rows, forward = self.item.capacities, self.spec.forward

        def run(model: Any) -> Any:
            x = forward.inputs(points, count, rows)
            key = jax.random.key(self.experiment.seed)
            return forward(model, x, count, rows, key=key, **options)

        return run


def _starting_point(reference: str) -> tuple[Experiment, str, Path | None]:
    """Experiment, text and run folder that a reference stands for."""
    folder = Path(reference)
    if (folder / "config.json").is_file():
        from snnjax.train.folder import read_experiment

        return read_experiment(folder), f"The run in {folder}.", folder
    if folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a run folder: it has no config.json")
    return *load_experiment(reference), None


def read_subject(
    options_type: type[SubjectOptions], arguments: list[str], *, command: str, verb: str
) -> tuple[Any, Path | None]:
    """Parse ``[NAME|PATH|MODULE|RUN_FOLDER] [options]``; returns options and the run folder.

    Raises:
      ValueError: an option changes the model of a run, whose weights would not fit.
    """
    reference, rest = split_reference(arguments)
    start, doc, folder = _starting_point(reference)
    options = parse(
        options_type,
        rest,
        command=f"{command} {reference}",
        description=describe(reference, doc, verb),
        default=options_type(experiment=start),
    )
    experiment = with_shortcuts(
        options.experiment, source=options.source, skip_bad=options.skip_bad
    )
    if folder is not None and experiment.model != start.model:
        raise ValueError(
            f"the model of {folder} is what it is; leave out the --model options, or name an "
            "experiment instead of a run"
        )
    return dataclasses.replace(options, experiment=experiment), folder


def sampled(experiment: Experiment) -> Experiment:
    """The experiment with its splits cut to `SAMPLE`, but not below a batch."""
    data = experiment.data
    cut = dataclasses.replace(
        data,
        train_size=max(min(data.train_size or SAMPLE, SAMPLE), data.batch_size),
        test_size=min(data.test_size or SAMPLE, SAMPLE),
    )
    return dataclasses.replace(experiment, data=cut)


def prepare(experiment: Experiment, folder: Path | None) -> Subject:
    """Load a sample of the data, fix capacities, build the model and one batch, on one device."""
    from snnjax.sharding import parse_mesh
    from snnjax.train import load
    from snnjax.train.experiment import DataConfig, of_type
    from snnjax.train.feed import train_feed
    from snnjax.train.folder import describe_data
    from snnjax.train.forward import CloudForward
    from snnjax.train.plan import read_plan, scan, site_counts
    from snnjax.train.setup import build_spec, load_splits, read_table
    from snnjax.train.state import merge_model, split_model

    experiment = sampled(experiment)
    train_set, test_set = load_splits(experiment)
    mesh = parse_mesh("data=1")
    spec, state = build_spec(experiment, describe_data(train_set, test_set), mesh)
    forward, plan = spec.forward, None
    if not isinstance(forward, CloudForward):
        pass
    elif folder is not None and (folder / "buckets.json").is_file():
        plan = read_plan(folder / "buckets.json", depth=forward.depth)
    else:
        config, table = of_type(experiment.data, DataConfig), read_table(experiment)
        plan = scan(
            config,
            train_set,
            test_set,
            depth=forward.depth,
            seed=experiment.seed,
            accumulate=experiment.accumulate,
            table=table,
        )
    if folder is None:
        model = merge_model(spec.graphdef, state.weights)
    else:
        _, model = load(folder)
        spec = spec._replace(graphdef=split_model(model)[0])
    with train_feed(experiment, train_set, plan, mesh, None) as feed:
        item = next(iter(feed))
    sites = ()
    if isinstance(forward, CloudForward):
        counts = site_counts(item.host, forward.extent, forward.depth)
        sites = tuple((float(c.mean()), int(c.max())) for c in counts.T)
    return Subject(experiment, model, spec, state, plan, item, sites, folder is not None)
