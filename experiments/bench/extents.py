"""Row `extents`: equal voxels in larger grids; neither time nor memory should follow the grid."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp

from experiments.bench.measure import compile_program, measure, our_case
from experiments.bench.options import Options
from experiments.bench.scene import kernel, room, room_side, to_tensor
from snnjax.sparse import sparse_conv, submanifold_map

ROW = "extents"
CLOUDS = 4
FACTORS = (1, 2, 4)
_WORK = ("forward with map", "gradient with map")


def run(options: Options) -> Iterator[dict[str, Any]]:
    """Records for the clouds in grids of once, twice and four times their own edge."""
    each = max(options.voxels // CLOUDS, 1)
    clouds = [room(each, seed=seed) for seed in range(CLOUDS)]
    channels = options.channels[0]
    weight = jnp.asarray(kernel(channels))

    def forward(weight, x):
        return sparse_conv(x, weight, submanifold_map(x)).feats

    def gradient(weight, x):
        def loss(weight, feats):
            return (forward(weight, x.replace(feats=feats)) ** 2).sum()

        return jax.grad(loss, argnums=(0, 1))(weight, x.feats)

    first = room_side(each)
    cases, scratch = [], {}
    for what, function in zip(_WORK, (forward, gradient), strict=True):
        for extent in (first * factor for factor in FACTORS):
            x = to_tensor(clouds, extent, channels)
            shapes = {"B": CLOUDS, "voxels": CLOUDS * each, "extent": extent, "C": channels}
            program = compile_program(function, weight, x)
            base = scratch.setdefault(what, program.temp_bytes)
            cases.append(
                our_case(
                    f"{what}, {extent}^3",
                    program,
                    shapes,
                    ratio_to=f"snnjax: {what}, {first}^3",
                    temp_ratio=program.temp_bytes / base if program.temp_bytes and base else None,
                )
            )
    yield from measure(ROW, cases, options.repeats)
