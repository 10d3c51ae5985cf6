"""The linear layer over spikes against `nnx.Linear`."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from snnjax.nn import EventLinear
from snnjax.sparse import ArithmeticTable, ProductRule

TABLE = ArithmeticTable(products=(ProductRule("cpu", 0, 0, 0.5),))


@pytest.mark.parametrize("use_bias", [True, False])
def test_equals_the_dense_layer_with_the_same_parameters(use_bias):
    dense = nnx.Linear(9, 4, use_bias=use_bias, rngs=nnx.Rngs(0))
    layer = EventLinear(9, 4, use_bias=use_bias, table=TABLE, rngs=nnx.Rngs(0))
    jax.tree.map(np.testing.assert_array_equal, nnx.state(layer), nnx.state(dense))
    for density in (0.2, 0.9):
        x = jnp.asarray(np.random.default_rng(0).random((3, 2, 9)) < density, jnp.float32)
        assert bool(layer.takes_events(x)) == (density < 0.5)
        np.testing.assert_allclose(layer(x), dense(x), rtol=1e-5, atol=1e-6)
    assert layer(x.astype(jnp.bfloat16)).dtype == jnp.bfloat16


def test_gradients_reach_parameters_and_spikes():
    layer = EventLinear(5, 2, table=TABLE, rngs=nnx.Rngs(0))
    graphdef, params = nnx.split(layer)
    x = jnp.eye(5)[:3]
    grads, dx = jax.grad(lambda p, x: nnx.merge(graphdef, p)(x).sum(), argnums=(0, 1))(params, x)
    np.testing.assert_array_equal(grads["kernel"][...], [[1, 1]] * 3 + [[0, 0]] * 2)
    np.testing.assert_allclose(dx, np.tile(layer.kernel[...].sum(1), (3, 1)), rtol=1e-6)
