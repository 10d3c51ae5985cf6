"""A dense layer, its norm and its neurons: what spiking transformers are made of."""

from __future__ import annotations

from functools import partial
from math import prod
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array
from jax.typing import ArrayLike

from snnjax.neurons import LIFState, detach, euler, zero
from snnjax.nn.batch_norm import BatchNorm
from snnjax.nn.neurons.leaky import LIF
from snnjax.nn.neurons.population import check_count
from snnjax.nn.sparse import Initializer, truncated_normal
from snnjax.surrogates import Spike, sigmoid


class Neurons(NamedTuple):
    """The neurons of a spiking transformer: LIF with a decayed input and a hard reset to 0.

        v' = v + (x - v) / tau,   z = H(v' - threshold),   v = v' (1 - z), no gradient through z

    Attributes:
      tau: time constant in steps.
      threshold: of all neurons but those after the attention.
      attention_threshold: of those.
      spike: surrogate spike function.
    """

    tau: float = 2.0
    threshold: float = 1.0
    attention_threshold: float = 0.5
    spike: Spike = partial(sigmoid, slope=4.0)

    def layer(self, features: int, threshold: float | None = None) -> LIF:
        """A population of them."""
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


class SpikingDense(nnx.Module):
    """Neurons after batch norm after a dense layer: SN(BN(x W + b)), once over T * B * N tokens.

    Args:
      in_features: I. features: O, or several numbers whose product it is, such as (heads, width);
        the kernel has the shape [I, *features], so that a mesh can cut it by heads.
      use_bias: whether a bias of O numbers is added; the norm undoes it but in evaluation.
      neurons: what fires. init: from (key, (1, I, O)) to the weight.
      rngs: of the weight.

    >>> layer = SpikingDense(8, 4, rngs=nnx.Rngs(0))
    >>> x = jnp.ones((5, 2, 3, 8))
    >>> state, z = layer(layer.init_state(x), x)
    >>> z.shape, state.v.shape
    ((5, 2, 3, 4), (2, 3, 4))
    """

    def __init__(
        self,
        in_features: int,
        features: int | tuple[int, ...],
        *,
        use_bias: bool = True,
        neurons: Neurons = Neurons(),  # noqa: B008, it is immutable
        init: Initializer = truncated_normal,
        rngs: nnx.Rngs,
    ):
        inner = check_count("in_features", in_features, "SpikingDense")
        shape = features if isinstance(features, tuple) else (features,)
        outer = prod(check_count("features", size, "SpikingDense") for size in shape)
        self.features = outer
        self.weight = nnx.Param(init(rngs.params(), (1, inner, outer)).reshape(inner, *shape))
        self.bias = nnx.Param(jnp.zeros((outer,), jnp.float32)) if use_bias else None
        self.norm = BatchNorm(outer)
        self.neurons = neurons.layer(outer)

    def init_state(self, x: ArrayLike) -> LIFState:
        """Membranes at rest for `x` [T, B, ..., I], from its shape and dtype alone."""
        return resting(self.neurons, x)

    def __call__(
        self,
        state: LIFState,
        x: ArrayLike,
        *,
        train: bool = False,
        axis_name: str | None = None,
    ) -> tuple[LIFState, Array]:
        """`x` is [T, B, ..., I]; returns the last state, and spikes [T, B, ..., O]."""
        x, kernel = jnp.asarray(x), self.kernel()
        if x.ndim < 3 or x.shape[-1] != len(kernel):
            raise ValueError(
                f"SpikingDense takes [T, B, ..., {len(kernel)}]; got {x.shape}. Channels are the "
                "last axis."
            )
        return self.fire(state, x @ kernel, train=train, axis_name=axis_name)

    def kernel(self) -> Array:
        """The weight as a matrix [I, O]."""
        return self.weight[...].reshape(len(self.weight[...]), -1)

    def fire(
        self, state: LIFState, y: Array, *, train: bool, axis_name: str | None
    ) -> tuple[LIFState, Array]:
        """What comes after the product `y` [T, B, ..., O]: bias, norm and neurons."""
        y = y if self.bias is None else y + self.bias[...]
        return self.neurons(state, self.norm(y, train=train, axis_name=axis_name))


def resting(neurons: LIF, x: ArrayLike) -> Any:
    """The resting state of neurons for each token of `x` [T, B, ..., I], float32 at least."""
    return neurons.init_state(jnp.shape(x)[1:-1], np.promote_types(jnp.result_type(x), np.float32))
