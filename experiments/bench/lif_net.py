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

from experiments.bench.measure import Case, compile_program, measure, our_case
from experiments.bench.options import Options
from experiments.bench.peer import Peer, training_peer
from experiments.bench.training import training_case
from snnjax.neurons import LIFParams, lif_init, lif_step
from snnjax.unroll import unroll

ROW = "lif-net"
DECAY = 0.9
WIDTHS = 700, 256, 256, 20
T, B = 100, 64


def run(options: Options, peers: Sequence[Peer]) -> Iterator[dict[str, Any]]:
    """Measure ours on one device and on all cores, the matmuls alone, and the peers."""
    steps = options.steps or T
    rng = np.random.default_rng(0)
    x = (rng.random((steps, B, WIDTHS[0])) < 0.05).astype(np.float32)
    label = rng.integers(0, WIDTHS[-1], B).astype(np.int32)
    weights = [
        (rng.normal(size=(a, b)) * 3 / np.sqrt(a)).astype(np.float32) for a, b in pairwise(WIDTHS)
    ]
    shapes = {"T": steps, "B": B, "widths": list(WIDTHS)}
    named = {f"w{i}": weight for i, weight in enumerate(weights)}
    cases = [
        training_peer(peer, {"kind": "net", "decay": DECAY}, shapes, x=x, label=label, **named)
        for peer in peers
    ]
    against = cases[0].name if cases else None
    for devices in sorted({1, jax.local_device_count()}):
        problem = jax.tree.map(jnp.asarray, weights), (), x, label
        cases.append(
            training_case(
                _loss, optax.adam(1e-3), problem, shapes, devices=devices, ratio_to=against
            )
        )
    cases.append(_floor(weights, x, shapes, against))
    yield from measure(ROW, cases, options.repeats)


def _loss(weights: Any, rest: Any, x: jax.Array, label: jax.Array) -> tuple[jax.Array, Any]:
    """Cross-entropy of the mean output, each layer a matmul over all of time, then its neurons."""
    h = x
    for weight in weights:
        h = h @ weight
        step = partial(lif_step, LIFParams(DECAY, 1.0))
        _, h = unroll(step, lif_init(h.shape[1:]), h)
    return optax.softmax_cross_entropy_with_integer_labels(h.mean(0), label).mean(), rest


def _floor(weights: Any, x: Any, shapes: dict[str, Any], against: str | None) -> Case:
    """The matrix products alone: forward, by weight, and by input except for the first layer."""

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

    program = compile_program(products, weights, x)
    return our_case("the matrix products alone", program, shapes, library="jax", ratio_to=against)
