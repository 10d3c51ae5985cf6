"""linear_recurrence: every method against a NumPy loop in float64, values and both gradients."""

from __future__ import annotations

import functools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

from snnjax.unroll import linear_recurrence

pytestmark = pytest.mark.usefixtures("strict_promotion")

T, B, N = 21, 2, 3  # chunks of 8 do not divide T
METHODS = ("scan", "associative", "chunked", "toeplitz", "fft")
CASES = {  # shape of the decay, whether complex, whether backwards
    "scalar": ((), False, True),
    "neurons": ((N,), False, False),
    "complex": ((N,), True, True),
    "batch": ((B, 1), False, False),
    "varies": ((T, B, N), False, False),
    "varies complex": ((T, 1, N), True, True),
}


def methods(shape):
    return METHODS[:3] if len(shape) == 3 else METHODS


def loop(decay, x, initial, reverse):
    """States in complex128."""
    decays = np.broadcast_to(decay, x.shape).astype(np.complex128)
    h, states = np.asarray(initial, np.complex128), np.zeros(x.shape, np.complex128)
    for t in reversed(range(len(x))) if reverse else range(len(x)):
        h = decays[t] * h + x[t]
        states[t] = h
    return states


def make(shape, is_complex, seed=0):
    rng = np.random.default_rng(seed)
    decay = rng.uniform(-0.99, 0.99, shape)
    if is_complex:
        decay = decay * np.exp(1j * rng.uniform(0, 6, shape))
    x, initial, upstream = (rng.normal(size=s) for s in ((T, B, N), (B, N), (T, B, N)))
    real = tuple(np.asarray(a, np.float32) for a in (x, initial, upstream))
    return np.asarray(decay, np.complex64 if is_complex else np.float32), *real


def gradients(decay, x, initial, upstream, reverse):
    """Gradients of sum upstream * Re(h), in float64, by an adjoint loop in NumPy; their scales.

    The gradient of a decay is a sum over time whose terms cancel; its scale is that of the terms.
    """
    h = loop(decay, x, initial, reverse)
    before = np.concatenate([h[1:], initial[None]] if reverse else [initial[None], h[:-1]])
    y = np.zeros(x.shape, np.complex128)
    decays = np.broadcast_to(decay, x.shape).astype(np.complex128)
    after, carried = 0.0, 0.0
    for t in range(len(x)) if reverse else reversed(range(len(x))):
        after = y[t] = upstream[t] + carried * after
        carried = decays[t]
    d_decay = y * before
    full = np.shape(decay) if np.ndim(decay) == 3 else (1,) * (3 - np.ndim(decay)) + decay.shape
    axes = tuple(i for i, n in enumerate(full) if n == 1)
    scale = np.abs(d_decay).sum(axes).max()
    d_decay = d_decay.sum(axes, keepdims=True).reshape(np.shape(decay))
    d_decay = d_decay if np.iscomplexobj(decay) else d_decay.real
    grads = d_decay, y.real, (carried * after).real
    return grads, (scale, np.abs(y).max(), np.abs(y).max())


@functools.cache
def results(name):
    """Values and gradients for all methods and both ways to differentiate, as one program."""
    shape, is_complex, reverse = CASES[name]
    decay, x, initial, upstream = make(shape, is_complex)

    def run(method, differentiate, *args):
        return linear_recurrence(
            *args, method=method, chunk=8, reverse=reverse, differentiate=differentiate
        )

    @jax.jit
    def compute(*args):
        out = {}
        for method in methods(shape):
            for way in ("fast", "both"):
                h, pull = jax.vjp(partial(run, method, way), *args)
                out[method, way] = h, pull(jnp.asarray(upstream, h.dtype))
            tangents = jax.tree.map(jnp.ones_like, args)
            out[method, "jvp"] = jax.jvp(partial(run, method, "both"), args, tangents)[1]
        return out

    return jax.tree.map(np.asarray, compute(decay, x, initial)), (decay, x, initial, upstream)


@pytest.mark.parametrize("name", CASES)
def test_all_methods_equal_the_loop(name):
    got, (decay, x, initial, _) = results(name)
    want = loop(decay, x, initial, CASES[name][2])
    for method in methods(CASES[name][0]):
        for way in ("fast", "both"):
            h = got[method, way][0]
            assert h.dtype == (np.complex64 if CASES[name][1] else np.float32)
            assert np.abs(h - want).max() <= 1e-6 * np.abs(want).max(), (method, way)


@pytest.mark.parametrize("name", CASES)
def test_all_gradients_equal_the_adjoint_loop(name):
    got, args = results(name)
    want, scales = gradients(*args, CASES[name][2])
    for method in methods(CASES[name][0]):
        limit = 1e-5 if method == "fft" else 2e-6
        for way in ("fast", "both"):
            for g, w, scale in zip(got[method, way][1], want, scales, strict=True):
                assert g.shape == w.shape
                assert np.abs(g - w).max() <= limit * scale, (method, way)


@pytest.mark.parametrize("name", CASES)
def test_forward_mode(name):
    got, (_, _, _, upstream) = results(name)
    for method in methods(CASES[name][0]):
        _, grads = got[method, "both"]
        product = sum(g.astype(np.complex128).sum().real for g in grads)
        tangent = (upstream * got[method, "jvp"]).sum().real
        np.testing.assert_allclose(tangent, product, rtol=1e-4, atol=1e-4)


def test_second_derivatives():
    def loss(decay, differentiate):
        x = jnp.linspace(-1.0, 1.0, 5)
        return (linear_recurrence(decay, x, differentiate=differentiate) ** 3).sum()

    decay = jnp.asarray([0.5, 0.2, 0.9, -0.3, 0.7])
    want = jax.jit(jax.hessian(partial(loss, differentiate="both")))(decay)
    got = jax.jit(jax.jacrev(jax.grad(partial(loss, differentiate="fast"))))(decay)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)
    assert np.abs(want).max() > 0.1


def test_forward_mode_through_fast_names_the_switch():
    x = jnp.ones(3)
    with pytest.raises(TypeError, match='of linear_recurrence needs differentiate="both"'):
        jax.jvp(lambda x: linear_recurrence(0.5, x), (x,), (x,))


@pytest.mark.parametrize("method", METHODS[:3])
def test_decays_of_zero_and_underflow_are_exact(method):
    """No division and no logarithm: a decay of 0 forgets, and 600 steps of 0.1 underflow to 0."""
    decay = jnp.full((600, 1), 0.1).at[300].set(0.0)
    x = jnp.zeros((600, 1)).at[0].set(1.0).at[299].set(7.0).at[599].set(1.0)
    h = jax.jit(partial(linear_recurrence, method=method))(decay, x)[:, 0]
    assert np.isfinite(h).all()
    assert h[299:301].tolist() == [7.0, 0.0]
    np.testing.assert_allclose(h[1], 0.1, rtol=1e-6)
    assert float(h[598]) == 0.0
    assert float(h[599]) == 1.0


@pytest.mark.parametrize("method", METHODS)
def test_a_sequence_continues(method):
    decay, x, initial, _ = make((N,), True)
    run = jax.jit(partial(linear_recurrence, method=method, chunk=4))
    first = run(decay, x[:5], initial)
    full, second = run(decay, x, initial), run(decay, x[5:], first[-1])
    np.testing.assert_allclose(np.concatenate([first, second]), full, rtol=1e-5, atol=2e-6)


@settings(max_examples=25, deadline=None)
@given(
    decay=st.floats(-1.0, 1.0, width=32), size=st.sampled_from([1, 4, 20]), seed=st.integers(0, 99)
)
def test_methods_agree_for_any_decay(decay, size, seed):
    x = np.random.default_rng(seed).normal(size=13).astype(np.float32)
    want = loop(np.float32(decay), x, 0.0, False).real
    for method in METHODS:
        h = _compiled(method, size if method == "chunked" else 1)(decay, x)
        assert np.abs(h - want).max() <= 1e-6 * max(np.abs(want).max(), 1.0), method


@functools.cache
def _compiled(method, size):
    return jax.jit(partial(linear_recurrence, method=method, chunk=size))


def test_dtypes():
    narrow = jnp.ones((4, 2), jnp.bfloat16)
    assert linear_recurrence(0.5, narrow).dtype == jnp.float32
    assert linear_recurrence(0.5 + 0.1j, narrow).dtype == jnp.complex64
    assert linear_recurrence(0.5, np.ones((4, 2), np.float32), 1).dtype == jnp.float32
    with jax.enable_x64(True):
        assert linear_recurrence(0.5, narrow, jnp.ones(2, jnp.float64)).dtype == jnp.float64
        assert linear_recurrence(0.5, jnp.ones((4, 2), jnp.float64)).dtype == jnp.float64
        assert linear_recurrence(0.5j, jnp.ones(4, jnp.float64)).dtype == jnp.complex128
        assert linear_recurrence(np.float64(0.5), narrow, 1.0).dtype == jnp.float32


def test_the_backward_pass_stores_the_states_alone():
    """Less than the temporaries of plain autodiff through an associative scan."""

    def loss(differentiate, decay, x):
        h = linear_recurrence(decay, x, method="associative", differentiate=differentiate)
        return (h**2).sum()

    x = jnp.ones((256, 64))
    memory = {}
    for way in ("fast", "both"):
        grad = jax.jit(jax.grad(partial(loss, way), argnums=(0, 1)))
        compiled = grad.lower(jnp.full((256, 64), 0.9), x).compile()
        memory[way] = compiled.memory_analysis().temp_size_in_bytes
    assert memory["fast"] < 0.8 * memory["both"]


def test_in_a_manual_data_shard():
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    x = jax.random.normal(jax.random.key(0), (T, 16, N))

    def loss(axis, decay, x):
        totals = [(linear_recurrence(decay, x, method=m, chunk=8) ** 2).sum() for m in METHODS]
        total = jnp.stack(totals).sum()
        return jax.lax.psum(total, axis) if axis else total

    sharded = jax.shard_map(
        partial(loss, "data"), mesh=mesh, in_specs=(P(), P(None, "data")), out_specs=P()
    )
    decay = jnp.array([0.5, 0.9, -0.3])
    got, want = (
        jax.jit(jax.value_and_grad(f, argnums=(0, 1)))(decay, x)
        for f in (sharded, partial(loss, None))
    )
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4), got, want)


def test_bad_input():
    x = jnp.ones((4, 3))
    with pytest.raises(TypeError, match="`x` must be floating point or complex; got int32"):
        linear_recurrence(0.5, jnp.ones((4, 3), jnp.int32))
    with pytest.raises(ValueError, match="T = 0 time steps"):
        linear_recurrence(0.5, jnp.ones((0, 3)))
    with pytest.raises(ValueError, match=r"`decay` has shape \(4,\), which does not broadcast"):
        linear_recurrence(jnp.ones(4), x)
    with pytest.raises(
        ValueError, match=r"its first is time: it needs T = 4 steps; got .*\(1, 3\)"
    ):
        linear_recurrence(jnp.ones((1, 3)), x)
    with pytest.raises(ValueError, match=r"`initial` has shape \(4,\)"):
        linear_recurrence(0.5, x, jnp.ones(4))
    with pytest.raises(ValueError, match="`method` must be None or one of scan, associative"):
        linear_recurrence(0.5, x, method="assoc")
    for method in ("toeplitz", "fft"):
        with pytest.raises(ValueError, match="needs a constant decay, but this one varies"):
            linear_recurrence(x, x, method=method)
    with pytest.raises(ValueError, match="`chunk` must be at least 1; got 0"):
        linear_recurrence(0.5, x, method="chunked", chunk=0)
    with pytest.raises(ValueError, match='differentiate must be "fast" or "both"'):
        linear_recurrence(0.5, x, differentiate="slow")
