"""``snnjax train [NAME|FILE|MODULE] [--data FOLDER] [options]``."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro

from snnjax.cli.cores import use_cores
from snnjax.cli.experiments import load_experiment, split_reference
from snnjax.cli.options import CacheOptions, import_modules, parse, take_value
from snnjax.cli.output import quiet_stdout, summary_line
from snnjax.experiment import Experiment, make
from snnjax.runs import Hosts, is_first, keep_memory, start, train


@dataclass(frozen=True, kw_only=True)
class TrainOptions(CacheOptions):
    """Options of ``snnjax train`` apart from the experiment's own."""

    experiment: Annotated[Experiment, tyro.conf.arg(name="")]
    source: Annotated[str | None, tyro.conf.arg(name="data", metavar="FOLDER")] = None
    """Folder of data to train on, or shapes3d; the same as --data.path."""
    skip_bad: bool = False
    """Skip malformed files and count them; the same as --data.skip-bad."""
    run_folder: Path | None = None
    """Where to write; by default a new folder in --run-root."""
    resume: bool = False
    """Continue the run in --run-folder from its last checkpoint."""
    max_hours: float | None = None
    """Save and stop so that the process ends within this many hours of its start; exit code 0."""
    progress: bool = True
    """Show a progress bar on stderr."""
    hosts: Hosts = field(default_factory=Hosts)
    """Settings for training in several processes; see docs/launch.md."""


def with_shortcuts(
    experiment: Experiment, *, source: str | None = None, skip_bad: bool = False
) -> Experiment:
    """The experiment with ``--data`` and ``--skip-bad`` applied to its data."""
    data: Any = experiment.data
    if source is not None:
        data = dataclasses.replace(data, path=source)
    if skip_bad:
        data = dataclasses.replace(data, skip_bad=True)
    return dataclasses.replace(experiment, data=data)


def with_names(experiment: Experiment, arguments: list[str]) -> tuple[Experiment, list[str]]:
    """The experiment with the parts named by ``--model`` and ``--task``, and other options.

    A given length replaces the other one.
    """
    for kind in ("model", "task"):
        name, arguments = take_value(arguments, f"--{kind}")
        if name is not None:
            experiment = dataclasses.replace(experiment, **{kind: make(kind, name)})
    given = {
        name
        for name in ("epochs", "steps")
        for word in arguments
        if word == f"--{name}" or word.startswith(f"--{name}=")
    }
    if given == {"steps"} and experiment.steps is None:
        experiment = dataclasses.replace(experiment, epochs=None, steps=1)
    if given == {"epochs"} and experiment.epochs is None:
        experiment = dataclasses.replace(experiment, epochs=1, steps=None)
    return experiment, arguments


def describe(reference: str, doc: str, verb: str) -> str:
    """The introduction of a command's ``--help``: the experiment's text and where others are."""
    return (
        f"{verb} {reference}.\n\n{doc}\n\nAnother model or task is taken by name, with --model or "
        "--task; `snnjax list` shows all names; a .py file or a module also works as an experiment."
    )


def run(arguments: list[str]) -> None:
    """Train and print the summary."""
    import_modules(arguments)
    reference, rest = split_reference(arguments)
    experiment, doc = load_experiment(reference)
    experiment, rest = with_names(experiment, rest)
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
    cache = options.cache
    size = experiment.batch_size // experiment.accumulate
    use_cores(size, experiment.mesh, options.hosts.count or 1)
    keep_memory()
    with quiet_stdout():
        start(options.hosts)
        summary = train(
            experiment,
            run_folder=options.run_folder,
            resume=options.resume,
            max_hours=options.max_hours,
            compile_cache=cache,
            progress=options.progress,
        )
    if is_first():
        print(summary_line(summary))
