"""Row `conv-net`: a training step of a small convolutional network on two-channel frames.

Two blocks of 3x3 convolution (32 and 64 channels), batch norm, LIF and 2x2 max pool, as in the
event-camera networks of the PyTorch libraries; then a linear head on every step, whose mean
over time is the score. Everything except the neurons runs once over T*B frames.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax import lax

from experiments.bench.measure import Case, compile_program, measure, our_case
from experiments.bench.options import Options
from experiments.bench.peer import Peer, training_peer
from experiments.bench.training import Loss, training_case
from snnjax.neurons import euler
from snnjax.nn import LIF, BatchNorm, Conv, Module, Run, max_pool
from snnjax.surrogates import atan
from snnjax.train.mesh import AXIS

ROW = "conv-net"
DECAY = 0.5
T, B, SIDE = 16, 16, 34
CHANNELS = 2, 32, 64
CLASSES = 10
RATE = 0.1


class ConvNet(Module):
    """The network built from library layers; frames [T, B, H, W, 2] to scores [B, 10]."""

    def __init__(self, weights: dict[str, np.ndarray]):
        rngs, tau = nnx.Rngs(0), 1 / (1 - DECAY)
        self.convs, self.norms, self.neurons = nnx.List(), nnx.List(), nnx.List()
        for i, (inner, outer) in enumerate(pairwise(CHANNELS)):
            conv = Conv(inner, outer, 3, rngs=rngs)
            conv.weight[...] = jnp.asarray(weights[f"c{i}"])
            self.convs.append(conv)
            self.norms.append(BatchNorm(outer))
            self.neurons.append(LIF(outer, tau=tau, decay=euler, trainable=(), checkpoint=False))
        self.head = nnx.Linear(*weights["head"].shape, rngs=rngs)
        self.head.kernel[...] = jnp.asarray(weights["head"])

    def forward(self, run: Run, x: jax.Array) -> jax.Array:
        for conv, norm, neurons in zip(self.convs, self.norms, self.neurons, strict=True):
            x = max_pool(run(neurons, run(norm, run(conv, x))))
        return run(self.head, x.reshape(*x.shape[:2], -1)).mean(0)


def run(options: Options, peers: Sequence[Peer]) -> Iterator[dict[str, Any]]:
    """Measure ours on one device and all cores, a hand-written step, the products alone, peers."""
    steps = options.steps or T
    x, label, weights = _problem(steps)
    shapes = {"T": steps, "B": B, "side": SIDE, "channels": list(CHANNELS)}
    named = {"label": label, **weights}
    cases = [
        training_peer(peer, {"kind": "conv-net", "decay": DECAY}, shapes, x=x, **named)
        for peer in peers
    ]
    against = cases[0].name if cases else None
    graph, params, rest = nnx.split(ConvNet(weights), nnx.Param, ...)
    ours = nnx.as_pure(params), nnx.as_pure(rest)
    hand_written = {name: jnp.asarray(weight) for name, weight in _all_weights(weights).items()}, ()
    for devices in device_counts():
        for library, loss, state in (
            ("snnjax", _loss(graph), ours),
            ("jax, hand-written", _hand_written_loss, hand_written),
        ):
            cases.append(
                training_case(
                    loss,
                    optax.sgd(RATE),
                    (*jax.tree.map(jnp.copy, state), x, label),
                    shapes,
                    devices=devices,
                    library=library,
                    ratio_to=against,
                )
            )
    cases.append(_floor(weights, steps, shapes, against))
    yield from measure(ROW, cases, options.repeats)


def device_counts() -> list[int]:
    """One device, and the largest number of devices that divides the batch evenly."""
    return sorted({1, max(n for n in range(1, jax.local_device_count() + 1) if B % n == 0)})


def _problem(steps: int) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Frames, labels, and the weights of convolutions and head."""
    rng = np.random.default_rng(0)
    x = (rng.random((steps, B, SIDE, SIDE, CHANNELS[0])) < 0.1).astype(np.float32)
    label = rng.integers(0, CLASSES, B).astype(np.int32)
    weights = {
        f"c{i}": rng.normal(size=(3, 3, a, b)) / np.sqrt(9 * a)
        for i, (a, b) in enumerate(pairwise(CHANNELS))
    }
    features = (SIDE // 4) ** 2 * CHANNELS[-1]
    weights["head"] = rng.normal(size=(features, CLASSES)) / np.sqrt(features)
    return x, label, {name: weight.astype(np.float32) for name, weight in weights.items()}


def _loss(graph: Any) -> Loss:
    def loss(params: Any, rest: Any, x: jax.Array, label: jax.Array) -> tuple[jax.Array, Any]:
        net = nnx.merge(graph, params, rest)
        _, scores = net(None, x, train=True, axis_name=AXIS)
        rest = nnx.as_pure(nnx.split(net, nnx.Param, ...)[2])
        return optax.softmax_cross_entropy_with_integer_labels(scores, label).mean(), rest

    return loss


def _all_weights(weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The weights with norms and biases, which start at one or zero."""
    more = {"bias": np.zeros(CLASSES, np.float32)}
    for i, channels in enumerate(CHANNELS[1:]):
        more[f"scale{i}"] = np.ones(channels, np.float32)
        more[f"shift{i}"] = np.zeros(channels, np.float32)
    return {**weights, **more}


def _hand_written_loss(p: Any, rest: Any, x: jax.Array, label: jax.Array) -> tuple[jax.Array, Any]:
    """The loss without the library: XLA's convolution and pool, a plain scan."""

    def step(v: jax.Array, current: jax.Array) -> tuple[jax.Array, jax.Array]:
        v = DECAY * v + current
        z = atan(v - 1.0)
        return v - z, z

    steps, batch = x.shape[:2]
    h = x.reshape(-1, *x.shape[2:])
    for i in range(len(CHANNELS) - 1):
        h = lax.conv_general_dilated(
            h, p[f"c{i}"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        mean, square = lax.pmean((h.mean((0, 1, 2)), (h * h).mean((0, 1, 2))), AXIS)
        h = (h - mean) * lax.rsqrt(square - mean**2 + 1e-5) * p[f"scale{i}"] + p[f"shift{i}"]
        h = h.reshape(steps, batch, *h.shape[1:])
        h = lax.scan(step, jnp.zeros(h.shape[1:]), h)[1].reshape(-1, *h.shape[2:])
        h = lax.reduce_window(h, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    scores = (h.reshape(steps, batch, -1) @ p["head"] + p["bias"]).mean(0)
    return optax.softmax_cross_entropy_with_integer_labels(scores, label).mean(), rest


def _floor(
    weights: dict[str, np.ndarray], steps: int, shapes: dict[str, Any], against: str | None
) -> Case:
    """The matrix products alone, on precomputed patches: forward, by weight, and by input."""
    first, second = (weights[name].reshape(-1, weights[name].shape[-1]) for name in ("c0", "c1"))
    frames, half = steps * B, SIDE // 2

    def products(first: Any, second: Any, head: Any, one: Any, two: Any, flat: Any) -> Any:
        outs = one @ first, two @ second, flat @ head
        by_weight = one.T @ outs[0], two.T @ outs[1], flat.T @ outs[2]
        return *by_weight, outs[1] @ second.T, outs[2] @ head.T

    arrays = (
        jnp.ones((frames * SIDE**2, len(first))),
        jnp.ones((frames * half**2, len(second))),
        jnp.ones((frames, len(weights["head"]))),
    )
    program = compile_program(products, first, second, weights["head"], *arrays)
    return our_case("the matrix products alone", program, shapes, library="jax", ratio_to=against)
