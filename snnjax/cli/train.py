"""``snnjax train [NAME|PATH|MODULE] [--data FOLDER] [options]``."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from snnjax.cli.cores import use_cores
from snnjax.cli.experiments import experiment_names, load_experiment, split_reference
from snnjax.cli.memory import keep_memory
from snnjax.cli.options import Common, parse
from snnjax.cli.output import quiet_stdout, summary_line
from snnjax.train import Experiment, Hosts, is_first, start, train


@dataclass(frozen=True, kw_only=True)
class TrainOptions(Common):
    """An experiment, and what is not part of it."""

    experiment: Annotated[Experiment, tyro.conf.arg(name="")]
    source: Annotated[str | None, tyro.conf.arg(name="data", metavar="FOLDER")] = None
    """Folder of data to train on, or shapes3d; the same as --data.source."""
    skip_bad: bool = False
    """Skip malformed files and count them; the same as --data.skip-bad."""
    run_folder: Path | None = None
    """Where to write; by default a new folder in --run-root."""
    resume: bool = False
    """Continue the run in --run-folder from its last checkpoint."""
    max_hours: float | None = None
    """Save and stop in time to end so many hours after the start of the process; exit code 0."""
    compile_cache: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """Keep compiled programs in this folder, so that the next start need not compile them."""
    progress: bool = True
    """Show a progress bar on stderr."""
    hosts: Hosts = field(default_factory=Hosts)
    """Where several processes train together; see docs/launch.md."""


def with_shortcuts(
    experiment: Experiment, *, source: str | None = None, skip_bad: bool = False
) -> Experiment:
    """The experiment with ``--data`` and ``--skip-bad`` put where they belong."""
    data = experiment.data
    if source is not None:
        data = dataclasses.replace(data, source=source)
    if skip_bad:
        data = dataclasses.replace(data, skip_bad=True)
    return dataclasses.replace(experiment, data=data)


def describe(reference: str, doc: str, verb: str) -> str:
    """The head of a command's ``--help``: the experiment's own text and the other names."""
    others = ", ".join(experiment_names())
    return f"{verb} {reference}.\n\n{doc}\n\nExperiments: {others}; a path or a module also works."


def run(arguments: list[str]) -> None:
    """Train and print the summary."""
    reference, rest = split_reference(arguments)
    experiment, doc = load_experiment(reference)
    options = parse(
        TrainOptions,
        rest,
        command=f"train {reference}",
        description=describe(reference, doc, "Train"),
        default=TrainOptions(experiment=experiment),
    )
    experiment = with_shortcuts(
        options.experiment, source=options.source, skip_bad=options.skip_bad
    )
    size = experiment.data.batch_size // experiment.accumulate
    use_cores(size, experiment.mesh, options.hosts.count or 1)
    keep_memory()
    with quiet_stdout():
        start(options.hosts)
        summary = train(
            experiment,
            run_folder=options.run_folder,
            resume=options.resume,
            max_hours=options.max_hours,
            compile_cache=options.compile_cache,
            progress=options.progress,
        )
    if is_first():
        print(summary_line(summary))
