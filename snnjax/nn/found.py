"""What a traversal returns in addition to the output."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import jax
import numpy as np

from snnjax.metrics import LayerActivity
from snnjax.nn.paths import below, join
from snnjax.nn.states import State


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Seen:
    """What one call returned.

    Attributes:
      value: the result.
      name: path of the layer, with ":field" for states over time (static).
    """

    value: Any
    name: str = field(metadata={"static": True})


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Watched:
    """One call of a layer, with its arguments.

    Attributes:
      state: the variables of the layer, as `flax.nnx.split` gives them.
      arrays: the array leaves of the arguments.
      name: path of the layer (static).
      kind: its class (static).
      graphdef: its graph (static).
      arguments: function from array leaves to (args, kwargs) (static).
    """

    state: Any
    arrays: list[Any]
    name: str = field(metadata={"static": True})
    kind: str = field(metadata={"static": True})
    graphdef: Any = field(metadata={"static": True})
    arguments: Callable[[Sequence[Any]], Any] = field(metadata={"static": True})


class Found(NamedTuple):
    """What a traversal returns in addition to the output, in the order of the calls.

    Attributes:
      state: next states by path.
      activity: what each weighted layer received.
      seen: what the tapped calls returned.
      watched: every call of a layer with its arguments, if that was asked for.
    """

    state: State
    activity: tuple[LayerActivity, ...]
    seen: tuple[Seen, ...]
    watched: tuple[Watched, ...]


def numbered(items: Sequence[Any], path: str, count: int) -> list[Any]:
    """Split what the `count` stacked blocks at `path` collected into one entry per block.

    Args:
      items: entries with a `name` whose arrays are stacked along their first axis.
      path: path of the blocks. count: how many.

    Returns:
      All entries of the first block, then those of the second, and so on.

    >>> [entry.name for entry in numbered([Seen(np.zeros(2), "b.fc"), Seen((), "b.mlp:v")], "b", 2)]
    ['b.0.fc', 'b.0.mlp:v', 'b.1.fc', 'b.1.mlp:v']
    """
    return [
        replace(
            jax.tree.map(lambda leaf, i=index: leaf[i], item),
            name=join(path, str(index), item.name.removeprefix(below(path))),
        )
        for index in range(count)
        for item in items
    ]


def split_arrays(tree: Any) -> tuple[list[Any], Callable[[Sequence[Any]], Any]]:
    """The arrays of a tree, and a function that rebuilds the tree from other arrays.

    >>> import jax.numpy as jnp
    >>> arrays, rebuild = split_arrays((jnp.ones(2), "same"))
    >>> len(arrays), rebuild([0])
    (1, (0, 'same'))
    """
    leaves, structure = jax.tree.flatten(tree)
    kinds = (jax.Array, np.ndarray, jax.ShapeDtypeStruct)
    places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, kinds)]

    def rebuild(arrays: Sequence[Any]) -> Any:
        filled = list(leaves)
        for place, array in zip(places, arrays, strict=True):
            filled[place] = array
        return jax.tree.unflatten(structure, filled)

    return [leaves[place] for place in places], rebuild
