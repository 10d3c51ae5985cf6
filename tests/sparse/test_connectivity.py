"""Sparse connections against dense matrices."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.sparse import FanOut, fan_out_of, propagate, random_fan_out

pytestmark = pytest.mark.usefixtures("strict_promotion")

N, M, F = 11, 7, 4


def dense(connections: FanOut, targets: int) -> np.ndarray:
    """The matrix [N, M] that a slow loop makes of the connections."""
    matrix = np.zeros((len(connections.target), targets))
    for n, (row, weights) in enumerate(zip(*map(np.asarray, connections), strict=True)):
        for m, w in zip(row, weights, strict=True):
            if m < targets:
                matrix[n, m] += w
    return matrix


@pytest.fixture(scope="module")
def connections():
    weight = jnp.asarray(np.random.default_rng(0).integers(-4, 5, (N, F)), jnp.float32)
    made = random_fan_out(jax.random.key(3), N, M, F, weight=weight)
    row = made.target.at[2, 2:].set(M)  # a neuron with fewer targets
    return made._replace(target=row)


@pytest.mark.parametrize("lead", [(), (1,), (3,), (2, 2)])
@pytest.mark.parametrize("density", [0.0, 0.3, 1.0])
def test_equals_the_dense_matrix(connections, lead, density):
    z = (np.random.default_rng(1).random((*lead, N)) < density).astype(np.float32)
    y = propagate(2 * z, connections, targets=M)
    np.testing.assert_array_equal(y, 2 * z @ dense(connections, M))


def test_derivatives_equal_those_of_the_dense_matrix(connections):
    rng = np.random.default_rng(2)
    z = (rng.random((3, N)) < 0.5).astype(np.float32)
    g = rng.normal(size=(3, M)).astype(np.float32)
    move, nudge = (rng.normal(size=s).astype(np.float32) for s in ((3, N), (N, F)))
    nudge[2, 2:] = 0  # padding has no weight

    @jax.jit
    def both(z, weight):
        def f(z, weight):
            return propagate(z, FanOut(connections.target, weight), targets=M)

        reverse = jax.grad(lambda *a: (f(*a) * g).sum(), argnums=(0, 1))(z, weight)
        return reverse, jax.jvp(f, (z, weight), (move, nudge))[1]

    (dz, dweight), tangent = both(z, connections.weight)
    matrix, nudged = dense(connections, M), dense(connections._replace(weight=nudge), M)
    np.testing.assert_allclose(dz, g @ matrix.T, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(tangent, move @ matrix + z @ nudged, rtol=1e-5, atol=1e-5)
    padded = np.append(g, np.zeros((3, 1), np.float32), axis=1)
    want = np.einsum("bn,bnf->nf", z, padded[:, connections.target])
    np.testing.assert_allclose(dweight, want, rtol=1e-5, atol=1e-5)


def test_a_list_of_connections_becomes_rows():
    source, target = [4, 0, 4, 4, 1], [2, 1, 0, 2, 0]
    made = fan_out_of(source, target, np.arange(1.0, 6.0), sources=5, targets=3)
    matrix = np.zeros((5, 3))
    np.add.at(matrix, (source, target), np.arange(1.0, 6.0))  # one pair occurs twice
    np.testing.assert_array_equal(dense(made, 3), matrix)
    assert made.target.shape == (5, 3)
    empty = fan_out_of([], [], [], sources=2, targets=2)
    assert propagate(jnp.ones(2), empty, targets=2).tolist() == [0.0, 0.0]


def test_random_targets_are_uniform_and_decided_by_the_key():
    made = random_fan_out(jax.random.key(0), 500, 10, 20, weight=jnp.arange(500.0))
    counts = np.bincount(np.asarray(made.target).ravel(), minlength=10)
    assert abs(counts - 1000).max() < 5 * 30  # five standard deviations
    assert (np.diff(np.asarray(made.target)) >= 0).all()
    np.testing.assert_array_equal(made.weight[7], 7.0)
    again = random_fan_out(jax.random.key(0), 500, 10, 20)
    np.testing.assert_array_equal(again.target, made.target)


def test_wrong_arguments(connections):
    with pytest.raises(ValueError, match=r"`spikes` must be \[..., 11\]"):
        propagate(jnp.ones((2, 3)), connections, targets=M)
    with pytest.raises(TypeError, match="must share a dtype; got bfloat16 and float32"):
        propagate(jnp.ones(N, jnp.bfloat16), connections, targets=M)
    with pytest.raises(ValueError, match=r"`target` must lie in 0\.\.2; got 0 to 3"):
        fan_out_of([0, 1], [0, 3], [1.0, 1.0], sources=2, targets=3)
    with pytest.raises(ValueError, match=r"must be \[E\]; got \(2,\), \(1,\) and \(2,\)"):
        fan_out_of([0, 1], [0], [1.0, 1.0], sources=2, targets=3)
    with pytest.raises(ValueError, match="`fan_out` must be at least 1; got 0"):
        random_fan_out(jax.random.key(0), 2, 2, 0)
