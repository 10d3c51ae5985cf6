"""``snnjax evaluate RUN_FOLDER [--data FOLDER] [--skip-bad] [--votes N] [--test-part]``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from snnjax.cli.options import Common, parse
from snnjax.cli.output import quiet_stdout, summary_line


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(Common):
    """Which run, on what."""

    run_folder: tyro.conf.Positional[Path]
    """Folder that `snnjax train` wrote."""
    data: Annotated[str | None, tyro.conf.arg(metavar="FOLDER")] = None
    """Test on this folder instead of the run's own data."""
    skip_bad: bool = False
    """Skip malformed files and count them, even if the run did not."""
    checkpoint: Literal["last", "best"] = "last"
    """Which weights."""
    votes: int = 0
    """Also average the probabilities over so many augmented copies of each cloud."""
    test_part: bool = False
    """Of a run with --data.validate: test on the test part of the data after all."""


def run(arguments: list[str]) -> None:
    """Evaluate and print the summary."""
    options = parse(
        EvaluateOptions,
        arguments,
        command="evaluate",
        description="Test a trained run on its test split. The last line on stdout is JSON.",
    )
    from snnjax.train import evaluate

    with quiet_stdout():
        summary = evaluate(
            options.run_folder,
            data=options.data,
            checkpoint=options.checkpoint,
            skip_bad=options.skip_bad,
            votes=options.votes,
            test_part=options.test_part,
        )
    print(summary_line(summary))
