"""Surrogates by name, for configuration files; the rest of the package passes functions."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import TypeVar

from snnjax.surrogates.core import Spike
from snnjax.surrogates.exponential import piecewise_exponential, spike_rate_escape
from snnjax.surrogates.fourier import squarewave_fourier
from snnjax.surrogates.gaussians import gaussian, multi_gaussian
from snnjax.surrogates.integer import multi_level
from snnjax.surrogates.leaky import leaky_k_relu, piecewise_leaky_relu
from snnjax.surrogates.logarithmic import (
    fake_numerical,
    log_tailed_relu,
    nonzero_sign_log,
    s2nn,
)
from snnjax.surrogates.piecewise import (
    piecewise_quadratic,
    rectangle,
    straight_through,
    triangle,
)
from snnjax.surrogates.power import (
    circular,
    q_pseudo_spike,
    soft_sign,
    sparse_fast_sigmoid,
    super_spike,
)
from snnjax.surrogates.signed import ternary
from snnjax.surrogates.smooth import atan, erf, fast_sigmoid, sigmoid

_V = TypeVar("_V")

SURROGATES: dict[str, Spike] = {
    "atan": atan,
    "circular": circular,
    "erf": erf,
    "fake_numerical": fake_numerical,
    "fast_sigmoid": fast_sigmoid,
    "gaussian": gaussian,
    "leaky_k_relu": leaky_k_relu,
    "log_tailed_relu": log_tailed_relu,
    "multi_gaussian": multi_gaussian,
    "multi_level": multi_level,
    "nonzero_sign_log": nonzero_sign_log,
    "piecewise_exponential": piecewise_exponential,
    "piecewise_leaky_relu": piecewise_leaky_relu,
    "piecewise_quadratic": piecewise_quadratic,
    "q_pseudo_spike": q_pseudo_spike,
    "rectangle": rectangle,
    "s2nn": s2nn,
    "sigmoid": sigmoid,
    "soft_sign": soft_sign,
    "sparse_fast_sigmoid": sparse_fast_sigmoid,
    "spike_rate_escape": spike_rate_escape,
    "squarewave_fourier": squarewave_fourier,
    "straight_through": straight_through,
    "super_spike": super_spike,
    "ternary": ternary,
    "triangle": triangle,
}


def lookup(table: Mapping[str, _V], name: str, kind: str) -> _V:
    """The entry `name` of a registry.

    Args:
      table: the registry.
      name: the requested name.
      kind: kind of the entries, for the message.

    Raises:
      ValueError: the name is unknown; the message gives the nearest valid name and all of them.

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
    """The surrogate with a given name; a ValueError suggests the nearest valid name.

    >>> get_surrogate("atan") is atan
    True
    """
    return lookup(SURROGATES, name, "surrogate")
