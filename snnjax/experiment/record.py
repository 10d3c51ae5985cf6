"""An experiment as JSON: plain values, and the class of each replaceable part."""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

from snnjax.experiment.experiment import NEEDED, Experiment, check_part
from snnjax.experiment.modules import class_name, resolve_class, resolve_function

TYPE, FUNCTION = "type", "function"
"""Keys of JSON objects that name a class or a function."""

ELSEWHERE = ("run_root", "mesh", "sharding", "remat")
"""Fields that set where and how a run is computed, not what: a resumed run may change them.

Not `accumulate`, on which the statistics of norms depend, and not `precision`.
"""

_UNIONS = (typing.Union, types.UnionType)


def experiment_to_dict(experiment: Experiment) -> dict[str, Any]:
    """`experiment` as nested dictionaries of JSON values.

    Data, model, task and evaluators carry a "type", such as "snnjax.tasks.regression:Regression".
    """
    return _fields(experiment, "")


def experiment_from_dict(values: dict[str, Any]) -> Experiment:
    """The experiment that `experiment_to_dict` wrote.

    Raises:
      ValueError: a field is unknown (the nearest name is given) or has an impossible value, or a
        class is named that may not be used, see `snnjax.experiment.modules`.
    """
    if isinstance(values, dict) and "kind" in values and "task" not in values:
        raise ValueError(
            "this configuration was written by a version of snnjax that had no tasks. Start "
            "the run again with this version, or use it with the version that wrote it."
        )
    return _build(Experiment, values, "")


def differences(old: Experiment, new: Experiment) -> tuple[str, ...]:
    """One line per differing field, by dotted name, except those of `ELSEWHERE`."""
    before, after = (_flatten(experiment_to_dict(x)) for x in (old, new))
    names = [name for name in before if name not in ELSEWHERE]
    names += [name for name in after if name not in before]
    return tuple(
        f"{name}: the run has {before.get(name)!r}, now {after.get(name)!r}"
        for name in names
        if before.get(name) != after.get(name)
    )


def _flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def _fields(part: Any, path: str) -> dict[str, Any]:
    hints = typing.get_type_hints(type(part))
    return {
        field.name: _plain(getattr(part, field.name), hints[field.name], path + field.name)
        for field in dataclasses.fields(part)
        if field.init
    }


def _plain(value: Any, hint: Any, path: str) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        own = _fields(value, path + ".")
        return own if _config(hint) is type(value) else {TYPE: class_name(type(value)), **own}
    if isinstance(value, tuple | list):
        inner = _inner(hint)
        return [_plain(item, inner, f"{path}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, dict):
        return {str(key): _plain(item, Any, f"{path}.{key}") for key, item in value.items()}
    if inspect.isfunction(value):
        return {FUNCTION: class_name(value)}
    if isinstance(value, Path):
        return str(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(
        f"{path} must be a number, text, a tuple of those, a dataclass or a function defined at "
        f"the top of a module, so that it can be stored; got {type(value).__name__}."
    )


def _build(cls: type, values: Any, path: str) -> Any:
    if not isinstance(values, dict):
        raise ValueError(
            f"{path.rstrip('.') or 'the experiment'} must be an object of fields; got {values!r}."
        )
    hints = typing.get_type_hints(cls)
    known = [field.name for field in dataclasses.fields(cls) if field.init]
    built = {}
    for name, value in values.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(known)}."
            raise ValueError(f"unknown field {path + name!r}{hint}")
        part = cls is Experiment and (name in NEEDED or name == "evaluators")
        made = _value(hints[name], value, path + name, part=part)
        if cls is Experiment and name in NEEDED:
            check_part(name, made, NEEDED[name])
        built[name] = made
    return cls(**built)


def _value(hint: Any, value: Any, path: str, *, part: bool = False) -> Any:
    """Convert a JSON value to the type hint of its field; a `part` must name its class."""
    if isinstance(value, dict):
        return _object(hint, value, path, part)
    options = _options(hint)
    if isinstance(value, list):
        return tuple(_value(_inner(hint), v, f"{path}[{i}]") for i, v in enumerate(value))
    if part or any(_config(option) for option in options):
        if value is None and type(None) in options:
            return None
        raise ValueError(f"{path} must be an object of fields; got {value!r}.")
    if isinstance(value, str) and Path in options and str not in options:
        return Path(value)
    accepted = tuple(t for option in options for t in _accepted(option))
    if accepted and not isinstance(value, accepted):
        names = " or ".join(sorted({t.__name__ for t in accepted}))
        raise ValueError(f"{path} must be {names}; got {value!r}.")
    return value


def _object(hint: Any, value: dict[str, Any], path: str, part: bool) -> Any:
    if TYPE in value:
        cls = resolve_class(value[TYPE])
        return _build(cls, {k: v for k, v in value.items() if k != TYPE}, path + ".")
    if set(value) == {FUNCTION}:
        return resolve_function(value[FUNCTION])
    config = _config(hint)
    if config is not None and not part:
        return _build(config, value, path + ".")
    if part:
        raise ValueError(f"{path} must have a {TYPE!r}, as 'module:Class'; got {sorted(value)}.")
    return value


def _options(hint: Any) -> tuple[Any, ...]:
    return typing.get_args(hint) if typing.get_origin(hint) in _UNIONS else (hint,)


def _config(hint: Any) -> type | None:
    """The dataclass in a type hint, if there is one."""
    found = [h for h in _options(hint) if isinstance(h, type) and dataclasses.is_dataclass(h)]
    return found[0] if len(found) == 1 else None


def _inner(hint: Any) -> Any:
    """The type hint of the entries of a tuple."""
    for option in _options(hint):
        if typing.get_origin(option) in (tuple, list):
            return typing.get_args(option)[0]
    return Any


def _accepted(hint: Any) -> tuple[type, ...]:
    """Types of a JSON value that fit `hint`; empty if the constructor checks it itself."""
    if hint is float:
        return (float, int)
    if typing.get_origin(hint) is Callable:
        return ()
    return (hint,) if hint in (int, bool, str, type(None)) else ()
