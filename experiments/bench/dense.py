"""Row `dense`: ours compared with a dense convolution of the full grid, by occupancy.

Occupied cells are drawn at random, which gives few neighbours and favours
ours; the dense forms read a grid that is dense already and leave their result unmasked,
which favours them. Two forms represent dense: XLA's own convolution, and one matrix product for
each offset of the kernel on the shifted grid, which has the faster gradient on a CPU. Ratios are to
the latter: where they exceed 1 ours is slower.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from experiments.bench.measure import compile_program, measure, our_case
from experiments.bench.options import Options
from experiments.bench.scene import kernel, random_cells, to_tensor
from snnjax.sparse import KernelMap, SparseTensor, sparse_conv, submanifold_map
from snnjax.sparse.arithmetic import ARITHMETICS

ROW = "dense"
OCCUPANCIES = (0.01, 0.05, 0.1, 0.2, 0.4, 0.7, 1.0)


def run(options: Options) -> Iterator[dict[str, Any]]:
    """Records of forward, and of forward with backward."""
    side, channels = options.dense_extent, options.channels[0]
    weight = jnp.asarray(kernel(channels))
    grid = jnp.ones((1, side, side, side, channels), jnp.float32)
    shapes = {"extent": side, "C": channels}
    for what, wrap in (("forward", _itself), ("forward and backward", _pulled)):
        cases = [
            our_case(
                f"{what}, {form}", compile_program(wrap(f), grid, weight), shapes, library="jax"
            )
            for form, f in (("convolution", _convolution), ("dense products", _products))
        ]
        for occupancy in OCCUPANCIES:
            x = to_tensor([random_cells(side, occupancy)], side, channels)
            for arithmetic in ARITHMETICS:
                kmap = jax.jit(partial(submanifold_map, arithmetic=arithmetic))(x)
                programs = {
                    f"{what} with map": compile_program(
                        wrap(partial(_mapped, arithmetic=arithmetic)), x.feats, weight, x
                    ),
                    what: compile_program(wrap(_sparse), x.feats, weight, x, kmap),
                }
                for name, program in programs.items():
                    cases.append(
                        our_case(
                            f"{name}, {arithmetic}, occupancy {occupancy}",
                            program,
                            {**shapes, "occupancy": occupancy, "voxels": x.capacity},
                            ratio_to=f"jax: {what}, dense products",
                            arithmetic=arithmetic,
                        )
                    )
        yield from measure(ROW, cases, options.repeats)


def _convolution(grid: Array, weight: Array) -> Array:
    shaped = weight.reshape(3, 3, 3, *weight.shape[1:])
    return jax.lax.conv_general_dilated(
        grid, shaped, (1, 1, 1), "SAME", dimension_numbers=("NDHWC", "DHWIO", "NDHWC")
    )


def _products(grid: Array, weight: Array) -> Array:
    side = grid.shape[1]
    padded = jnp.pad(grid, ((0, 0), (1, 1), (1, 1), (1, 1), (0, 0)))
    out = jnp.zeros_like(grid)
    for k, (z, y, x) in enumerate(product(range(3), repeat=3)):
        shifted = padded[:, z : z + side, y : y + side, x : x + side]
        out = out + shifted @ weight[k]
    return out


def _sparse(feats: Array, weight: Array, x: SparseTensor, kmap: KernelMap) -> Array:
    return sparse_conv(x.replace(feats=feats), weight, kmap).feats


def _mapped(feats: Array, weight: Array, x: SparseTensor, *, arithmetic: str) -> Array:
    return _sparse(feats, weight, x, submanifold_map(x, arithmetic=arithmetic))


def _itself(function: Callable[..., Array]) -> Callable[..., Any]:
    return function


def _pulled(function: Callable[..., Array]) -> Callable[..., Any]:
    """`function`, then the gradients of features and weight, pulled back from its own output."""

    def both(feats: Array, weight: Array, *rest: Any) -> Any:
        out, pull = jax.vjp(lambda feats, weight: function(feats, weight, *rest), feats, weight)
        return pull(out)

    return both
