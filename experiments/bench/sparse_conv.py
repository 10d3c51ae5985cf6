"""Row `sparse-conv`: a 3x3x3 submanifold convolution of a scanned room, beside spconv.

Each peer and each of our arithmetics is checked against a loop over a dictionary in float64.
The floor is the product of as many rows as there are pairs, in tiles that stay in the cache: no
gather, no scatter, no map.
spconv has no backward on a CPU, so the gradient is ours alone, as a ratio to our forward.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.bench.measure import Case, compile_program, measure, our_case
from experiments.bench.options import Options
from experiments.bench.peer import Peer
from experiments.bench.scene import Reference, error, kernel, room, room_side, to_tensor
from snnjax.sparse import ArithmeticTable, SparseTensor, sparse_conv, submanifold_map
from snnjax.sparse.arithmetic import ARITHMETICS

ROW = "sparse-conv"
TOLERANCE = 1e-5
WORK = ("forward with map", "forward", "map")
_CHECKS = 3  # a race does not lose every time
_TILE = 4096


def run(options: Options, peers: Sequence[Peer] = ()) -> Iterator[dict[str, Any]]:
    """Records for each number of channels, the peers in the same rounds as ours."""
    side = room_side(options.voxels)
    sites = to_tensor([room(options.voxels)], side, 1)
    coords = np.asarray(sites.coords[0])
    reference = Reference(coords)
    for channels in options.channels:
        x = to_tensor([coords], side, channels)
        weight = kernel(channels)
        expected = reference.convolve(np.asarray(x.feats[0]), weight)
        shapes = {
            "voxels": options.voxels,
            "extent": side,
            "C": channels,
            "neighbours_of_27": round(reference.neighbours, 2),
        }
        cases = [case for p in peers for case in peer_cases(p, x, weight, expected, shapes)]
        against = cases[0].library if cases else None
        chosen = ArithmeticTable().choose(options.voxels, 27)
        others = ARITHMETICS if options.all_arithmetics else ()
        for arithmetic in dict.fromkeys((chosen, *others)):
            cases += _our_cases(x, weight, expected, arithmetic, chosen, shapes, against)
        cases.append(_floor(channels, round(reference.neighbours * options.voxels), shapes))
        yield from measure(ROW, cases, options.repeats)


def peer_cases(
    peer: Peer, x: SparseTensor, weight: np.ndarray, expected: np.ndarray, shapes: dict[str, Any]
) -> list[Case]:
    """The peer's work on this problem, its result compared with what is expected."""
    peer.load(np.asarray(x.coords[0]), np.asarray(x.feats[0]), weight, x.extent)
    errors = [error(peer.result(what), expected) for what in WORK[:2] for _ in range(_CHECKS)]
    library = peer.library if peer.threads == 1 else f"{peer.library} ({peer.threads} threads)"
    facts = {
        "threads": peer.threads,
        "correct": peer.sound and max(errors) < TOLERANCE,  # where threads race, a pass is luck
        "error": max(errors),
    }

    def case(what: str) -> Case:
        return Case(library, peer.version, what, lambda: peer.time(what), shapes, facts)

    return [case(what) for what in WORK]


def _our_cases(
    x: SparseTensor,
    weight: np.ndarray,
    expected: np.ndarray,
    arithmetic: str,
    chosen: str,
    shapes: dict[str, Any],
    peer: str | None,
) -> list[Case]:
    def build(x):
        return submanifold_map(x, arithmetic=arithmetic)

    def forward(x, weight, kmap):
        return sparse_conv(x, weight, kmap).feats

    def gradient(x, weight, kmap):
        def inner(feats, weight):
            return forward(x.replace(feats=feats), weight, kmap)

        out, pull = jax.vjp(inner, x.feats, weight)
        return pull(out)

    w = jnp.asarray(weight)
    kmap = jax.jit(build)(x)
    programs = {
        "forward with map": compile_program(lambda x, w: forward(x, w, build(x)), x, w),
        "forward": compile_program(forward, x, w, kmap),
        "map": compile_program(build, x),
        "forward and backward": compile_program(gradient, x, w, kmap),
    }
    worst = max(error(np.asarray(programs[what].run()[0]), expected) for what in WORK[:2])
    facts = {
        "arithmetic": arithmetic,
        "default": arithmetic == chosen,
        "correct": worst < TOLERANCE,
        "error": worst,
    }
    library = f"snnjax ({arithmetic})"
    cases = []
    for what, program in programs.items():
        if what == "forward and backward":
            ratio_to = f"{library}: forward"
        else:
            ratio_to = None if peer is None else f"{peer}: {what}"
        cases.append(our_case(what, program, shapes, library=library, ratio_to=ratio_to, **facts))
    return cases


def _floor(channels: int, pairs: int, shapes: dict[str, Any]) -> Case:
    rows = jnp.ones((2 * _TILE, channels), jnp.float32)
    weight = jnp.ones((channels, channels), jnp.float32)

    def multiply(rows, weight):
        def tile(t, _):
            return jax.lax.dynamic_slice_in_dim(rows, t % _TILE, _TILE) @ weight

        return jax.lax.fori_loop(0, -(-pairs // _TILE), tile, rows[:_TILE])

    program = compile_program(multiply, rows, weight)
    return our_case("bare matmul", program, {**shapes, "pairs": pairs}, library="jax")
