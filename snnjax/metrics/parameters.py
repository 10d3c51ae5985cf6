"""The trainable parameters of a model, by path and in total."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
from flax import nnx


class ParameterRow(NamedTuple):
    """One trainable array of a model."""

    path: str
    shape: tuple[int, ...]
    dtype: str
    size: int


def parameter_table(model: nnx.Module) -> tuple[ParameterRow, ...]:
    """The trainable arrays of `model` by path: `nnx.Param` leaves only.

    Running statistics, neuron states and keys are not parameters. A Param shared by two layers is
    listed once.

    >>> [row[:2] for row in parameter_table(nnx.Linear(3, 2, rngs=nnx.Rngs(0)))]
    [('bias', (2,)), ('kernel', (3, 2))]
    """
    state = nnx.state(model, nnx.Param)
    return tuple(
        ParameterRow(_path(path), tuple(leaf.shape), str(leaf.dtype), math.prod(leaf.shape))
        for path, leaf in jax.tree.leaves_with_path(nnx.to_pure_dict(state))
    )


def count_parameters(model: nnx.Module) -> int:
    """The number of trainable parameters of `model`.

    >>> count_parameters(nnx.Linear(3, 2, rngs=nnx.Rngs(0)))
    8
    """
    return sum(row.size for row in parameter_table(model))


def _path(path: tuple) -> str:
    return "/".join(str(getattr(key, "key", key)) for key in path)
