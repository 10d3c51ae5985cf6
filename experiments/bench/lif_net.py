"""Row `lif-net`: a training step of a 700-256-256-20 network of LIF neurons."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from experiments.bench.measure import Case, clocked, measure, our_version, temp_bytes
from experiments.bench.options import Options
from experiments.bench.peer import Peer
from snnjax.neurons import LIFParams, lif_init, lif_step
from snnjax.train.mesh import AXIS, data_mesh, replicate
from snnjax.unroll import unroll

ROW = "lif-net"
WHAT = "training step"
DECAY = 0.9
WIDTHS = 700, 256, 256, 20
T, B = 100, 64


def run(options: Options, peers: Sequence[Peer]) -> Iterator[dict[str, Any]]:
    """Ours on one device and on all cores, the matmuls alone, and the peers."""
    steps = options.steps or T
    rng = np.random.default_rng(0)
    x = (rng.random((steps, B, WIDTHS[0])) < 0.05).astype(np.float32)
    label = rng.integers(0, WIDTHS[-1], B).astype(np.int32)
    weights = [
        (rng.normal(size=(a, b)) * 3 / np.sqrt(a)).astype(np.float32) for a, b in pairwise(WIDTHS)
    ]
    shapes = {"T": steps, "B": B, "widths": list(WIDTHS)}
    first, cases = _loss(weights, jnp.asarray(x), jnp.asarray(label)), []
    for peer in peers:
        named = {f"w{i}": weight for i, weight in enumerate(weights)}
        peer.load({"kind": "net", "decay": DECAY}, x=x, label=label, **named)
        cases.append(_peer_case(peer, float(first), shapes))
    against = cases[0].name if cases else None
    counts = sorted({1, jax.local_device_count()})
    cases += [_our_case(count, weights, x, label, shapes, against) for count in counts]
    cases.append(_floor(weights, x, shapes, against))
    yield from measure(ROW, cases, options.repeats)


def _peer_case(peer: Peer, loss: float, shapes: dict[str, Any]) -> Case:
    found = float(peer.result(WHAT)[0])
    facts = {"threads": peer.threads, "first_loss": round(found, 6), "our_loss": round(loss, 6)}
    return Case(peer.label, peer.version, WHAT, lambda: peer.time(WHAT), shapes, facts)


def _loss(weights: Any, x: jax.Array, label: jax.Array) -> jax.Array:
    """Cross-entropy of the mean output, each layer a matmul over all of time, then its neurons."""
    h = x
    for weight in weights:
        h = h @ weight
        step = partial(lif_step, LIFParams(DECAY, 1.0))
        _, h = unroll(step, lif_init(h.shape[1:]), h)
    return optax.softmax_cross_entropy_with_integer_labels(h.mean(0), label).mean()


def _our_case(
    devices: int, weights: Any, x: Any, label: Any, shapes: dict[str, Any], against: str | None
) -> Case:
    mesh: Mesh = data_mesh(devices)
    optimiser = optax.adam(1e-3)

    def update(weights: Any, moments: Any, x: jax.Array, label: jax.Array) -> Any:
        loss, gradient = jax.value_and_grad(_loss)(weights, x, label)
        loss, gradient = jax.lax.pmean((loss, gradient), AXIS)
        updates, moments = optimiser.update(gradient, moments)
        return optax.apply_updates(weights, updates), moments, loss

    sharded = jax.shard_map(
        update,
        mesh=mesh,
        in_specs=(P(), P(), P(None, AXIS), P(AXIS)),
        out_specs=P(),
        check_vma=False,
    )
    put = lambda a, spec: jax.device_put(a, jax.NamedSharding(mesh, spec))  # noqa: E731
    x, label = put(x, P(None, AXIS)), put(label, P(AXIS))
    weights = replicate(jax.tree.map(jnp.asarray, weights), mesh)
    state = [weights, replicate(optimiser.init(weights), mesh)]
    lowered = jax.jit(sharded, donate_argnums=(0, 1)).lower(*state, x, label)
    compiled = lowered.compile()

    def once() -> None:
        *state[:], loss = compiled(*state, x, label)
        jax.block_until_ready(loss)

    facts = {"devices": devices, "temp_bytes": temp_bytes(compiled)}
    library = "snnjax" if devices == 1 else f"snnjax ({devices} devices)"
    return Case(library, our_version(), WHAT, clocked(once), shapes, facts, against)


def _floor(weights: Any, x: Any, shapes: dict[str, Any], against: str | None) -> Case:
    """The matrix products alone: forward, by weight, and by input but for the first layer."""

    def products(weights: Any, x: jax.Array) -> Any:
        flat = x.reshape(-1, x.shape[-1])
        inputs, out = [flat], flat
        for weight in weights:
            out = out @ weight
            inputs.append(out)
        gradients = []
        for weight, h in zip(reversed(weights), reversed(inputs[:-1]), strict=True):
            gradients.append(h.T @ out)
            out = out @ weight.T if h is not flat else out
        return gradients

    compiled = jax.jit(products).lower(weights, x).compile()
    once = clocked(lambda: jax.block_until_ready(compiled(weights, x)))
    return Case("jax", our_version(), "the matrix products alone", once, shapes, {}, against)
