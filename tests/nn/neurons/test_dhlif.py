"""A linear layer onto branches, and neurons with branches behind it."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from snnjax.nn import DHLIF, BranchLinear, Recurrent

INPUTS, N, D = 7, 3, 2


def test_each_input_reaches_one_branch_with_its_weight():
    layer = BranchLinear(INPUTS, N, D, rngs=nnx.Rngs(0))
    layer.bias[...] = jnp.arange(6.0).reshape(N, D)
    x = np.random.default_rng(0).normal(size=(4, INPUTS)).astype(np.float32)
    mask, kernel = np.asarray(layer.mask[...]), np.asarray(layer.kernel[...])
    want = np.zeros((4, N, D)) + np.arange(6.0).reshape(N, D)
    for i, n in np.ndindex(INPUTS, N):
        (d,) = np.flatnonzero(mask[i, n])
        want[:, n, d] += kernel[i, n] * x[:, i]
    np.testing.assert_allclose(jax.jit(lambda x: layer(x))(x), want, rtol=1e-5, atol=1e-6)
    params = nnx.state(layer, nnx.Param)
    assert sorted(leaf.size for leaf in jax.tree.leaves(params)) == [N * D, INPUTS * N]
    with pytest.raises(ValueError, match="`branches` must be 1 to the number of inputs"):
        BranchLinear(2, 3, 4, rngs=nnx.Rngs(0))


def test_branches_compose_with_recurrence_records():
    rngs = nnx.Rngs(0)
    cells = DHLIF(N, branches=D)
    layer = Recurrent(cells, BranchLinear(N, N, D, rngs=rngs))
    first = BranchLinear(INPUTS, N, D, rngs=rngs)
    x = jax.random.normal(jax.random.key(0), (30, 4, INPUTS))

    @jax.jit
    def run(x):
        current = 10 * first(x)
        state = layer.init_state(cells.batch_shape(current))
        return layer(state, current, record=("cell.u",))

    last, (out, seen) = run(x)
    assert out.any()
    assert out.shape == seen["cell.u"].shape == (30, 4, N)
    np.testing.assert_array_equal(last.out, out[-1])
    with pytest.raises(ValueError, match=r"DHLIF\(3\) takes input \[T, B, ..., 3, 2\]"):
        cells(cells.init_state((4,)), x[..., :N])
