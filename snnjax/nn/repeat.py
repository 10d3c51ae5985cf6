"""Identical blocks in sequence, traced and compiled once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from flax import nnx
from jax.typing import ArrayLike

from snnjax.nn.module import Module
from snnjax.nn.neurons.population import check_count
from snnjax.nn.parallel import Stacked
from snnjax.nn.run import Run


class Repeat(Stacked, Module):
    """`count` identical blocks in sequence, scanned over depth: one trace, whatever the depth.

        x_1 = block_0(x_0),  x_2 = block_1(x_1),  ...

    Each block has weights of its own, stacked along a first axis. States get that axis second,
    behind the batch; records and `probe` number the blocks: "blocks.2.attention".

    Args:
      make: `make(rngs)` returns a block, a `Module` whose output has the shape of its first input.
        Further inputs go to every block.
      count: how many.
      rngs: the weights of the blocks are drawn from keys split off it.

    >>> import jax.numpy as jnp
    >>> from snnjax.nn import LIF, Sequential
    >>> make = lambda rngs: Sequential(nnx.Linear(3, 3, rngs=rngs), LIF(3))
    >>> net = Repeat(make, 12, rngs=nnx.Rngs(0))
    >>> state, z = net(None, jnp.ones((4, 2, 3)))
    >>> z.shape, state["layers.1"].v.shape
    ((4, 2, 3), (2, 12, 3))
    """

    def __init__(self, make: Callable[[nnx.Rngs], Module], count: int, *, rngs: nnx.Rngs):
        self.count = check_count("count", count, "Repeat")
        keys = jax.random.split(rngs.params(), count)
        graphs: list[nnx.GraphDef] = []

        def arrays(key: jax.Array) -> Any:
            block = make(nnx.Rngs(key))
            if not isinstance(block, Module):
                raise TypeError(
                    f"Repeat: `make` must return a snnjax.nn.Module; got {type(block).__name__}."
                )
            graphdef, arrays = nnx.split(block)
            graphs.append(graphdef)
            return nnx.as_pure(arrays)

        stacked = jax.vmap(arrays)(keys)
        self.block: Module = nnx.merge(graphs[0], stacked)

    def forward(self, run: Run, *inputs: Any, **named: Any) -> Any:
        return run.scan(self.block, self.count, inputs, named)

    def at_epoch(self, epoch: ArrayLike, epochs: int) -> None:
        """Update the scheduled values of every block."""
        graphdef, arrays = nnx.split(self.block)

        def one(arrays: Any) -> Any:
            block = nnx.merge(graphdef, arrays)
            block.at_epoch(epoch, epochs)
            return nnx.as_pure(nnx.split(block)[1])

        nnx.update(self.block, jax.vmap(one)(nnx.as_pure(arrays)))

    @property
    def silent_steps(self) -> int:
        """The silent steps of all blocks in sequence."""
        return self.count * self.block.silent_steps
