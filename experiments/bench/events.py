"""Row `events`: event-driven and dense products with spikes, by density, width and batch.

Where the ratio of `event_matmul` exceeds 1 events are slower; the densities where it crosses 1 are
the limits of `ArithmeticTable`. `spike_matmul` decides by them on its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np

from experiments.bench.measure import compile_program, measure, our_case
from experiments.bench.options import Options
from snnjax.sparse import event_matmul, spike_matmul, takes_events

ROW = "events"
BATCHES = (1, 8, 64, 512)
WIDTHS = (256, 1024, 4096)
DENSITIES = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4)
MOST = 64 * 4096  # spikes of the largest batch: more takes minutes without changing the result


def run(options: Options) -> Iterator[dict[str, Any]]:
    """Records of the three products, N = M = width."""
    rng = np.random.default_rng(0)
    for width in WIDTHS:
        weight = jnp.asarray(rng.normal(size=(width, width)), jnp.float32)
        for batch in BATCHES:
            if batch * width > MOST:
                continue
            for density in DENSITIES:
                spikes = jnp.asarray(rng.random((batch, width)) < density, jnp.float32)
                shapes = {"B": batch, "N": width, "M": width, "density": density}
                cases = [
                    our_case(
                        name,
                        compile_program(product, spikes, weight),
                        shapes,
                        library=library,
                        ratio_to=None if product is jnp.matmul else "jax: dense",
                        **facts,
                    )
                    for library, name, product, facts in (
                        ("jax", "dense", jnp.matmul, {}),
                        ("snnjax", "event_matmul", event_matmul, {}),
                        (
                            "snnjax",
                            "spike_matmul",
                            spike_matmul,
                            {"takes_events": bool(takes_events(spikes, width))},
                        ),
                    )
                ]
                yield from measure(ROW, cases, options.repeats)
