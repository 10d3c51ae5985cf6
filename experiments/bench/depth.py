"""Row `depth`: time to trace and compile a transformer, by its number of blocks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from experiments.bench.measure import Case, measure, our_version
from experiments.bench.options import Options
from snnjax.nn import Module, Repeat, Sequential, SpikformerBlock

ROW = "depth"
WHAT = "trace and compile a gradient"
BLOCKS = 12
T, B, N, D, HEADS = 4, 2, 16, 64, 4


def run(options: Options) -> Iterator[dict[str, Any]]:
    """Time one block, scanned blocks, and the same number of blocks called in turn."""
    block = partial(_block, D)
    cases = []
    for name, blocks, model in (
        ("snnjax (one block)", 1, lambda: Repeat(block, 1, rngs=nnx.Rngs(0))),
        ("snnjax (Repeat)", BLOCKS, lambda: Repeat(block, BLOCKS, rngs=nnx.Rngs(0))),
        ("snnjax (in turn)", BLOCKS, lambda: Sequential(*map(block, _rngs(BLOCKS)))),
    ):
        shapes = {"blocks": blocks, "T": T, "B": B, "N": N, "D": D}
        ratio_to = cases[0].name if cases else None
        once = _clock_compilation(model())
        cases.append(Case(name, our_version(), WHAT, once, shapes, ratio_to=ratio_to))
    yield from measure(ROW, cases, options.repeats)


def _block(features: int, rngs: nnx.Rngs) -> SpikformerBlock:
    return SpikformerBlock(features, HEADS, rngs=rngs)


def _rngs(count: int) -> list[nnx.Rngs]:
    return [nnx.Rngs(seed) for seed in range(count)]


def _clock_compilation(model: Module) -> Callable[[], float]:
    """Milliseconds to trace, lower and compile the gradient of a training pass from scratch."""
    graphdef, params, rest = nnx.split(model, nnx.Param, ...)
    params, rest = nnx.as_pure(params), nnx.as_pure(rest)
    x = jax.ShapeDtypeStruct((T, B, N, D), jnp.float32)

    def loss(params: Any, x: jax.Array) -> jax.Array:
        return nnx.merge(graphdef, params, rest)(None, x, train=True)[1].mean()

    def once() -> float:
        jax.clear_caches()
        began = time.perf_counter()
        jax.jit(jax.grad(loss)).lower(params, x).compile()
        return 1e3 * (time.perf_counter() - began)

    return once
