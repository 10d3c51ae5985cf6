"""Products with spikes against dense ones."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from snnjax.sparse import (
    ArithmeticTable,
    ProductRule,
    csr_of,
    event_list,
    event_matmul,
    fan_out_of,
    propagate,
    spike_matmul,
    takes_events,
)

pytestmark = pytest.mark.usefixtures("strict_promotion")


def spikes_of(shape, density, seed=0, graded=False):
    rng = np.random.default_rng(seed)
    z = (rng.random(shape) < density).astype(np.float32)
    return z * rng.integers(1, 5, shape).astype(np.float32) if graded else z


HALF = ArithmeticTable(products=(ProductRule("cpu", 0, 0, 0.5),))


@pytest.mark.parametrize("lead", [(), (3,), (2, 5)])
@pytest.mark.parametrize("product", [event_matmul, partial(spike_matmul, table=HALF)])
def test_equals_the_dense_product(lead, product):
    weight = np.random.default_rng(1).integers(-8, 8, (37, 6)).astype(np.float32)  # exact sums
    product = jax.jit(product)
    for density in (0.0, 0.1, 1.0):
        for graded in (False, True):
            z = spikes_of((*lead, 37), density, graded=graded)
            y = product(z, weight)
            assert y.dtype == jnp.float32
            np.testing.assert_array_equal(y, z @ weight)


def test_the_fullest_row_decides_which_way_is_taken():
    """Only the dense product meets the infinite weight of a silent neuron, and makes NaN of it."""
    weight = jnp.ones((8, 2)).at[7].set(jnp.inf)
    four, five = (jnp.array([[0.0] * 8, [1.0] * n + [0.0] * (8 - n)]) for n in (4, 5))
    assert bool(takes_events(four, 2, table=HALF))
    assert not bool(takes_events(five, 2, table=HALF))
    assert np.isnan(spike_matmul(five, weight, table=HALF)).any()
    weight = weight.at[7].set(1.0)
    for z in (four, five):
        np.testing.assert_array_equal(spike_matmul(z, weight, table=HALF), z @ weight)
    never = ArithmeticTable(products=())
    assert not bool(takes_events(four, 2, table=never))
    assert "while" not in jax.jit(partial(spike_matmul, table=never)).lower(four, weight).as_text()


def test_derivatives_are_those_of_the_dense_product():
    rng = np.random.default_rng(2)
    z, weight = spikes_of((4, 9), 0.4), rng.normal(size=(9, 5)).astype(np.float32)
    g = rng.normal(size=(4, 5)).astype(np.float32)
    moves = rng.normal(size=(4, 9)).astype(np.float32), rng.normal(size=(9, 5)).astype(np.float32)

    @jax.jit
    def both(z, weight):
        def reverse(product):
            return jax.grad(lambda z, w: (product(z, w) * g).sum(), argnums=(0, 1))(z, weight)

        chosen = partial(spike_matmul, table=HALF)
        forward = [jax.jvp(f, (z, weight), moves)[1] for f in (chosen, jnp.matmul)]
        mapped = jax.vmap(chosen, in_axes=(0, None))(z, weight)
        return reverse(chosen), reverse(jnp.matmul), forward, mapped

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


def test_half_precision_is_summed_in_float32():
    ones, weight = jnp.ones((1, 1000), jnp.bfloat16), jnp.ones((1000, 1), jnp.bfloat16)
    assert float(event_matmul(ones, weight)[0, 0]) == 1000
    made = fan_out_of(range(1000), [0] * 1000, np.ones(1000), sources=1000, targets=1)
    made = made._replace(weight=made.weight.astype(jnp.bfloat16))
    assert float(propagate(ones, made, targets=1)[0, 0]) == 1000


@pytest.mark.parametrize("shape", [(0,), (2, 0), (0, 5)])
def test_nothing_in_gives_nothing(shape):
    z = jnp.zeros(shape)
    weight = jnp.ones((shape[-1], 3))
    assert event_matmul(z, weight).tolist() == (z @ weight).tolist()
    index, count = event_list(z)
    assert index.shape == shape
    assert (np.asarray(count) == 0).all()
    with pytest.raises(ValueError, match=r"`spikes` must be \[..., N\]; got a number"):
        event_list(1.0)


def test_inside_shard_map():
    """Each device adds its own rows; gradients are those without it."""
    mesh = jax.make_mesh((2,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    z = jnp.asarray(spikes_of((4, 8), 0.4))
    weight = jnp.asarray(np.random.default_rng(0).integers(-4, 5, (8, 3)), jnp.float32)
    source, target = np.nonzero(np.asarray(weight))
    entries = np.asarray(weight)[source, target]
    rows = [make(source, target, entries, sources=8, targets=3) for make in (fan_out_of, csr_of)]

    def products(z, weight):
        chosen = partial(spike_matmul, table=HALF)
        return [f(z, weight) for f in (event_matmul, chosen)] + [
            propagate(z, made, targets=3) for made in rows
        ]

    def local(z, weight):
        out, pull = jax.vjp(products, z, weight)
        return out, pull(out)

    shape = P("data"), P()
    run = jax.jit(jax.shard_map(local, mesh=mesh, in_specs=shape, out_specs=(P("data"), shape)))
    out, (dz, dweight) = run(z, weight)
    want = z @ weight
    for y in out:
        np.testing.assert_array_equal(y, want)
    np.testing.assert_allclose(dz, 4 * want @ weight.T)
    np.testing.assert_allclose(dweight, 2 * z.T @ want)
