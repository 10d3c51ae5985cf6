"""Functional spiking neural networks in JAX.

Subpackages are loaded on first use (PEP 562), so that ``import snnjax`` costs nothing and
``snnjax.neurons`` does not pull in the trainer:

>>> import snnjax
>>> snnjax.__version__
'0.1.0'
>>> sorted(set(dir(snnjax)) & {"neurons", "sparse", "train"})
['neurons', 'sparse', 'train']
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from snnjax import boxes as boxes
    from snnjax import cli as cli
    from snnjax import data as data
    from snnjax import delays as delays
    from snnjax import encoders as encoders
    from snnjax import experiment as experiment
    from snnjax import losses as losses
    from snnjax import metrics as metrics
    from snnjax import models as models
    from snnjax import neurons as neurons
    from snnjax import nn as nn
    from snnjax import plasticity as plasticity
    from snnjax import runs as runs
    from snnjax import sharding as sharding
    from snnjax import sparse as sparse
    from snnjax import surrogates as surrogates
    from snnjax import tasks as tasks
    from snnjax import train as train
    from snnjax import unroll as unroll
    from snnjax import viz as viz

__version__ = "0.1.0"

_SUBPACKAGES = (
    "boxes",
    "cli",
    "data",
    "delays",
    "encoders",
    "experiment",
    "losses",
    "metrics",
    "models",
    "neurons",
    "nn",
    "plasticity",
    "runs",
    "sharding",
    "sparse",
    "surrogates",
    "tasks",
    "train",
    "unroll",
    "viz",
)


def __getattr__(name: str) -> ModuleType:
    """Import a subpackage when it is first named."""
    if name in _SUBPACKAGES:
        return importlib.import_module(f"snnjax.{name}")
    raise AttributeError(
        f"module 'snnjax' has no attribute {name!r}; its packages are {', '.join(_SUBPACKAGES)}"
    )


def __dir__() -> list[str]:
    return sorted([*globals(), *_SUBPACKAGES])
