"""Choosing what to recompute so that the backward pass through time fits into memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax


def scratch_bytes(function: Callable[..., Any], *args: Any) -> int:
    """The memory that a compiled function needs in addition to its arguments and results, in bytes.

    Nothing is run. Arguments may be `jax.ShapeDtypeStruct`s; only shapes and dtypes count.

    >>> import jax.numpy as jnp
    >>> scratch_bytes(lambda x: x + 1.0, jax.ShapeDtypeStruct((8,), jnp.float32))
    0
    """
    compiled = jax.jit(function).lower(*args).compile()
    memory = compiled.memory_analysis()
    if memory is None:
        raise ValueError(
            f"this backend, {jax.default_backend()!r}, does not report how much memory a compiled "
            "program needs; choose `checkpoint` manually: sqrt(T) is near the minimum."
        )
    return int(memory.temp_size_in_bytes)


def segment_lengths(steps: int) -> tuple[int, ...]:
    """Powers of two below T, from 4 sqrt(T) down to sqrt(T) / 8, where memory is lowest.

    Raises:
      ValueError: `steps` is below 1.

    >>> segment_lengths(1000), segment_lengths(3)
    ((128, 64, 32, 16, 8, 4), (2, 1))
    """
    if steps < 1:
        raise ValueError(f"`steps` must be at least 1; got {steps}.")
    root = 2.0 ** round(math.log2(math.sqrt(steps)))
    lengths = (int(root * 2.0**power) for power in range(2, -4, -1))
    return tuple(n for n in lengths if 1 <= n < steps)


def checkpoint_for(
    function: Callable[..., Any],
    *args: Any,
    steps: int,
    budget: int,
    candidates: Sequence[bool | int] | None = None,
) -> bool | int:
    """The first setting of `checkpoint` with which a function's scratch memory fits a budget.

    Each candidate is compiled ahead of time, in order, and its scratch is read from the compiled
    program; nothing is run or timed. So the choice depends only on shapes, dtypes, backend and
    XLA's version: make it once and keep it in the experiment's configuration.

    Args:
      function: `function(*args, checkpoint=...)`, everything that will be compiled: the gradient of
        the loss with the model inside, or a train step. It passes `checkpoint` to
        `snnjax.unroll.unroll` over the full model, where segments save most.
      args: arrays or `jax.ShapeDtypeStruct`s.
      steps: T.
      budget: scratch bytes, in addition to arguments and results.
      candidates: settings to try, the cheapest first. By default `True`, which for neurons is also
        faster than storing everything, then `segment_lengths(steps)`, all of which run the model
        forward twice, the longer ones in fewer segments. To avoid recomputation while memory
        suffices, begin with `False`.

    Returns:
      True, False or a segment length.

    Raises:
      ValueError: none fits; the error gives the lowest memory reached, and the setting for it.

    >>> import jax.numpy as jnp
    >>> from functools import partial
    >>> from snnjax.neurons import LIFParams, lif_init, lif_step
    >>> from snnjax.unroll import unroll
    >>> def gradient(x, checkpoint):
    ...     def loss(x):
    ...         run = partial(lif_step, LIFParams(0.9, 1.0))
    ...         return unroll(run, lif_init((64,)), x, checkpoint=checkpoint)[1].sum()
    ...     return jax.grad(loss)(x)
    >>> x = jax.ShapeDtypeStruct((256, 64), jnp.float32)
    >>> checkpoint_for(gradient, x, steps=256, budget=10**6)
    True
    """
    if steps < 1 or budget < 0:
        raise ValueError(f"`steps` must be at least 1, `budget` at least 0; got {steps}, {budget}.")
    tried = (True, *segment_lengths(steps)) if candidates is None else tuple(candidates)
    if not tried:
        raise ValueError("`candidates` is empty; give settings such as (True, 32).")
    needs: dict[str, int] = {}
    for checkpoint in tried:
        needed = scratch_bytes(partial(function, checkpoint=checkpoint), *args)
        if needed <= budget:
            return checkpoint
        needs[repr(checkpoint)] = needed
    least = min(needs, key=lambda name: needs[name])
    raise ValueError(
        f"no setting of `checkpoint` fits {budget:,} bytes; the lowest is {needs[least]:,} with "
        f"checkpoint={least}, of {', '.join(f'{name}: {n:,}' for name, n in needs.items())}. Raise "
        "the budget, make the batch smaller, or use snnjax.unroll.unroll_truncated."
    )
