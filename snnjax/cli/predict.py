"""``snnjax predict RUN_FOLDER FILE``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from snnjax.cli.options import Common, parse
from snnjax.cli.output import quiet_stdout


@dataclass(frozen=True, kw_only=True)
class PredictOptions(Common):
    """Which run, on which file."""

    run_folder: tyro.conf.Positional[Path]
    """Folder that `snnjax train` wrote."""
    file: tyro.conf.Positional[Path]
    """A cloud (.npz, .npy, .txt), a mesh (.off) or, for a run on speech, a recording (.wav)."""
    top: int | None = None
    """Print only the most probable classes."""

    def __post_init__(self) -> None:
        if self.top is not None and self.top < 1:
            raise ValueError(f"--top must be at least 1; got {self.top}")


def run(arguments: list[str]) -> None:
    """Predict and print one `probability  class` line a class, the most probable first."""
    options = parse(
        PredictOptions,
        arguments,
        command="predict",
        description="Print the class probabilities of one file, the most probable first.",
    )
    from snnjax.train import predict

    with quiet_stdout():
        probabilities = predict(options.run_folder, options.file)
    ranked = sorted(probabilities, key=lambda pair: -pair[1])
    for name, probability in ranked[: options.top]:
        print(f"{probability:.4f}  {name}")
