"""Event-driven products against dense ones."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.sparse import event_list, event_matmul
from snnjax.sparse.events import event_blocks, nth_events

pytestmark = pytest.mark.usefixtures("strict_promotion")


def spikes_of(shape, density, seed=0, graded=False):
    rng = np.random.default_rng(seed)
    z = (rng.random(shape) < density).astype(np.float32)
    return z * rng.integers(1, 5, shape).astype(np.float32) if graded else z


@pytest.mark.parametrize("shape", [(3, 13), (2, 4, 8), (5,), (2, 1)])
@pytest.mark.parametrize("density", [0.0, 0.2, 1.0])
def test_the_list_names_what_is_not_zero(shape, density):
    z = spikes_of(shape, density, graded=True)
    index, count = jax.jit(event_list)(z)
    assert index.dtype == count.dtype == jnp.int32
    for row in np.ndindex(shape[:-1]):
        want = np.flatnonzero(z[row])
        assert count[row] == len(want)
        np.testing.assert_array_equal(index[row][: len(want)], want)
        assert (np.asarray(index[row][len(want) :]) == shape[-1]).all()


@pytest.mark.parametrize("n", [1, 32, 33, 100])
@pytest.mark.parametrize("density", [0.0, 0.1, 1.0])
def test_the_kth_event_is_found_by_blocks(n, density):
    z = spikes_of((3, n), density, graded=True)
    k = jnp.arange(n + 3, dtype=jnp.int32)
    found = np.asarray(jax.jit(lambda z: nth_events(*event_blocks(z), k))(z))
    for row, places in zip(z, found, strict=True):
        want = np.flatnonzero(row)
        np.testing.assert_array_equal(places[: len(want)], want)
        assert (places[len(want) :] >= n).all()


@pytest.mark.parametrize("lead", [(), (1,), (3,), (2, 5)])
@pytest.mark.parametrize("density", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("graded", [False, True])
def test_equals_the_dense_product(lead, density, graded):
    z = spikes_of((*lead, 37), density, graded=graded)
    weight = np.random.default_rng(1).integers(-8, 8, (37, 6)).astype(np.float32)  # exact sums
    y = jax.jit(event_matmul)(z, weight)
    assert y.dtype == jnp.float32
    np.testing.assert_array_equal(y, z @ weight)


def test_derivatives_are_those_of_the_dense_product():
    rng = np.random.default_rng(2)
    z, weight = spikes_of((4, 9), 0.4), rng.normal(size=(9, 5)).astype(np.float32)
    g = rng.normal(size=(4, 5)).astype(np.float32)
    moves = rng.normal(size=(4, 9)).astype(np.float32), rng.normal(size=(9, 5)).astype(np.float32)

    @jax.jit
    def both(z, weight):
        def reverse(product):
            return jax.grad(lambda z, w: (product(z, w) * g).sum(), argnums=(0, 1))(z, weight)

        forward = [jax.jvp(f, (z, weight), moves)[1] for f in (event_matmul, jnp.matmul)]
        mapped = jax.vmap(event_matmul, in_axes=(0, None))(z, weight)
        return reverse(event_matmul), reverse(jnp.matmul), forward, mapped

    got, want, forward, mapped = both(z, weight)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), got, want)
    np.testing.assert_allclose(*forward, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(mapped, z @ weight, rtol=1e-5, atol=1e-6)
    assert (np.asarray(got[0])[z == 0] != 0).any()  # a surrogate hears of silent neurons


def test_wrong_arguments():
    with pytest.raises(ValueError, match=r"must be \[..., N\] and `weight` \[N, M\]"):
        event_matmul(jnp.ones((2, 3)), jnp.ones((4, 5)))
    with pytest.raises(TypeError, match="must share a floating dtype; got bfloat16 and float32"):
        event_matmul(jnp.ones((2, 3), jnp.bfloat16), jnp.ones((3, 5)))
    with pytest.raises(TypeError, match="must share a floating dtype; got int32 and int32"):
        event_matmul(jnp.ones((2, 3), jnp.int32), jnp.ones((3, 5), jnp.int32))
