"""Safe loading of classes by name: a run folder must not be able to run code.

`config.json` names the classes of an experiment as "module:Class". Only three kinds of modules are
searched: the library's own, those that this process has imported already, and those that the
user allows by name (`--module`, `allow_module`) with what these import from their own folder. A
configuration never causes any other import, and only dataclasses are called.

A class of a script that is running is named after the script's file, as if it were imported.
"""

from __future__ import annotations

import ast
import dataclasses
import difflib
import importlib
import importlib.util
import inspect
import re
import sys
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

LIBRARY = "snnjax"
_NAME = re.compile(r"\w[\w.-]*:[A-Za-z_][\w.]*")
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
    return f"{module_name(thing.__module__)}:{thing.__qualname__}"


def module_name(name: str) -> str:
    """The name of a module in a configuration: of `__main__`, the stem of the script's file."""
    file = getattr(sys.modules["__main__"], "__file__", None)
    return Path(file).stem if name == "__main__" and file else name


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
    module, name = _module(text, importable=_allowed_modules())
    found = _attribute(module, name, text)
    if not inspect.isfunction(found):
        raise ValueError(f"{text!r} is not a function.")
    return found


def source_file(thing: type | Callable[..., Any]) -> Path | None:
    """The file that defines a class or function outside the library; None if there is none."""
    if thing.__module__.partition(".")[0] == LIBRARY:
        return None
    try:
        found = inspect.getsourcefile(thing)
    except (OSError, TypeError):  # a notebook, or a class typed at a prompt
        return None
    return Path(found) if found and Path(found).is_file() else None


def own_modules(module: ModuleType) -> dict[str, ModuleType]:
    """A module and those that it imports from its own folder, directly or through others, by name.

    Only modules that are loaded count. The folder is that in which the module's dotted name
    begins; among installed packages it is nobody's own.
    """
    found, todo = {module.__name__: module}, [module]
    folder = _folder(module)
    if folder is None or folder in _installed():
        return found
    while todo:
        for name in _imports(todo.pop()):
            other = sys.modules.get(name)
            if other is not None and name not in found and _folder(other) == folder:
                found[name] = other
                todo.append(other)
    return found


def _allowed_modules() -> set[str]:
    loaded = [sys.modules[name] for name in _allowed if name in sys.modules]
    return _allowed.union(*(own_modules(module) for module in loaded))


def _folder(module: ModuleType) -> Path | None:
    """The folder in which the dotted name of a module begins; None without a file there."""
    file = getattr(module, "__file__", None)
    if not file or not file.endswith(".py"):
        return None
    path = Path(file).resolve()
    if module.__name__ == "__main__" or _files.get(module.__name__) == path:
        return path.parent
    parts = tuple(module.__name__.split("."))
    place = path.parent if path.name == "__init__.py" else path.with_suffix("")
    return Path(*place.parts[: -len(parts)]) if place.parts[-len(parts) :] == parts else None


def _installed() -> set[Path]:
    return {Path(path).resolve() for path in sysconfig.get_paths().values()}


def _imports(module: ModuleType) -> Iterator[str]:
    """Names that may be modules in the import statements of a module, packages included."""
    package = getattr(module, "__package__", None) or ""
    try:
        tree = ast.parse(Path(str(module.__file__)).read_bytes())
    except (OSError, SyntaxError, ValueError):  # gone or changed since it was loaded
        return
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and (package or not node.level):
            start = "." * node.level + (node.module or "")
            start = importlib.util.resolve_name(start, package) if node.level else start
            names = [start, *(f"{start}.{alias.name}" for alias in node.names)]
        for name in names:
            parts = name.split(".")
            yield from (".".join(parts[:end]) for end in range(1, len(parts) + 1))


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
    if module == module_name("__main__"):
        return sys.modules["__main__"], name
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
