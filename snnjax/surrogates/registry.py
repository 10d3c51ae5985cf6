"""Names to functions, for what reads settings: the rest of the package passes functions."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import TypeVar

from snnjax.surrogates.core import Spike
from snnjax.surrogates.integer import multi_level
from snnjax.surrogates.piecewise import (
    piecewise_quadratic,
    rectangle,
    straight_through,
    triangle,
)
from snnjax.surrogates.smooth import atan, erf, fast_sigmoid, sigmoid

_V = TypeVar("_V")

SURROGATES: dict[str, Spike] = {
    "atan": atan,
    "erf": erf,
    "fast_sigmoid": fast_sigmoid,
    "multi_level": multi_level,
    "piecewise_quadratic": piecewise_quadratic,
    "rectangle": rectangle,
    "sigmoid": sigmoid,
    "straight_through": straight_through,
    "triangle": triangle,
}


def lookup(table: Mapping[str, _V], name: str, kind: str) -> _V:
    """The entry `name` of a registry.

    Args:
      table: the registry.
      name: what was asked for.
      kind: what the entries are, for the message.

    Raises:
      ValueError: naming the nearest valid name and all of them.

    >>> lookup({"subtract": 1, "zero": 2}, "substract", "reset")
    Traceback (most recent call last):
    ValueError: unknown reset 'substract'; did you mean 'subtract'? Valid: subtract, zero.
    """
    if name in table:
        return table[name]
    nearest = difflib.get_close_matches(str(name), list(table), n=1, cutoff=0.0)
    raise ValueError(
        f"unknown {kind} {name!r}; did you mean {nearest[0]!r}? Valid: {', '.join(sorted(table))}."
    )


def get_surrogate(name: str) -> Spike:
    """The surrogate of that name; a ValueError gives the nearest valid name.

    >>> get_surrogate("atan") is atan
    True
    """
    return lookup(SURROGATES, name, "surrogate")
