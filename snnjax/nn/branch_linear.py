"""A linear layer onto dendritic branches."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from snnjax import neurons as n
from snnjax.metrics import dense_activity
from snnjax.nn.counting import Counts, count_inputs
from snnjax.nn.layer import Layer
from snnjax.nn.neurons.population import Fixed, as_floating, check_count


class BranchLinear(Layer):
    """From inputs to the branch currents of `DHLIF`: each input reaches one branch.

        current[n, d] = sum_i mask[i, n, d] * kernel[i, n] * x[i] + bias[n, d]

    A neuron has as many weights as inputs, whatever its branches are: which branch a weight ends at
    is assigned at random and fixed. Weights start uniform in +-1/sqrt(I / D), as those of a
    neuron with the inputs of one branch.

    Args:
      inputs, features, branches: I, N and D, with D at most I. use_bias: whether branches have one.

    >>> layer = BranchLinear(6, 2, 3, rngs=nnx.Rngs(0))
    >>> layer(jnp.ones((5, 4, 6))).shape, layer.kernel.shape
    ((5, 4, 2, 3), (6, 2))
    """

    def __init__(
        self, inputs: int, features: int, branches: int, *, use_bias: bool = True, rngs: nnx.Rngs
    ):
        shape = check_count("inputs", inputs), check_count("features", features)
        check_count("branches", branches)
        self.mask = Fixed(n.branch_masks(*shape, branches, key=rngs.params()))
        bound = (branches / inputs) ** 0.5
        self.kernel = nnx.Param(
            jax.random.uniform(rngs.params(), shape, minval=-bound, maxval=bound)
        )
        self.bias = nnx.Param(jnp.zeros((features, branches))) if use_bias else None

    def __call__(self, x: Array) -> Array:
        """`x` is [..., I]; returns [..., N, D]."""
        x = as_floating(x, self.kernel[...])
        kernel = jnp.where(self.mask[...], self.kernel[...][..., None], 0.0)
        current = jnp.einsum("...i,ind->...nd", x, kernel.astype(x.dtype))
        return current if self.bias is None else current + self.bias[...].astype(x.dtype)


@count_inputs.register
def _(layer: BranchLinear, name: str, x: Array, **_: Any) -> Counts:
    """Each input reaches one branch of every neuron."""
    return (dense_activity(name, x, layer.kernel[...].shape[-1]),)
