"""Two small networks on frames [T, B, C], a convolutional one and a transformer, for meshes."""

from __future__ import annotations

from typing import Any

from flax import nnx
from jax import Array

from snnjax.nn import (
    LIF,
    BatchNorm,
    Conv,
    Module,
    Neurons,
    SpikformerBlock,
    SpikingDense,
    max_pool,
    pair,
)

SIDE, WIDTH = 4, 16


class ConvNet(Module):
    """Twice convolution, norm, LIF; a pool between, and a head whose mean over time scores."""

    def __init__(self, in_channels: int, num_classes: int, *, rngs: nnx.Rngs, **_: Any):
        self.convs = nnx.List(
            [Conv(in_channels // SIDE**2, WIDTH, 3, rngs=rngs), Conv(WIDTH, WIDTH, 3, rngs=rngs)]
        )
        self.norms = nnx.List([BatchNorm(WIDTH) for _ in self.convs])
        self.neurons = nnx.List([LIF(WIDTH, tau=2.0, trainable=("tau",)) for _ in self.convs])
        self.head = nnx.Linear((SIDE // 2) ** 2 * WIDTH, num_classes, rngs=rngs)
        pair(self.convs[0], [self.norms[0], self.neurons[0]], self.convs[1])

    def forward(self, run: Any, x: Array) -> Array:
        x = x.reshape(*x.shape[:2], SIDE, SIDE, -1)
        layers = zip(self.convs, self.norms, self.neurons, strict=True)
        for index, (conv, norm, lif) in enumerate(layers):
            x = run(lif, run(norm, run(conv, x)))
            x = max_pool(x) if index == 0 else x
        return run(self.head, x.reshape(*x.shape[:2], -1)).mean(0)


TOKENS, FEATURES, HEADS, HIDDEN = 4, 32, 4, 64


class Transformer(Module):
    """Tokens become spikes, which an encoder block reads: its stream is of integers."""

    def __init__(self, in_channels: int, num_classes: int, *, rngs: nnx.Rngs, **_: Any):
        lively = Neurons(threshold=0.5, attention_threshold=0.1)  # published ones fire once in 30
        options: dict[str, Any] = {"neurons": lively, "rngs": rngs}
        self.embed = SpikingDense(in_channels // TOKENS, FEATURES, **options)
        block = SpikformerBlock(FEATURES, HEADS, hidden=HIDDEN, qkv_bias=True, **options)
        self.blocks = nnx.List([block])
        self.head = nnx.Linear(FEATURES, num_classes, rngs=rngs)

    def forward(self, run: Any, x: Array) -> Array:
        x = run(self.embed, x.reshape(*x.shape[:2], TOKENS, -1))
        for block in self.blocks:
            x = run(block, x)
        return run(self.head, x.mean(2)).mean(0)


SPIKES = {
    "conv": ("neurons.0", "neurons.1"),
    "transformer": ("embed.neurons", "blocks.0.attention", "blocks.0.mlp"),
}
"""Paths of layers that return spikes."""
