"""Safe loading of classes by name: a run folder must not be able to run code.

`config.json` names the classes of an experiment as "module:Class". Only three kinds of modules are
searched: the library's own, those that this process has imported already, and those that the
user allows by name (`--module`, `allow_module`). A file never causes any other import,
and only dataclasses are called.
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

LIBRARY = "snnjax"
_NAME = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
_allowed: set[str] = {"__main__"}
_files: dict[str, Path] = {}


def class_name(thing: type | Callable[..., Any]) -> str:
    """The name of a class or function in a configuration.

    >>> from snnjax.experiment import OptimiserConfig
    >>> class_name(OptimiserConfig)
    'snnjax.experiment.settings:OptimiserConfig'
    """
    if "<locals>" in thing.__qualname__ or "<lambda>" in thing.__qualname__:
        raise ValueError(
            f"{thing.__qualname__} is defined inside a function, where a stored run cannot find it "
            "again. Move it to the top of its module."
        )
    return f"{thing.__module__}:{thing.__qualname__}"


def allow_module(module: str | ModuleType) -> ModuleType:
    """Import a module and let configurations name its classes and functions."""
    found = importlib.import_module(module) if isinstance(module, str) else module
    _allowed.add(found.__name__)
    return found


def load_module(reference: str) -> ModuleType:
    """Import a file or a dotted name as a module that configurations may refer to.

    A file becomes the module of its own name, so that `my_task.py` and its copy in a run folder
    stand for the same classes. It may import files next to it, and a dotted name may be that of a
    module in the current folder; installed modules come first.

    Raises:
      FileNotFoundError: the file does not exist.
      ValueError: no such module, or another module has the name of the file.
    """
    if reference.endswith(".py") or "/" in reference:
        return _load_file(Path(reference))
    _search(Path.cwd())
    try:
        return allow_module(reference)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{reference}.".startswith(f"{error.name}."):
            raise
        raise ValueError(
            f"there is no module {reference!r}. Give a .py file, or the dotted name of a module "
            "that Python can import from here."
        ) from error


def _load_file(path: Path) -> ModuleType:
    if path.suffix != ".py" or not path.is_file():
        raise FileNotFoundError(f"there is no Python file {path}.")
    name, path = path.stem, path.resolve()
    known = sys.modules.get(name)
    if known is not None and name not in _files:
        if getattr(known, "__file__", None) and Path(str(known.__file__)).resolve() == path:
            return allow_module(known)
        raise ValueError(
            f"{path}: a module called {name!r} is imported already. Rename the file, so that a "
            "stored run can distinguish them."
        )
    if known is not None and _files[name] == path:
        return known
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{path} is not a Python file that can be imported.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look up their module
    _search(path.parent)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    _files[name] = path
    return allow_module(module)


def _search(folder: Path) -> None:
    """Let imports find modules in a folder, after everything that is installed."""
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


def resolve_class(text: Any) -> type:
    """The dataclass that a configuration names.

    Raises:
      ValueError: no such class, not a dataclass, or of a module that nobody imported or allowed.
    """
    module, name = _module(text, importable=sys.modules)
    found = _attribute(module, name, text)
    if not (isinstance(found, type) and dataclasses.is_dataclass(found)):
        raise ValueError(f"{text!r} is not a dataclass, so it is not part of an experiment.")
    return found


def resolve_function(text: Any) -> Callable[..., Any]:
    """The function that a configuration names, of the library or of an allowed module.

    Raises:
      ValueError: no such function, or of another module, even if it is imported.
    """
    module, name = _module(text, importable=_allowed)
    found = _attribute(module, name, text)
    if not inspect.isfunction(found):
        raise ValueError(f"{text!r} is not a function.")
    return found


def source_file(cls: type) -> Path | None:
    """The file that defines a class outside the library; None if there is no file to copy."""
    if cls.__module__.partition(".")[0] == LIBRARY:
        return None
    try:
        found = inspect.getsourcefile(cls)
    except (OSError, TypeError):  # a notebook, or a class typed at a prompt
        return None
    return Path(found) if found and Path(found).is_file() else None


def _module(text: Any, *, importable: Any) -> tuple[ModuleType, str]:
    """The module of a name, imported only if it is the library's own, and the rest of the name."""
    if not isinstance(text, str) or not _NAME.fullmatch(text):
        raise ValueError(f"a class is named as 'module:Class'; got {text!r}.")
    module, _, name = text.partition(":")
    if module == LIBRARY or module.startswith(f"{LIBRARY}."):
        try:
            return importlib.import_module(module), name
        except ModuleNotFoundError as error:
            raise ValueError(
                f"{text!r}: this version of snnjax has no module {module!r}."
            ) from error
    if module in importable and module in sys.modules:
        return sys.modules[module], name
    raise ValueError(
        f"{text!r} is defined outside the library, in {module!r}, which is not imported here. A "
        f"stored run never imports code by itself: give --module {module} (or the file that "
        f"defines it), or import it before; allow_module({module!r}) does both."
    )


def _attribute(module: ModuleType, name: str, text: str) -> Any:
    """An object that a module itself defines, not one it imported from elsewhere."""
    found: Any = module
    for part in name.split("."):
        own = vars(found)
        if part not in own:
            near = difflib.get_close_matches(part, [n for n in own if n[0] != "_"], n=1)
            hint = f"; did you mean {near[0]!r}?" if near else "."
            raise ValueError(f"{module.__name__} has no {name!r}{hint}")
        found = own[part]
        if getattr(found, "__module__", None) != module.__name__:
            raise ValueError(f"{text!r}: {name!r} is not defined in {module.__name__}.")
    return found
