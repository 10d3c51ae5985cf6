"""Names that docstrings refer to exist, and where they say."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re

import pytest

import snnjax

PACKAGES = [info.name for info in pkgutil.iter_modules(snnjax.__path__) if info.ispkg]
NAME = re.compile(r"\bsnnjax(?:\.\w+)+")


def modules(package):
    root = importlib.import_module(f"snnjax.{package}")
    yield root
    for info in pkgutil.walk_packages(root.__path__, f"{root.__name__}."):
        yield importlib.import_module(info.name)


def docstrings(module):
    yield module.__doc__
    for _, member in inspect.getmembers(module):
        if getattr(member, "__module__", None) == module.__name__:
            yield inspect.getdoc(member)


def exists(name):
    parts = name.split(".")
    for at in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:at]))
        except ModuleNotFoundError:
            continue
        for part in parts[at:]:
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False


@pytest.mark.parametrize("package", PACKAGES)
def test_every_name_in_a_docstring_can_be_imported(package):
    named = {
        name
        for module in modules(package)
        for text in docstrings(module)
        for name in NAME.findall(text or "")
    }
    assert [name for name in sorted(named) if not exists(name)] == []
