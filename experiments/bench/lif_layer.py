"""Row `lif-layer`: LIF neurons alone over many steps, forward and backward."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec as P

from experiments.bench.measure import Case, compile_program, measure, our_case
from experiments.bench.options import Options
from experiments.bench.peer import Peer
from snnjax.neurons import LIFParams, lif_init, lif_step
from snnjax.sharding import parse_mesh
from snnjax.surrogates import atan
from snnjax.train.mesh import AXIS
from snnjax.unroll import unroll

ROW = "lif-layer"
WHAT = "forward and backward"
DECAY = 0.9
T, B, N = 1000, 16, 1024


def run(options: Options, peers: Sequence[Peer]) -> Iterator[dict[str, Any]]:
    """Measure ours with each storage of states, a hand-written scan, and the peers."""
    steps = options.steps or T
    rng = np.random.default_rng(0)
    x = rng.normal(0.05, 0.3, (steps, B, N)).astype(np.float32)
    upstream = rng.normal(size=x.shape).astype(np.float32)
    shapes = {"T": steps, "B": B, "N": N}
    program = compile_program(partial(gradient, partial(ours, checkpoint=True)), x, upstream)
    spikes = np.asarray(program.run()[0])
    cases = []
    for peer in peers:
        peer.load({"kind": "layer", "decay": DECAY}, x=x, upstream=upstream)
        cases.append(peer_case(peer, spikes, shapes))
    against = cases[0].name if cases else None
    rate = round(float(spikes.mean()), 4)
    cases.append(our_case(WHAT, program, shapes, ratio_to=against, rate=rate))
    stored = partial(gradient, partial(ours, checkpoint=False))
    hand_written = partial(gradient, _hand_written)
    others = {
        "snnjax (stored)": stored,
        "snnjax (segments)": partial(gradient, partial(ours, checkpoint=round(steps**0.5))),
        "jax, hand-written": hand_written,
    }
    devices = max(n for n in range(1, jax.local_device_count() + 1) if B % n == 0)
    if devices > 1:
        others[f"snnjax (stored, {devices} devices)"] = _sharded(stored, devices)
        others[f"jax, hand-written ({devices} devices)"] = _sharded(hand_written, devices)
    for name, function in others.items():
        here = _spread(devices, x, upstream) if name.endswith("devices)") else (x, upstream)
        other = compile_program(function, *here)
        equal = same(other.run()[0], spikes)
        cases.append(
            our_case(WHAT, other, shapes, library=name, ratio_to=against, same_spikes=equal)
        )
    yield from measure(ROW, cases, options.repeats)


def peer_case(peer: Peer, spikes: np.ndarray, shapes: dict[str, Any]) -> Case:
    """The peer's layer, and the share of its spikes that equal ours."""
    facts = {"threads": peer.threads, "same_spikes": same(peer.result(WHAT), spikes)}
    return Case(peer.label, peer.version, WHAT, lambda: peer.time(WHAT), shapes, facts)


def same(a: Any, b: Any) -> float:
    """Share of equal elements."""
    return round(float(np.mean(np.asarray(a) == np.asarray(b))), 6)


def gradient(layer: Any, x: jax.Array, upstream: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Spikes [T, ...], and the gradient by the currents."""
    spikes, pull = jax.vjp(layer, x)
    return spikes, pull(upstream)[0]


def _spread(devices: int, *arrays: np.ndarray) -> list[jax.Array]:
    """Arrays [T, B, N] sharded along the batch."""
    place = jax.NamedSharding(parse_mesh(f"data={devices}"), P(None, AXIS))
    return [jax.device_put(array, place) for array in arrays]


def _sharded(function: Any, devices: int) -> Any:
    """Compile `function` with each device working on its share of the batch."""
    along_batch = P(None, AXIS)
    return jax.shard_map(
        function,
        mesh=parse_mesh(f"data={devices}"),
        in_specs=(along_batch, along_batch),
        out_specs=(along_batch, along_batch),
    )


def ours(x: jax.Array, *, checkpoint: bool | int) -> jax.Array:
    """Spikes of the layer."""
    step = partial(lif_step, LIFParams(DECAY, 1.0))
    return unroll(step, lif_init(x.shape[1:]), x, checkpoint=checkpoint)[1]


def _hand_written(x: jax.Array) -> jax.Array:
    """Spikes without the library: a plain scan that stores everything."""

    def step(v: jax.Array, current: jax.Array) -> tuple[jax.Array, jax.Array]:
        v = DECAY * v + current
        z = atan(v - 1.0)
        return v - z, z

    return jax.lax.scan(step, jnp.zeros_like(x[0]), x)[1]
