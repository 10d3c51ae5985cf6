"""Find an experiment by name, path or module."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import snnjax
from snnjax.cli.nearest import did_you_mean

if TYPE_CHECKING:
    from snnjax.experiment import Experiment

DEFAULT = "e3dsnn_t_shapes3d"


def configs_folder() -> Path:
    """The folder of experiments: in the source checkout, else the copy in the wheel."""
    package = Path(snnjax.__file__).resolve().parent
    checkout = package.parent / "experiments" / "configs"
    return checkout if checkout.is_dir() else package / "_configs"


def experiment_files() -> dict[str, Path]:
    """Names that ``snnjax train NAME`` takes, each with its file, in one folder per family."""
    found = configs_folder().glob("*/*.py")
    return {path.stem: path for path in sorted(found) if not path.stem.startswith("_")}


def experiment_names() -> list[str]:
    """Names that ``snnjax train NAME`` takes."""
    return sorted(experiment_files())


def _library_module(path: Path) -> ModuleType:
    name = f"_snnjax_experiment_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{path} is not a Python file; an experiment is a .py file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def _module(reference: str) -> ModuleType:
    from snnjax.experiment import load_module

    if reference in (files := experiment_files()):
        return _library_module(files[reference])
    path = Path(reference)
    if path.suffix == ".py" or len(path.parts) > 1:
        if not path.is_file():
            raise FileNotFoundError(f"there is no experiment file {reference}")
        if path.suffix != ".py":
            raise ValueError(f"{reference} is not a Python file; an experiment is a .py file")
        return load_module(str(path))
    if "." in reference:
        try:
            return load_module(reference)
        except ValueError as error:
            raise ValueError(
                f"there is no module {reference!r}; {did_you_mean(reference, files)}"
            ) from error
    raise ValueError(f"there is no experiment {reference!r}; {did_you_mean(reference, files)}")


def load_experiment(reference: str) -> tuple[Experiment, str]:
    """The experiment that a name, a path to a .py file or a dotted module stands for.

    Args:
      reference: ``e3dsnn_t_shapes3d``, ``mine/run.py`` or ``my_package.run``. The file defines
        `experiment`, a `snnjax.experiment.Experiment`, and may define the classes it uses.

    Returns:
      The experiment, and the file's docstring.

    Raises:
      ValueError: unknown name (with the nearest one), or the file defines no experiment.
      FileNotFoundError: the file does not exist.
    """
    from snnjax.experiment import Experiment

    module = _module(reference)
    experiment = getattr(module, "experiment", None)
    if not isinstance(experiment, Experiment):
        raise ValueError(
            f"{module.__file__} must define `experiment`, a snnjax.experiment.Experiment; "
            f"it has {type(experiment).__name__}"
        )
    return experiment, (module.__doc__ or "").strip()


def split_reference(arguments: list[str]) -> tuple[str, list[str]]:
    """The leading experiment reference of a command line, or the default, and the rest.

    >>> split_reference(["mine.py", "--epochs", "2"])
    ('mine.py', ['--epochs', '2'])
    >>> split_reference(["--epochs", "2"])
    ('e3dsnn_t_shapes3d', ['--epochs', '2'])
    """
    if arguments and not arguments[0].startswith("-"):
        return arguments[0], arguments[1:]
    return DEFAULT, arguments
