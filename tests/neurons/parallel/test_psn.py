"""The family of parallel spiking neurons: against loops, each other, and their own steps."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnjax.neurons import (
    LIFParams,
    PSNParams,
    SlidingPSNParams,
    lif_init,
    lif_reset_free,
    masked_psn,
    masked_psn_init,
    masked_psn_step,
    psn,
    psn_params,
    psn_step,
    sliding_psn,
    sliding_psn_init,
    sliding_psn_params,
    sliding_psn_step,
)
from snnjax.surrogates import atan, soft
from snnjax.unroll import unroll

pytestmark = pytest.mark.usefixtures("strict_promotion")

T, B, N, K = 12, 2, 3, 4


def currents(steps=T, seed=0):
    x = np.random.default_rng(seed).normal(0.5, 1.5, (steps, B, N))
    return jnp.asarray(x, jnp.float32)


@pytest.fixture(scope="module")
def params():
    return psn_params(T, key=jax.random.key(0))._replace(bias=jnp.linspace(-1.0, 0.2, T))


def mixed(weight, bias, x):
    """Spikes in float64, one neuron after the other."""
    weight, bias, x = (np.asarray(a, np.float64) for a in (weight, bias, x))
    z = np.zeros(x.shape)
    for b, n in np.ndindex(B, N):
        for t in range(len(weight)):
            h = sum(weight[t, s] * x[s, b, n] for s in range(len(x)))
            z[t, b, n] = h + bias[t] >= 0
    return z


def test_psn_and_masked_psn_equal_the_loop(params):
    x = currents()
    z = psn(params, x)
    np.testing.assert_array_equal(z, mixed(*params, x))
    assert 0.1 < float(z.mean()) < 0.9
    i, j = np.indices((T, T))
    band = (i - K < j) & (j <= i)
    for strength in (0.0, 0.3, 1.0):
        weight = np.asarray(params.weight) * (strength * band + 1 - strength)
        got = masked_psn(params, x, window=K, strength=strength)
        np.testing.assert_array_equal(got, mixed(weight, params.bias, x))
    np.testing.assert_array_equal(masked_psn(params, x, window=K, strength=0.0), z)


def test_the_widest_mask_is_the_lower_triangle(params):
    x = currents()
    lower = params._replace(weight=jnp.tril(params.weight))
    np.testing.assert_array_equal(masked_psn(params, x, window=T), psn(lower, x))


def test_causality(params):
    """The last input reaches the first spike of a PSN, but not of a causal one."""
    x = currents()
    other = x.at[-1].add(jnp.where(params.weight[0, -1] > 0, 100.0, -100.0))
    assert (psn(params, other)[0] == 1).all()
    assert (psn(params, x)[0] == 0).any()
    for strength, same in ((0.9, False), (1.0, True)):
        run = partial(masked_psn, params, window=K, strength=strength)
        assert bool((run(x)[:-1] == run(other)[:-1]).all()) is same
    sliding = partial(sliding_psn, sliding_psn_params(K), sliding_psn_init((B, N), K))
    np.testing.assert_array_equal(sliding(x)[1][:-1], sliding(other)[1][:-1])


def test_a_psn_refuses_to_stream(params):
    with pytest.raises(ValueError, match=r"a PSN cannot run step by step: its weight .* is full"):
        psn_step(params, None, currents()[0])
    with pytest.raises(ValueError, match=r"only at strength 1, .* got strength=0\.5"):
        masked_psn_step(params, masked_psn_init((B, N), K), currents()[0], strength=0.5)
    with pytest.raises(ValueError, match=r"weights are for T = 12 steps; got .*\(11, 2, 3\)"):
        psn(params, currents()[1:])


@pytest.mark.parametrize("window", [1, K, T, T + 3])
def test_masked_steps_equal_the_full_sequence(params, window):
    x = currents()
    step = partial(masked_psn_step, params)
    state, z = unroll(step, masked_psn_init((B, N), window), x)
    np.testing.assert_array_equal(z, masked_psn(params, x, window=window))
    assert state.t.tolist() == [T] * B
    with pytest.raises(ValueError, match="has weights for T = 12 steps; got one more"):
        step(state, x[0])
    _, beyond = jax.jit(step)(state, x[0] + 100.0)
    assert not beyond.any()


@pytest.mark.parametrize("window", [1, 2, K, T + 3])
def test_sliding_forms_agree_and_continue(window):
    weight = jax.random.normal(jax.random.key(1), (window,))
    params, x = SlidingPSNParams(weight, jnp.array(-0.5)), currents()
    start = sliding_psn_init((B, N), window)
    padded = np.concatenate([np.zeros((window - 1, B, N)), x])
    h = np.stack([np.tensordot(np.asarray(weight), padded[t : t + window], 1) for t in range(T)])
    last, want = sliding_psn(params, start, x)
    np.testing.assert_array_equal(want, h >= 0.5)
    for run in (partial(sliding_psn, method="conv"), sliding_psn):
        state, z = run(params, start, x)
        middle, first = run(params, start, x[:5])
        end, second = run(params, middle, x[5:])
        np.testing.assert_array_equal(z, want)
        np.testing.assert_array_equal(jnp.concatenate([first, second]), want)
        np.testing.assert_array_equal(state.recent, last.recent)
        np.testing.assert_array_equal(end.recent, last.recent)
    state, z = unroll(partial(sliding_psn_step, params), start, x)
    np.testing.assert_array_equal(z, want)
    np.testing.assert_array_equal(state.recent, last.recent)


@settings(max_examples=15, deadline=None)
@given(decay=st.floats(0.0, 1.0), steps=st.integers(1, 9), seed=st.integers(0, 99))
def test_a_window_of_powers_is_a_lif_without_reset(decay, steps, seed):
    """With w_i = decay^(K - 1 - i) and K >= T."""
    with jax.enable_x64(True):
        x = jnp.asarray(currents(steps, seed), jnp.float64)
        weight = jnp.asarray(decay ** np.arange(10.0)[::-1])
        start = sliding_psn_init((B, N), 10, jnp.float64)
        _, z = sliding_psn(SlidingPSNParams(weight, jnp.asarray(-1.0)), start, x)
        _, want = lif_reset_free(LIFParams(decay, 1.0), lif_init((B, N), jnp.float64), x)
        np.testing.assert_array_equal(z, want)


@pytest.mark.parametrize("window", [3, 90])
def test_long_sequences_go_by_blocks(window):
    """Blocks of 64 steps do not divide 150, and a window may be longer than one."""
    weight = jax.random.normal(jax.random.key(2), (window,))
    params, x = SlidingPSNParams(weight, jnp.array(-0.5)), currents(150)
    start = sliding_psn_init((B, N), window)
    upstream = jnp.cos(x)

    def loss(method, params, x):
        state, h = sliding_psn(params, start, x, spike=lambda h: h, method=method)
        return (h * upstream).sum() + (state.recent**2).sum(), h

    (got, h), (want, wanted) = (
        jax.jit(jax.grad(partial(loss, m), (0, 1), has_aux=True))(params, x)
        for m in ("toeplitz", "conv")
    )
    close = partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4)
    jax.tree.map(close, (got, h), (want, wanted))


def test_initial_values_and_numbers_of_parameters():
    """340 more parameters in the 17 layers of SEW-ResNet-18 at T = 4; 200 in the 10 of VGG-11."""
    made = psn_params(4, key=jax.random.key(0))
    size = sum(leaf.size for leaf in made)
    assert (17 * size, 10 * size) == (340, 200)
    assert made.bias.tolist() == [-1.0] * 4
    weight = np.asarray(psn_params(100, key=jax.random.key(1)).weight)
    assert 0.099 < np.abs(weight).max() <= 0.1
    np.testing.assert_allclose(weight.std(), 0.1 / np.sqrt(3), rtol=0.02)
    sliding = sliding_psn_params(4)
    assert sliding.weight.tolist() == [0.125, 0.25, 0.5, 1.0]
    assert sum(leaf.size for leaf in sliding) == 5
    assert float(sliding.bias) == -1.0


def test_gradients_equal_finite_differences_in_soft_form(params):
    """Gradients of weight, bias and input, for sequences and steps alike."""
    spike = soft(atan)
    with jax.enable_x64(True):
        full = PSNParams(*(jnp.asarray(leaf, jnp.float64) for leaf in params))
        kernel = SlidingPSNParams(jnp.asarray([0.3, -0.5, 1.0]), jnp.asarray(-1.0))
        x = jnp.asarray(currents(), jnp.float64)
        masked = masked_psn_init((B, N), K, jnp.float64)
        recent = sliding_psn_init((B, N), 3, jnp.float64)
        forms = {
            "psn": (full, partial(psn, spike=spike)),
            "masked": (full, partial(masked_psn, window=K, strength=0.5, spike=spike)),
            "masked steps": (
                full,
                lambda p, x: unroll(partial(masked_psn_step, p, spike=spike), masked, x)[1],
            ),
            "conv": (kernel, lambda p, x: sliding_psn(p, recent, x, spike=spike, method="conv")[1]),
            "toeplitz": (
                kernel,
                lambda p, x: sliding_psn(p, recent, x, spike=spike, method="toeplitz")[1],
            ),
        }
        for name, (start, form) in forms.items():

            def loss(params, x, form=form):
                return (form(params, x) * jnp.cos(x)).sum()

            args = (start, x)
            moves = jax.tree.map(lambda a: jnp.cos(3.0 * a), args)
            _, tangent = jax.jit(lambda a, d, loss=loss: jax.jvp(loss, a, d))(args, moves)
            grads = jax.jit(jax.grad(loss, (0, 1)))(*args)
            up, down = (
                loss(*jax.tree.map(lambda a, d, h=h: a + h * d, args, moves)) for h in (1e-6, -1e-6)
            )
            product = sum(jax.tree.leaves(jax.tree.map(lambda g, d: (g * d).sum(), grads, moves)))
            np.testing.assert_allclose(tangent, (up - down) / 2e-6, rtol=1e-6, err_msg=name)
            np.testing.assert_allclose(product, tangent, rtol=1e-10, err_msg=name)
            assert all((leaf != 0).any() for leaf in jax.tree.leaves(grads))


def test_bfloat16_input_and_bad_input(params):
    x = currents().astype(jnp.bfloat16)
    wide = x.astype(jnp.float32)
    kernel, start = sliding_psn_params(K), sliding_psn_init((B, N), K)
    for run in (
        partial(psn, params),
        partial(masked_psn, params, window=K),
        lambda x: sliding_psn(kernel, start, x)[1],
        lambda x: sliding_psn_step(kernel, start, x[0])[1],
        lambda x: masked_psn_step(params, masked_psn_init((B, N), K), x[0])[1],
    ):
        assert run(x).dtype == jnp.bfloat16
        np.testing.assert_array_equal(run(x).astype(jnp.float32), run(wide))
        with pytest.raises(TypeError, match="must be floating point; got int32"):
            run(jnp.ones((T, B, N), jnp.int32))
    for window in (0, 2.0, True):
        with pytest.raises(ValueError, match="`window` must be an int of at least 1 step"):
            sliding_psn_params(window)
        with pytest.raises(ValueError, match="`window` must be an int of at least 1 step"):
            masked_psn(params, wide, window=window)
    with pytest.raises(ValueError, match=r"for a window of 4 steps; the weights have 3\. Use"):
        sliding_psn(sliding_psn_params(3), start, wide)
    with pytest.raises(ValueError, match='`method` must be "conv" or "toeplitz"; got \'fft\''):
        sliding_psn(kernel, start, wide, method="fft")
    with pytest.raises(ValueError, match="does not fit"):
        sliding_psn(kernel, start, jnp.ones((T, 5, N)))
    with pytest.raises(ValueError, match="T = 0 time steps"):
        sliding_psn(kernel, start, wide[:0])
