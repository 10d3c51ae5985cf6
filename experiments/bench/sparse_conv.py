"""Row `sparse-conv`: a 3x3x3 submanifold convolution of a scanned room, and spconv.

Each peer and each of our arithmetics is checked against a loop over a dictionary in float64.
The floor is the product of as many rows as there are pairs, in tiles that stay in the cache: no
gather, no scatter, no map.
spconv has no backward on a CPU, so only our gradient is measured, relative to our forward.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from experiments.bench.measure import Case, compile_program, measure, our_case
from experiments.bench.options import Options
from experiments.bench.peer import Peer
from experiments.bench.scene import (
    Reference,
    error,
    indices,
    kernel,
    room,
    room_side,
    to_tensor,
)
from snnjax.cli.cores import SHARE, device_count
from snnjax.sharding import parse_mesh
from snnjax.sparse import ArithmeticTable, SparseTensor, sparse_conv, submanifold_map
from snnjax.sparse.arithmetic import ARITHMETICS
from snnjax.train.mesh import AXIS, replicate, shard

ROW = "sparse-conv"
TOLERANCE = 1e-5
WORK = ("forward with map", "forward", "map")
_CHECKS = 3  # a race does not fail every time
_TILE = 4096


def run(options: Options, peers: Sequence[Peer] = ()) -> Iterator[dict[str, Any]]:
    """Records for one cloud, for each number of channels."""
    yield from measure_clouds(options, peers, 1, ROW)


def measure_clouds(
    options: Options, peers: Sequence[Peer], batch: int, row: str
) -> Iterator[dict[str, Any]]:
    """Measure the same number of voxels in `batch` clouds, divided over devices as in training."""
    each = options.voxels // batch
    side, clouds = room_side(each), [room(each, seed=seed) for seed in range(batch)]
    sites = to_tensor(clouds, side, 1)
    references = [Reference(np.asarray(coords)) for coords in sites.coords]
    neighbours = float(np.mean([reference.neighbours for reference in references]))
    devices = device_count(batch * SHARE, jax.local_device_count())
    mesh = parse_mesh(f"data={devices}")
    for channels in options.channels:
        x = to_tensor(clouds, side, channels)
        weight = kernel(channels)
        expected = np.concatenate(
            [
                reference.convolve(np.asarray(feats), weight)
                for reference, feats in zip(references, x.feats, strict=True)
            ]
        )
        shapes = {
            "B": batch,
            "voxels": batch * each,
            "extent": side,
            "C": channels,
            "neighbours_of_27": round(neighbours, 2),
        }
        cases = [case for p in peers for case in peer_cases(p, x, weight, expected, shapes)]
        against = cases[0].library if cases else None
        chosen = ArithmeticTable().choose(batch * each // mesh.size, 27)
        others = ARITHMETICS if options.all_arithmetics else ()
        for arithmetic in dict.fromkeys((chosen, *others)):
            cases += _our_cases(x, weight, expected, arithmetic, chosen, shapes, against, mesh)
        cases.append(_floor(channels, round(neighbours * batch * each), shapes))
        yield from measure(row, cases, options.repeats)


def peer_cases(
    peer: Peer, x: SparseTensor, weight: np.ndarray, expected: np.ndarray, shapes: dict[str, Any]
) -> list[Case]:
    """The peer's work on this problem, its result compared with what is expected."""
    rows = np.asarray(x.feats).reshape(-1, x.feats.shape[-1])
    peer.load({"extent": list(x.extent)}, coords=indices(x), feats=rows, weight=weight)
    errors = [error(peer.result(what), expected) for what in WORK[:2] for _ in range(_CHECKS)]
    facts = {
        "threads": peer.threads,
        "correct": peer.sound and max(errors) < TOLERANCE,  # with a data race, a pass is luck
        "error": max(errors),
    }

    def case(what: str) -> Case:
        return Case(peer.label, peer.version, what, lambda: peer.time(what), shapes, facts)

    return [case(what) for what in WORK]


def _our_cases(
    x: SparseTensor,
    weight: np.ndarray,
    expected: np.ndarray,
    arithmetic: str,
    chosen: str,
    shapes: dict[str, Any],
    peer: str | None,
    mesh: Mesh,
) -> list[Case]:
    def build(x):
        """The map of each device, with a leading axis for the devices."""
        return jax.tree.map(lambda a: a[None], submanifold_map(x, arithmetic=arithmetic))

    def forward(x, weight, kmap):
        return sparse_conv(x, weight, jax.tree.map(lambda a: a[0], kmap)).feats

    def gradient(x, weight, kmap):
        def inner(feats, weight):
            return forward(x.replace(feats=feats), weight, kmap)

        out, pull = jax.vjp(inner, x.feats, weight)
        d_feats, d_weight = pull(out)
        return d_feats, jax.lax.psum(d_weight, AXIS)

    def share(function, specs, out: Any):
        return jax.shard_map(function, mesh=mesh, in_specs=specs, out_specs=out, check_vma=False)

    by_cloud, replicated = P(AXIS), P()
    x, w = shard(x, mesh), replicate(jnp.asarray(weight), mesh)
    maps = share(build, (by_cloud,), by_cloud)
    convolve = share(forward, (by_cloud, replicated, by_cloud), by_cloud)
    kmap = jax.jit(maps)(x)
    pull = share(gradient, (by_cloud, replicated, by_cloud), (by_cloud, replicated))
    programs = {
        "forward with map": compile_program(lambda x, w: convolve(x, w, maps(x)), x, w),
        "forward": compile_program(convolve, x, w, kmap),
        "map": compile_program(maps, x),
        "forward and backward": compile_program(pull, x, w, kmap),
    }
    found = [np.asarray(programs[what].run()).reshape(expected.shape) for what in WORK[:2]]
    worst = max(error(out, expected) for out in found)
    facts = {
        "arithmetic": arithmetic,
        "default": arithmetic == chosen,
        "devices": mesh.size,
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
