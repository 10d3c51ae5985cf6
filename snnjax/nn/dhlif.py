"""LIF neurons with dendritic branches, and the linear layer onto branches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array
from jax.typing import ArrayLike

from snnjax import neurons as n
from snnjax.metrics import dense_activity
from snnjax.nn.counting import Counts, count_inputs
from snnjax.nn.population import POSITIVE, UNIT, Fixed, Population, as_floating, check_count
from snnjax.surrogates import Spike, atan


class DHLIF(Population):
    """LIF neurons with D dendritic branches each: see `snnjax.neurons.dhlif_step`.

    The input is [T, B, ..., N, D], a current for each branch; `BranchLinear` makes it.

    Args:
      features, branches: N and D.
      branch_decay: of the branches, a number, [D] or [N, D]; None spreads time constants from 2 to
        32 steps over the branches.
      decay, threshold: of the soma, a number or [N].
      learn: which of ("branch_decay", "decay", "threshold") learn; the decays by default, as
        published. spike, reset: see `dhlif_step`.
    """

    rest = n.dhlif_init

    def __init__(
        self,
        features: int,
        *,
        branches: int = 4,
        branch_decay: ArrayLike | None = None,
        decay: ArrayLike = 0.95,
        threshold: ArrayLike = 0.5,
        learn: Sequence[str] = ("branch_decay", "decay"),
        spike: Spike = atan,
        reset: n.Reset = n.subtract,
        checkpoint: bool | int = True,
    ):
        super().__init__(features, learn=learn, checkpoint=checkpoint)
        self.branches = check_count("branches", branches, "DHLIF")
        if branch_decay is None:
            branch_decay = np.exp(-1.0 / np.geomspace(2.0, 32.0, branches))
        self.constant("branch_decay", branch_decay, UNIT, (features, branches))
        self.constant("decay", decay, UNIT)
        self.constant("threshold", threshold, POSITIVE)
        self.check_learned()
        self.spike, self.reset = self.choice(spike), self.choice(reset)

    def shape(self, batch_shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of one step of branch currents."""
        return (*super().shape(batch_shape), self.branches)

    def step(self) -> Callable[..., Any]:
        """One step with the constants of now."""
        params = n.DHLIFParams(*(self.value(name) for name in n.DHLIFParams._fields))
        return partial(n.dhlif_step, params, spike=self.spike, reset=self.reset)


class BranchLinear(nnx.Module):
    """From inputs to the branch currents of `DHLIF`: each input reaches one branch.

        current[n, d] = sum_i mask[i, n, d] * kernel[i, n] * x[i] + bias[n, d]

    A neuron has as many weights as inputs, whatever its branches are: which branch a weight ends at
    is dealt out at random and stays. Weights start uniform in +-1/sqrt(I / D), as those of a
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
    """An input reaches one branch of each neuron."""
    return (dense_activity(name, x, layer.kernel[...].shape[1]),)


@count_inputs.register
def _(layer: DHLIF, name: str, *_: Any, **__: Any) -> Counts:
    return ()  # a decay for each branch is not a matrix
