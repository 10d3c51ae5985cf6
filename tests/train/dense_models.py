"""Two small networks on frames [T, B, C], a convolutional one and a transformer, for meshes."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.sharding import PartitionSpec as P

from snnjax.models import ClassifierOutput
from snnjax.nn import LIF, BatchNorm, Conv, SpikformerBlock, SpikingDense, kaiming_uniform, max_pool
from snnjax.sharding import pair_rules, rules_under


class Net(nnx.Module):
    """`layers` of the subclass on frames, then a linear head whose mean over time scores."""

    def init_state(self, x: Any) -> tuple:
        del x
        return ()

    def __call__(
        self,
        state: tuple,
        x: Array,
        *,
        key: Array | None = None,
        train: bool = False,
        axis_name: str | None = None,
    ) -> tuple[tuple, ClassifierOutput]:
        features, spikes = self.features(x, train=train, axis_name=axis_name)
        logits = self.head(features).mean(0)
        return spikes, ClassifierOutput(logits, jnp.zeros((), jnp.int32))


SIDE, WIDTH = 4, 16


class ConvNet(Net):
    """Twice convolution, norm, LIF; a pool between."""

    def __init__(self, in_channels: int, num_classes: int, *, rngs: nnx.Rngs, **_: Any):
        self.convs = nnx.List(
            [Conv(in_channels // SIDE**2, WIDTH, 3, rngs=rngs), Conv(WIDTH, WIDTH, 3, rngs=rngs)]
        )
        self.norms = nnx.List([BatchNorm(WIDTH) for _ in self.convs])
        self.neurons = nnx.List([LIF(WIDTH, tau=2.0, trainable=("tau",)) for _ in self.convs])
        self.head = nnx.Linear((SIDE // 2) ** 2 * WIDTH, num_classes, rngs=rngs)

    @property
    def tensor_rules(self) -> tuple[tuple[str, P], ...]:
        pair = pair_rules("^convs/0/weight$", "^(norms|neurons)/0/", "^convs/1/weight$", kernel=2)
        return (*pair, (".*", P()))

    def features(self, x: Array, **options: Any) -> tuple[Array, tuple]:
        x = x.reshape(*x.shape[:2], SIDE, SIDE, -1)
        spikes = []
        for index, (conv, norm, lif) in enumerate(
            zip(self.convs, self.norms, self.neurons, strict=True)
        ):
            x = norm(conv(x), **options)
            x = lif(lif.init_state(x.shape[1:-1], x.dtype), x)[1]
            spikes.append(x)
            x = max_pool(x) if index == 0 else x
        return x.reshape(*x.shape[:2], -1), tuple(spikes)


TOKENS, FEATURES, HEADS, HIDDEN = 4, 32, 4, 64


class Transformer(Net):
    """Tokens become spikes, which an encoder block reads: its stream is of whole numbers."""

    def __init__(self, in_channels: int, num_classes: int, *, rngs: nnx.Rngs, **_: Any):
        self.embed = SpikingDense(in_channels // TOKENS, FEATURES, init=kaiming_uniform, rngs=rngs)
        block = SpikformerBlock(
            FEATURES, HEADS, hidden=HIDDEN, init=kaiming_uniform, qkv_bias=True, rngs=rngs
        )
        self.blocks = nnx.List([block])
        self.head = nnx.Linear(FEATURES, num_classes, rngs=rngs)

    @property
    def tensor_rules(self) -> tuple[tuple[str, P], ...]:
        return (*rules_under(r"blocks/\d+", self.blocks[0].tensor_rules), (".*", P()))

    def features(self, x: Array, **options: Any) -> tuple[Array, tuple]:
        x = x.reshape(*x.shape[:2], TOKENS, -1)
        x = self.embed(self.embed.init_state(x), x, **options)[1]
        streams = [x]
        for block in self.blocks:
            x = block(block.init_state(x), x, **options)[1]
            streams.append(x)
        return x.mean(2), tuple(streams)
