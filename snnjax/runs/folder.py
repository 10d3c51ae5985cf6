"""The run folder: its name, its initial files, and checks before a resume."""

from __future__ import annotations

import dataclasses
import inspect
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from snnjax.data import DataInfo
from snnjax.experiment import Experiment, differences, experiment_from_dict, experiment_to_dict
from snnjax.experiment.modules import module_name, own_modules, source_file
from snnjax.experiment.record import ELSEWHERE
from snnjax.runs.errors import RunFolderError
from snnjax.runs.writer import read_json, write_json

CODE = "code"
"""Folder in a run folder with copies of the files that define the user's own classes."""


def create_folder(experiment: Experiment, given: str | Path | None) -> Path:
    """Make a new run folder and write its `config.json`.

    Args:
      experiment: the experiment.
      given: the folder; None takes <run_root>/<name>-<seed>, with a number appended if taken.

    Raises:
      RunFolderError: the folder holds a run already, or cannot be written.
    """
    if given is not None:
        folder = Path(given)
        if (folder / "config.json").exists():
            raise RunFolderError(
                f"{folder} already holds a run. Continue it with resume=True (--resume), or name "
                "another folder."
            )
        _make(folder, exist_ok=True)
    else:
        folder = _free_folder(Path(experiment.run_root) / f"{experiment.name}-{experiment.seed}")
    copy_code(folder, experiment)
    write_json(folder / "config.json", experiment_to_dict(experiment))
    return folder


def copy_code(folder: Path, experiment: Experiment) -> None:
    """Copy the files that define classes and functions from outside the library.

    Those that they import from their own folder are copied too, in folders like their packages.
    The copies document the run and can be passed to --module; they are never run automatically.
    """
    parts = (experiment.data, experiment.model, experiment.task, *experiment.evaluators)
    files: dict[str, Path] = {}
    for thing in dict.fromkeys(found for part in parts for found in _defined(part)):
        path = source_file(thing)
        if path is None:
            continue
        files[f"{module_name(thing.__module__)}.py"] = path
        loaded = sys.modules.get(thing.__module__)
        for name, module in own_modules(loaded).items() if loaded else ():
            own = Path(str(module.__file__))
            place = name.split(".") + (["__init__"] if own.name == "__init__.py" else [])
            files.setdefault("/".join([*place[:-1], f"{module_name(place[-1])}.py"]), own)
    for name, path in files.items():
        (folder / CODE / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, folder / CODE / name)


def _defined(value: Any) -> Iterator[Any]:
    """The classes and functions in a part of an experiment, nested ones included."""
    if inspect.isfunction(value):
        yield value
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield type(value)
        for field in dataclasses.fields(value):
            yield from _defined(getattr(value, field.name))
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _defined(item)
    elif isinstance(value, dict):
        yield from _defined(list(value.values()))


def reopen_folder(experiment: Experiment | None, given: str | Path | None) -> Path:
    """Find the run folder to resume and check that it is a run of `experiment`.

    Args:
      experiment: the requested experiment; None accepts the run's own.
      given: the folder; None takes the newest of <run_root>/<name>-<seed>*.

    Raises:
      RunFolderError: no such run, or it cannot be written.
      ValueError: the run has another configuration; every field that differs is named.
    """
    if given is None:
        if experiment is None:
            raise ValueError("give an experiment or a run folder to resume.")
        folder = _newest_folder(Path(experiment.run_root), f"{experiment.name}-{experiment.seed}")
    else:
        folder = Path(given)
        if not folder.is_dir():
            raise RunFolderError(f"there is no run folder {folder} to resume; start it first.")
    stored = read_experiment(folder)
    if experiment is not None and (lines := differences(stored, experiment)):
        raise ValueError(
            f"{folder} is a run of another configuration; it cannot be resumed with this one. "
            + "; ".join(lines)
            + ". Give the run's own values, or start a new run."
        )
    _make(folder, exist_ok=True)  # fails early if read-only
    return folder


def keep_place(folder: Path, experiment: Experiment) -> None:
    """Update the settings in `config.json` of where and how a run is computed (see `ELSEWHERE`).

    Call it only while holding the lock of the folder, so that a refused resume changes nothing.
    """
    place = {name: getattr(experiment, name) for name in ELSEWHERE if name != "run_root"}
    kept = dataclasses.replace(read_experiment(folder), **place)
    write_json(folder / "config.json", experiment_to_dict(kept))


def read_experiment(folder: str | Path) -> Experiment:
    """The experiment of a run folder."""
    path = Path(folder) / "config.json"
    try:
        return experiment_from_dict(read_json(path))
    except (ValueError, TypeError) as error:
        copies = sorted((Path(folder) / CODE).glob("*.py"))
        hint = f" The run keeps a copy in {', '.join(map(str, copies))}." if copies else ""
        raise RunFolderError(f"{path} does not describe an experiment: {error}{hint}") from error


def write_info(folder: Path, info: DataInfo) -> None:
    """Write `dataset.json`."""
    write_json(folder / "dataset.json", dataclasses.asdict(info))


def read_info(folder: Path) -> DataInfo:
    """Read `dataset.json`."""
    path = folder / "dataset.json"
    values = read_json(path)
    counts = ("in_channels", "train_size", "test_size", "skipped")
    names = [field.name for field in dataclasses.fields(DataInfo)]
    if not isinstance(values, dict) or set(values) != set(names):
        wrong = f"its fields must be {', '.join(names)}"
    elif not _is_names(values["class_names"]):
        wrong = "class_names must be a list of names"
    elif bad := [name for name in counts if not _is_count(values[name])]:
        wrong = f"{bad[0]} must be an integer of at least 0; got {values[bad[0]]!r}"
    elif not _is_shape(values["sample_shape"]):
        wrong = f"sample_shape must be null or a list of sizes; got {values['sample_shape']!r}"
    else:
        shape = values["sample_shape"]
        own = {
            "class_names": tuple(values["class_names"]),
            "sample_shape": None if shape is None else tuple(shape),
        }
        return DataInfo(**{**values, **own})
    raise RunFolderError(
        f"{path} does not describe a data set: {wrong}. Restore it, or start a new run."
    )


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(n, str) for n in value)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_shape(value: Any) -> bool:
    return value is None or (isinstance(value, list) and all(map(_is_count, value)))


def check_info(folder: Path, info: DataInfo) -> None:
    """Raise if the data of a run changed since it began."""
    old = dataclasses.asdict(read_info(folder))
    lines = [
        f"{name}: the run has {old[name]!r}, now {value!r}"
        for name, value in dataclasses.asdict(info).items()
        if old[name] != value
    ]
    if lines:
        raise ValueError(
            f"the data of {folder} changed, so its run cannot continue: {'; '.join(lines)}."
        )


def read_shapes(folder: Path) -> dict[str, Any] | None:
    """The content of `buckets.json`; None if it is absent, as for batches of one shape."""
    path = folder / "buckets.json"
    values = read_json(path) if path.is_file() else None
    if not isinstance(values, dict | None):
        raise RunFolderError(
            f"{path} does not describe buckets of batches. Restore it, or start a new run."
        )
    return values


def resume_command(folder: Path) -> str:
    """The command that resumes the run in `folder`, with the options of this process."""
    program = Path(sys.argv[0]).name if sys.argv else ""
    if program == "snnjax" and sys.argv[1:2] == ["train"]:
        words = ["snnjax", *_without_folder(sys.argv[1:])]
    elif program == "train.py":
        words = ["python", sys.argv[0], *_without_folder(sys.argv[1:])]
    else:
        return f"snnjax.runs.train(None, run_folder={str(folder)!r}, resume=True)"
    return shlex.join([*words, "--run-folder", str(folder), "--resume"])


def _without_folder(words: list[str]) -> list[str]:
    kept, skip = [], False
    for word in words:
        if skip or word in ("--resume", "--run-folder"):
            skip = word == "--run-folder"
        elif not word.startswith("--run-folder="):
            kept.append(word)
    return kept


def _free_folder(base: Path) -> Path:
    """Create and return the folder `base`, or `base`-2, -3, ... if taken."""
    for number in range(1, 100_000):
        folder = base if number == 1 else base.with_name(f"{base.name}-{number}")
        try:
            _make(folder, exist_ok=False)
        except FileExistsError:
            continue
        return folder
    raise RunFolderError(f"{base.parent} has too many folders called {base.name}-*; clean it up.")


def _newest_folder(root: Path, name: str) -> Path:
    names = [name, *(f"{name}-{number}" for number in range(2, 1000))]
    taken = [root / n for n in names if (root / n / "config.json").is_file()]
    if not taken:
        raise RunFolderError(f"there is no run {root / name} to resume; start it first.")
    return max(taken, key=lambda folder: (folder / "config.json").stat().st_mtime_ns)


def _make(folder: Path, *, exist_ok: bool) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=exist_ok)
        probe = folder / ".probe"
        probe.touch()
        probe.unlink()
    except FileExistsError:
        if not exist_ok:
            raise
        raise RunFolderError(f"{folder} is a file; a run folder is needed there.") from None
    except OSError as error:
        raise RunFolderError(
            f"cannot write in {folder}: {error.strerror}. Choose another --run-root."
        ) from error
