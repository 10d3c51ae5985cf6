"""Neurons without a reset, in parallel, against their steps and closed forms."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.neurons import (
    CRFParams,
    LIFParams,
    crf_init,
    crf_parallel,
    crf_step,
    lif_init,
    lif_reset_free,
    lif_step,
    none,
)
from snnjax.unroll import unroll

pytestmark = pytest.mark.usefixtures("strict_promotion")

T, B, N = 19, 2, 3
LIF = LIFParams(jnp.array([0.5, 0.75, 0.9]), jnp.array([1.0, 0.8, 1.1]))
CRF = CRFParams(jnp.array([0.1, 0.2, 0.05]), jnp.array([0.4, 1.0, 2.5]), jnp.array(0.5))
MODELS = {  # parallel form, step, params, state
    "lif": (lif_reset_free, partial(lif_step, reset=none), LIF, lif_init((B, N))),
    "lif scaled": (
        partial(lif_reset_free, scale_input=True),
        partial(lif_step, reset=none, scale_input=True),
        LIF,
        lif_init((B, N)),
    ),
    "crf real": (crf_parallel, crf_step, CRF, crf_init((B, N))),
    "crf imaginary": (
        partial(crf_parallel, part=jnp.imag),
        partial(crf_step, part=jnp.imag),
        CRF,
        crf_init((B, N)),
    ),
}
every_model = pytest.mark.parametrize("name", MODELS)


def currents(name, seed=0):
    scale = 3.0 if "scaled" in name else 0.8
    x = np.random.default_rng(seed).normal(0.2, scale, (T, B, N))
    return jnp.asarray(x, jnp.float32)


def loss(forward, params, x):
    state, z = forward(params, x)
    rest = sum((jnp.abs(field) ** 2).sum() for field in state)
    return (z * jnp.cos(x)).sum() + rest, (state, z)


@every_model
def test_equals_the_steps(name):
    """Spikes the same, and gradients of parameters and input, for every method."""
    parallel, step, params, start = MODELS[name]
    x = currents(name)

    @jax.jit
    def run(params, x):
        both = partial(jax.grad, argnums=(1, 2), has_aux=True)
        want = both(loss)(lambda p, x: unroll(partial(step, p), start, x), params, x)
        got = {
            m: both(loss)(lambda p, x, m=m: parallel(p, start, x, method=m), params, x)
            for m in ("scan", "associative", "chunked", "toeplitz", "fft")
        }
        return want, got

    (want_grads, (want_state, want)), got = run(params, x)
    assert 0.1 < float(want.mean()) < 0.9
    for grads, (state, z) in got.values():
        np.testing.assert_array_equal(z, want)
        close = partial(np.testing.assert_allclose, rtol=2e-5, atol=2e-5)
        jax.tree.map(close, (state, grads), (want_state, want_grads))
    assert all((leaf != 0).any() for leaf in jax.tree.leaves(want_grads))


@every_model
def test_a_sequence_continues_in_either_form(name):
    parallel, step, params, start = MODELS[name]
    x = currents(name)
    end, full = parallel(params, start, x)
    middle, first = parallel(params, start, x[:8])
    last, second = parallel(params, middle, x[8:])
    stepped, third = unroll(partial(step, params), middle, x[8:])
    np.testing.assert_array_equal(jnp.concatenate([first, second]), full)
    np.testing.assert_array_equal(third, second)
    for state in (last, stepped):
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-6, atol=1e-6), state, end)


@every_model
def test_forward_mode(name):
    parallel, _, params, start = MODELS[name]
    x = currents(name)

    def call(params, x, way):
        return loss(lambda p, x: parallel(p, start, x, differentiate=way), params, x)[0]

    args = (params, x)
    ones = jax.tree.map(jnp.ones_like, args)
    _, tangent = jax.jit(lambda a, d: jax.jvp(partial(call, way="both"), a, d))(args, ones)
    grads = jax.jit(jax.grad(partial(call, way="fast"), argnums=(0, 1)))(*args)
    total = sum(leaf.sum() for leaf in jax.tree.leaves(grads))
    np.testing.assert_allclose(tangent, total, rtol=2e-4, atol=1e-4)
    with pytest.raises(TypeError, match='needs differentiate="both"'):
        jax.jvp(partial(call, way="fast"), args, ones)


@every_model
def test_bfloat16_input_and_wrong_input(name):
    parallel, _, params, start = MODELS[name]
    narrow = currents(name).astype(jnp.bfloat16)
    state, z = parallel(params, start, narrow)
    assert z.dtype == jnp.bfloat16
    assert state[0].dtype == start[0].dtype
    np.testing.assert_array_equal(
        z.astype(jnp.float32), parallel(params, start, narrow.astype(jnp.float32))[1]
    )
    with pytest.raises(TypeError, match="`current` must be floating point"):
        parallel(params, start, jnp.ones((T, B, N), jnp.int32))
    with pytest.raises(ValueError, match=r"shape \(5, 3\), which does not fit"):
        parallel(params, start, jnp.ones((T, 5, N)))
    with pytest.raises(ValueError, match="T = 0 time steps"):
        parallel(params, start, jnp.ones((0, B, N)))
    with jax.enable_x64(True), pytest.raises(TypeError, match="`current` is float64"):
        parallel(params, start, jnp.ones((T, B, N), jnp.float64))


def test_an_input_without_the_batch_broadcasts():
    x = currents("lif")[:, 0]
    _, z = lif_reset_free(LIF, lif_init((B, N)), x)
    assert z.shape == (T, B, N)
    np.testing.assert_array_equal(z[:, 0], z[:, 1])


def test_crf_rings_as_a_damped_cosine():
    """After one impulse u[t] = exp(-b t) (cos wt + i sin wt), stable for every frequency."""
    params = CRFParams(0.02, jnp.array([0.1, 1.0, 3.0]), 1.0)
    t = np.arange(60)[:, None]
    for steps in (1, 20, 60):
        state, _ = crf_parallel(params, crf_init((3,)), jnp.zeros((60, 3)).at[0].set(1.0)[:steps])
        want = np.exp(-0.02 * t) * np.exp(1j * t * np.array([0.1, 1.0, 3.0]))
        np.testing.assert_allclose(state.u, want[steps - 1], rtol=0, atol=1e-5)


def test_crf_resonates_at_its_own_frequency():
    """Driven by the same sine, only the neuron tuned to it fires."""
    x = 0.1 * jnp.sin(0.5 * jnp.arange(400.0))[:, None]
    params = CRFParams(0.01, jnp.array([0.25, 0.5, 1.0]), 2.0)
    _, z = crf_parallel(params, crf_init((3,)), jnp.broadcast_to(x, (400, 3)))
    counts = z.sum(0)
    assert float(counts[1]) > 50
    assert (float(counts[0]), float(counts[2])) == (0.0, 0.0)


def test_crf_state_is_complex():
    with pytest.raises(TypeError, match="state of a CRF neuron is complex; got float32"):
        crf_init((3,), jnp.float32)
