"""The linear layer over spikes against `nnx.Linear`."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from snnjax.nn import LIF, EventLinear, Recurrent, SparseLinear
from snnjax.sparse import ArithmeticTable, ProductRule, csr_of, fan_out_of

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
    for same in (x.astype(jnp.bfloat16), x.astype(jnp.int32), x > 0):
        y, want = layer(same), dense(same)
        assert y.dtype == want.dtype
        np.testing.assert_allclose(y, want, rtol=1e-5, atol=1e-6)


def test_what_is_not_known_is_refused():
    with pytest.raises(TypeError, match=r"EventLinear does not take precision; .* use_bias"):
        EventLinear(3, 2, precision="highest", rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"`target` must lie in 0\.\.1; got 0 to 2"):
        SparseLinear(csr_of([0, 1], [0, 2], [1.0, 1.0], sources=2, targets=3), 2)
    beyond = fan_out_of([0, 1], [0, 2], [1.0, 1.0], sources=2, targets=3)
    with pytest.raises(ValueError, match=r"`target` must lie in 0\.\.2; got 0 to 4"):
        SparseLinear(beyond._replace(target=beyond.target * 2), 2)


def test_whole_numbers_meet_the_weights_as_they_are():
    connections = fan_out_of([0], [0], [0.5], sources=1, targets=1)
    for one in (jnp.array([1]), jnp.array([True])):
        assert SparseLinear(connections, 1)(one).tolist() == [0.5]


def test_gradients_reach_parameters_and_spikes():
    layer = EventLinear(5, 2, table=TABLE, rngs=nnx.Rngs(0))
    graphdef, params = nnx.split(layer)
    x = jnp.eye(5)[:3]
    grads, dx = jax.grad(lambda p, x: nnx.merge(graphdef, p)(x).sum(), argnums=(0, 1))(params, x)
    np.testing.assert_array_equal(grads["kernel"][...], [[1, 1]] * 3 + [[0, 0]] * 2)
    np.testing.assert_allclose(dx, np.tile(layer.kernel[...].sum(1), (3, 1)), rtol=1e-6)


@pytest.mark.parametrize("make", [fan_out_of, csr_of])
def test_a_recurrent_population_over_sparse_connections(make):
    """Equal to the same population over the dense matrix; only the weights are parameters."""
    source, target = [0, 0, 2, 3, 3, 3], [1, 3, 2, 0, 1, 2]
    weight = np.linspace(-1, 1.5, 6).astype(np.float32)
    matrix = np.zeros((4, 4), np.float32)
    matrix[source, target] = weight
    sparse = SparseLinear(make(source, target, weight, sources=4, targets=4), 4)
    layer = Recurrent(LIF(4, tau=5.0, trainable=()), sparse)
    graphdef, params, rest = nnx.split(layer, nnx.Param, ...)
    assert [v.size for v in jax.tree.leaves(params)] == [sparse.weight.size]
    x = jnp.asarray(np.random.default_rng(0).random((12, 2, 4)), jnp.float32)

    @jax.jit
    def gradient(params, x):
        def loss(params):
            model = nnx.merge(graphdef, params, rest)
            return model(None, x)[1]

        z, pull = jax.vjp(loss, params)
        return z, pull(z)[0]

    z, grads = gradient(params, x)
    dense = Recurrent(LIF(4, tau=5.0, trainable=()), lambda z: z @ matrix)
    np.testing.assert_array_equal(z, dense(None, x)[1])
    assert z.sum() > 3
    assert (np.asarray(jax.tree.leaves(grads)[0]) != 0).sum() >= 4
