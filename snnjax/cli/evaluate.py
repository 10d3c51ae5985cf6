"""``snnjax evaluate RUN_FOLDER [--data FOLDER] [--skip-bad] [--votes N] [--test-part]``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from snnjax.cli.cores import use_cores
from snnjax.cli.options import CacheOptions, import_modules, parse
from snnjax.cli.output import quiet_stdout, summary_line


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(CacheOptions):
    """Options of ``snnjax evaluate``."""

    run_folder: tyro.conf.Positional[Path]
    """Folder that `snnjax train` wrote."""
    data: Annotated[str | None, tyro.conf.arg(metavar="FOLDER")] = None
    """Test on this folder instead of the run's own data."""
    skip_bad: bool = False
    """Skip malformed files and count them, even if the run did not."""
    checkpoint: Literal["last", "best"] = "last"
    """Checkpoint whose weights are evaluated."""
    votes: int = 0
    """Also average the probabilities over this many randomly changed copies of each sample."""
    test_part: bool = False
    """For a run with --data.validate: test on the test part of the data instead."""


def run(arguments: list[str]) -> None:
    """Evaluate and print the summary."""
    import_modules(arguments)
    options = parse(
        EvaluateOptions,
        arguments,
        command="evaluate",
        description="Test a trained run on its test split. The last line on stdout is JSON.",
    )
    from snnjax.runs import evaluate, read_experiment

    cache = options.cache
    with quiet_stdout():
        experiment = read_experiment(options.run_folder)
        use_cores(experiment.batch_size // experiment.accumulate, experiment.mesh)
        summary = evaluate(
            options.run_folder,
            data=options.data,
            checkpoint=options.checkpoint,
            skip_bad=options.skip_bad,
            votes=options.votes,
            test_part=options.test_part,
            compile_cache=cache,
        )
    print(summary_line(summary))
