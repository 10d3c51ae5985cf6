"""Sparse connections against dense matrices."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.sparse import CSR, FanOut, csr_from, csr_of, fan_out_of, propagate, random_fan_out

pytestmark = pytest.mark.usefixtures("strict_promotion")

N, M, F = 11, 7, 4


def dense(connections: FanOut | CSR, targets: int) -> np.ndarray:
    """The matrix [N, M] that a slow loop makes of the connections."""
    if isinstance(connections, CSR):
        start, target, weight = map(np.asarray, connections)
        matrix = np.zeros((len(start) - 1, targets))
        for n in range(len(matrix)):
            for e in range(start[n], start[n + 1]):
                matrix[n, target[e]] += weight[e]
        return matrix
    matrix = np.zeros((len(connections.target), targets))
    for n, (row, weights) in enumerate(zip(*map(np.asarray, connections), strict=True)):
        for m, w in zip(row, weights, strict=True):
            if m < targets:
                matrix[n, m] += w
    return matrix


def fan_out():
    """Four targets each, but a neuron with two."""
    weight = jnp.asarray(np.random.default_rng(0).integers(-4, 5, (N, F)), jnp.float32)
    made = random_fan_out(jax.random.key(3), N, M, F, weight=weight)
    return made._replace(target=made.target.at[2, 2:].set(M))


def compressed():
    """Rows of 0 to 70 connections, so that some need several chunks."""
    rng = np.random.default_rng(4)
    degree = [0, 70, 3, 32, 33, 0, 1, 5, 64, 2, 0]
    source, edges = np.repeat(np.arange(N), degree), sum(degree)
    weight = rng.integers(-4, 5, edges)
    return csr_of(source, rng.integers(0, M, edges), weight, sources=N, targets=M)


@pytest.fixture(scope="module", params=[fan_out, compressed], ids=["fan-out", "csr"])
def connections(request):
    return request.param()


@pytest.mark.parametrize("lead", [(), (2, 2)])
def test_equals_the_dense_matrix(connections, lead):
    rng = np.random.default_rng(1)
    onto = rng.integers(-3, 4, (*lead, M)).astype(np.float32)
    for density in (0.0, 0.3, 1.0):
        z = 2 * (rng.random((*lead, N)) < density).astype(np.float32)
        y = propagate(z, connections, targets=M, onto=onto)
        np.testing.assert_array_equal(y, onto + z @ dense(connections, M))
    np.testing.assert_array_equal(propagate(z, connections, targets=M), y - onto)


def test_derivatives_equal_those_of_the_dense_matrix(connections):
    rng = np.random.default_rng(2)
    z = (rng.random((3, N)) < 0.5).astype(np.float32)
    g, onto = (rng.normal(size=(3, M)).astype(np.float32) for _ in range(2))
    weight = connections.weight
    move, nudge, push = (
        rng.normal(size=s).astype(np.float32) for s in ((3, N), weight.shape, (3, M))
    )

    @jax.jit
    def both(*primals):
        def f(z, weight, onto):
            return propagate(z, connections._replace(weight=weight), targets=M, onto=onto)

        reverse = jax.grad(lambda *a: (f(*a) * g).sum(), argnums=(0, 1, 2))(*primals)
        return reverse, jax.jvp(f, primals, (move, nudge, push))[1]

    (dz, dweight, donto), tangent = both(z, weight, onto)
    matrix, nudged = (dense(connections._replace(weight=w), M) for w in (weight, nudge))
    np.testing.assert_allclose(dz, g @ matrix.T, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(tangent, push + move @ matrix + z @ nudged, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(donto, g)
    for e in rng.choice(weight.size, 6, replace=False):  # a weight moves the sum as it says
        at = np.unravel_index(e, weight.shape)
        unit = dense(connections._replace(weight=jnp.zeros_like(weight).at[at].set(1.0)), M)
        np.testing.assert_allclose(dweight[at], (g * (z @ unit)).sum(), rtol=1e-4, atol=1e-4)


def test_a_list_of_connections_becomes_rows():
    source, target = [4, 0, 4, 4, 1], [2, 1, 0, 2, 0]
    made = fan_out_of(source, target, np.arange(1.0, 6.0), sources=5, targets=3)
    matrix = np.zeros((5, 3))
    np.add.at(matrix, (source, target), np.arange(1.0, 6.0))  # one pair occurs twice
    np.testing.assert_array_equal(dense(made, 3), matrix)
    assert made.target.shape == (5, 3)
    np.testing.assert_array_equal(
        dense(csr_of(source, target, np.arange(1.0, 6.0), sources=5, targets=3), 3), matrix
    )
    for make in (fan_out_of, csr_of):
        empty = make([], [], [], sources=2, targets=2)
        assert propagate(jnp.ones(2), empty, targets=2).tolist() == [0.0, 0.0]


def test_random_targets_are_uniform_and_decided_by_the_key():
    made = random_fan_out(jax.random.key(0), 500, 10, 20, weight=jnp.arange(500.0))
    counts = np.bincount(np.asarray(made.target).ravel(), minlength=10)
    assert abs(counts - 1000).max() < 5 * 30  # five standard deviations
    assert (np.diff(np.asarray(made.target)) >= 0).all()
    np.testing.assert_array_equal(made.weight[7], 7.0)
    again = random_fan_out(jax.random.key(0), 500, 10, 20)
    np.testing.assert_array_equal(again.target, made.target)


def test_wrong_arguments():
    connections = fan_out()
    with pytest.raises(ValueError, match=r"`spikes` must be \[..., 11\]"):
        propagate(jnp.ones((2, 3)), connections, targets=M)
    with pytest.raises(TypeError, match="must share a dtype; got bfloat16 and float32"):
        propagate(jnp.ones(N, jnp.bfloat16), connections, targets=M)
    with pytest.raises(ValueError, match=r"`target` must lie in 0\.\.2; got 0 to 3"):
        fan_out_of([0, 1], [0, 3], [1.0, 1.0], sources=2, targets=3)
    with pytest.raises(ValueError, match=r"`onto` must be float32 \(7,\); got float32 \(6,\)"):
        propagate(jnp.ones(N), connections, targets=M, onto=jnp.ones(M - 1))
    with pytest.raises(ValueError, match=r"must rise from 0 to 2.*got \[0, 2, 1\].*csr_of"):
        csr_from([0, 2, 1], [0, 0], [1.0, 1.0], targets=1)
    with pytest.raises(ValueError, match=r"`start` must be \[N \+ 1\]"):
        csr_from([0, 2], [0, 0], [1.0], targets=1)
    with pytest.raises(ValueError, match=r"must be \[E\]; got \(2,\), \(1,\) and \(2,\)"):
        fan_out_of([0, 1], [0], [1.0, 1.0], sources=2, targets=3)
    with pytest.raises(ValueError, match="`fan_out` must be at least 1; got 0"):
        random_fan_out(jax.random.key(0), 2, 2, 0)
