"""Row `long-time`: memory and time of backpropagation through two LIF layers, by length."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.bench.measure import compile_program, measure, our_case
from experiments.bench.options import Options
from snnjax.neurons import LIFParams, lif_init, lif_step
from snnjax.unroll import unroll

ROW = "long-time"
WHAT = "gradient of two layers"
LENGTHS = 256, 1024, 4096
B, N = 8, 256


def run(options: Options) -> Iterator[dict[str, Any]]:
    """Measure the unrolled model: body checkpointed, and in segments of about sqrt(T)."""
    rng = np.random.default_rng(0)
    weights = [jnp.asarray(rng.normal(size=(N, N)) / N**0.5, jnp.float32) for _ in range(2)]
    for steps in (options.steps,) if options.steps else LENGTHS:
        x = jnp.asarray(rng.normal(0.3, 1.0, (steps, B, N)), jnp.float32)
        cases = []
        for name, checkpoint in {
            "snnjax (steps)": True,
            "snnjax (segments)": round(steps**0.5),
        }.items():
            program = compile_program(partial(_gradient, checkpoint), weights, x)
            facts = {"checkpoint": checkpoint, "output_bytes": 2 * N * N * 4 + x.nbytes}
            ratio_to = None if not cases else cases[0].name
            shapes = {"T": steps, "B": B, "N": N}
            cases.append(our_case(WHAT, program, shapes, library=name, ratio_to=ratio_to, **facts))
        yield from measure(ROW, cases, options.repeats)


def _gradient(checkpoint: bool | int, weights: list[jax.Array], x: jax.Array) -> Any:
    """Gradient of the mean rate of the second layer, by weights and input."""

    def loss(weights: list[jax.Array], x: jax.Array) -> jax.Array:
        state = lif_init((B, N)), lif_init((B, N))
        return unroll(partial(_step, weights), state, x, checkpoint=checkpoint)[1].mean()

    return jax.grad(loss, argnums=(0, 1))(weights, x)


def _step(weights: list[jax.Array], state: Any, current: jax.Array) -> tuple[Any, jax.Array]:
    first, z = lif_step(LIFParams(0.9, 1.0), state[0], current @ weights[0])
    second, z = lif_step(LIFParams(0.9, 1.0), state[1], z @ weights[1])
    return (first, second), z.mean()
