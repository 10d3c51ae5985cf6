"""``snnjax predict RUN_FOLDER FILE``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from snnjax.cli.options import CacheOptions, import_modules, parse
from snnjax.cli.output import quiet_stdout


@dataclass(frozen=True, kw_only=True)
class PredictOptions(CacheOptions):
    """Options of ``snnjax predict``."""

    run_folder: tyro.conf.Positional[Path]
    """Folder that `snnjax train` wrote."""
    file: tyro.conf.Positional[Path]
    """A file of the kind that the run was trained on: a cloud, a mesh, a recording, an image."""
    top: int | None = None
    """Print only this many lines; for a classifier, the most probable classes."""

    out: Path | None = None
    """Also write the prediction and a picture of it into this folder: labels of points, boxes."""

    def __post_init__(self) -> None:
        if self.top is not None and self.top < 1:
            raise ValueError(f"--top must be at least 1; got {self.top}")


def run(arguments: list[str]) -> None:
    """Predict and print `number  name` lines; for a classifier, the probabilities."""
    import_modules(arguments)
    options = parse(
        PredictOptions,
        arguments,
        command="predict",
        description="Print the class probabilities of one file, the most probable first.",
    )
    from snnjax.runs import predict

    with quiet_stdout():
        answer = predict(
            options.run_folder, options.file, compile_cache=options.cache, out=options.out
        )
    for name, value in answer[: options.top]:
        print(f"{value:.4f}  {name}")
