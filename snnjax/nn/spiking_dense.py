"""Dense layer, norm and neurons: the building block of spiking transformers."""

from __future__ import annotations

from functools import partial
from math import prod
from typing import NamedTuple

from flax import nnx
from jax import Array

from snnjax.neurons import detach, euler, zero
from snnjax.nn.batch_norm import BatchNorm
from snnjax.nn.module import Module
from snnjax.nn.neurons.leaky import LIF
from snnjax.nn.neurons.population import check_count
from snnjax.nn.run import Run
from snnjax.surrogates import Spike, sigmoid

KERNEL_INIT = nnx.initializers.truncated_normal(0.02)
"""Normal with standard deviation 0.02, truncated at two of them, as published for Spikformer."""


class Neurons(NamedTuple):
    """Settings of a spiking transformer's neurons: LIF with a decayed input and a hard reset to 0.

        v' = v + (x - v) / tau,   z = H(v' - threshold),   v = v' (1 - z), no gradient through z

    Attributes:
      tau: time constant in steps.
      threshold: threshold of all neurons except those after the attention.
      attention_threshold: threshold of the neurons after the attention.
      spike: surrogate spike function.
    """

    tau: float = 2.0
    threshold: float = 1.0
    attention_threshold: float = 0.5
    spike: Spike = partial(sigmoid, slope=4.0)

    def layer(self, features: int, threshold: float | None = None) -> LIF:
        """Build a layer of these neurons."""
        return LIF(
            features,
            tau=self.tau,
            threshold=self.threshold if threshold is None else threshold,
            trainable=(),
            decay=euler,
            spike=self.spike,
            reset=detach(zero),
            scale_input=True,
        )


class SpikingDense(Module):
    """Neurons after batch norm after a dense layer: SN(BN(x W + b)), once over T * B * N tokens.

    Args:
      in_features: I. features: O, or several numbers with product O, such as (heads, width);
        the kernel has the shape [I, *features], so that a mesh can shard it by heads.
      use_bias: whether a bias of O numbers is added; in training the norm cancels it.
      neurons: settings of the neurons. kernel_init: initialiser of the kernel. rngs: random keys
        for it.

    >>> import jax.numpy as jnp
    >>> layer = SpikingDense(8, 4, rngs=nnx.Rngs(0))
    >>> state, z = layer(None, jnp.ones((5, 2, 3, 8)))
    >>> z.shape, state["neurons"].v.shape
    ((5, 2, 3, 4), (2, 3, 4))
    """

    def __init__(
        self,
        in_features: int,
        features: int | tuple[int, ...],
        *,
        use_bias: bool = True,
        neurons: Neurons = Neurons(),  # noqa: B008, it is immutable
        kernel_init: nnx.Initializer = KERNEL_INIT,
        rngs: nnx.Rngs,
    ):
        check_count("in_features", in_features, "SpikingDense")
        shape = features if isinstance(features, tuple) else (features,)
        self.features = prod(check_count("features", size, "SpikingDense") for size in shape)
        self.dense = nnx.LinearGeneral(
            in_features, shape, use_bias=use_bias, kernel_init=kernel_init, rngs=rngs
        )
        self.norm = BatchNorm(self.features)
        self.neurons = neurons.layer(self.features)

    def forward(self, run: Run, x: Array) -> Array:
        """From [T, B, ..., I] to spikes [T, B, ..., O]."""
        y = run(self.dense, x).reshape(*x.shape[:-1], self.features)
        return run(self.neurons, run(self.norm, y))
