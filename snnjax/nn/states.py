"""The states of a model by the paths of its layers, and what is checked of them."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from snnjax.nn.stateful import Stateful

State = dict[str, Any]
"""States of the layers of a model by their dotted path, batch first in every leaf."""


def check_state(model: nnx.Module, state: Any) -> None:
    """Raise unless `state` is a dictionary of states by path.

    Raises:
      TypeError: for anything else, such as the state of a single layer.
    """
    if state is None or (isinstance(state, dict) and all(isinstance(path, str) for path in state)):
        return
    raise TypeError(
        f"{type(model).__name__} takes its state as a dictionary by the paths of its layers; got "
        f"{type(state).__name__}. Pass the state that this model returned, or None to start at "
        "rest."
    )


def names_of(state: State | None) -> str:
    """The paths of a state, for a message."""
    return ", ".join(map(repr, sorted(state or ()))) or "no states"


def shapes_of(state: Any) -> Any:
    """The structure of a state and the shapes of its leaves."""
    return jax.tree.structure(state), [jnp.shape(leaf) for leaf in jax.tree.leaves(state)]


def other_batch(path: str, layer: Stateful, state: Any, inputs: tuple) -> ValueError:
    """The error for a state whose shape does not match the inputs."""
    want = shapes_of(jax.eval_shape(layer.rest_for, *inputs))[1]
    given = jax.tree.map(jnp.shape, inputs)
    return ValueError(
        f"{path}: the state of this {type(layer).__name__} has the shapes {shapes_of(state)[1]}; "
        f"inputs of {', '.join(map(str, given))} need {want}. Pass the state that this model "
        "returned for the same batch, or None to start at rest."
    )


def check_depth(states: State | None, count: int) -> None:
    """Raise unless every leaf of the states of stacked blocks has `count` blocks behind the batch.

    >>> check_depth({"blocks.cells": jnp.zeros((2, 3, 4))}, 3)
    """
    for path, state in (states or {}).items():
        for leaf in jax.tree.leaves(state):
            shape = jnp.shape(leaf)
            if len(shape) < 2 or shape[1] != count:
                raise ValueError(
                    f"{path}: the state of {count} repeated blocks has the shape [B, {count}, "
                    f"...]; got {shape}. Pass the state that this model returned, or None to "
                    "start at rest."
                )


def check_same(name: str, x: Any, out: Any) -> None:
    """Check that consecutive blocks return what they take."""
    before, after = (jax.tree.map(jnp.shape, tree) for tree in (x, out))
    dtypes = [[leaf.dtype for leaf in jax.tree.leaves(tree)] for tree in (x, out)]
    if before != after or dtypes[0] != dtypes[1]:
        raise ValueError(
            f"Repeat: {name} must return an output of the shape and dtype of its input, for the "
            f"next block to take; got {before} {dtypes[0]} in and {after} {dtypes[1]} out."
        )
