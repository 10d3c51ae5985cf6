"""Delta activation: quantiser, send on delta, and the product that follows changes."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnjax.neurons import (
    DeltaActivationParams,
    DeltaActivationState,
    DeltaSendParams,
    delta_activation_init,
    delta_activation_step,
    delta_encode,
    delta_levels,
    delta_product_init,
    delta_product_step,
    delta_quantise,
    delta_send_step,
    delta_step_size,
    sigma_init,
    sigma_step,
)
from snnjax.surrogates import atan, soft
from snnjax.unroll import unroll

pytestmark = pytest.mark.usefixtures("strict_promotion")

DELTA = 0.25


def signal(shape=(9, 2, 3), seed=0, scale=1.0):
    x = np.random.default_rng(seed).normal(0.5, scale, shape)
    return jnp.asarray(x, jnp.float32)


@pytest.mark.parametrize(("bits", "signed"), [(2, False), (3, True)])
def test_quantiser_and_its_gradient_equal_the_loop(bits, signed):
    """The rule of learned step sizes, entry by entry; k has none for the step."""
    x, count = signal(scale=3.0), 6
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    k, q, dx, dstep = np.zeros(x.shape), np.zeros(x.shape), np.zeros(x.shape), 0.0
    upstream = np.cos(np.arange(x.size)).reshape(x.shape)
    for at in np.ndindex(x.shape):
        ratio = float(x[at]) / DELTA
        k[at] = min(max(round(ratio), low), high)
        q[at] = DELTA * k[at]
        if low < ratio < high:
            dx[at] = upstream[at]
            dstep += upstream[at] * (k[at] - ratio) / np.sqrt(count * high)
        else:
            dstep += upstream[at] * k[at] / np.sqrt(count * high)

    def both(x, step):
        options = {"bits": bits, "signed": signed}
        return delta_quantise(x, step, count=count, **options), delta_levels(x, step, **options)

    weight, zero = jnp.asarray(upstream, jnp.float32), jnp.zeros_like(x)

    @jax.jit
    def everything(x, step):
        out, pull = jax.vjp(both, x, step)
        _, tangent = jax.jvp(both, (x, step), (weight, jnp.float32(0.3)))
        return out, pull((weight, zero)), pull((zero, weight)), tangent

    out, *pulled, tangent = everything(x, jnp.float32(DELTA))
    np.testing.assert_array_equal(out[0], q)
    np.testing.assert_array_equal(out[1], k)
    for got, push, slope, along in zip(pulled, tangent, (1, 1 / DELTA), (dstep, 0), strict=True):
        np.testing.assert_allclose(got[0], slope * dx, rtol=1e-6)
        np.testing.assert_allclose(got[1], along, rtol=1e-4, atol=1e-6)
        product = (np.asarray(got[0]) * upstream).sum() + 0.3 * float(got[1])
        np.testing.assert_allclose((np.asarray(push) * upstream).sum(), product, rtol=1e-4)


def test_changes_add_up_to_the_levels_and_the_first_frame_is_sent_in_full():
    k = delta_levels(signal((40, 2, 3), scale=2.0), DELTA)
    state, d = unroll(delta_encode, delta_activation_init((2, 3)), k)
    np.testing.assert_array_equal(np.cumsum(np.asarray(d, np.int32), 0), k)
    np.testing.assert_array_equal(d[0], k[0])
    np.testing.assert_array_equal(state.k, k[-1])


def test_streamed_products_are_exact_with_integer_weights():
    """Every frame, to the last bit; and through a convolution, as another linear map."""
    weight = jnp.asarray(np.random.default_rng(1).integers(-8, 9, (3, 4)), jnp.float32)
    x, params = signal((60, 2, 3), scale=2.0), DeltaActivationParams(DELTA)

    def linear(d):
        return d @ weight

    step = partial(delta_product_step, params, linear=linear)
    last, z = jax.jit(lambda x: unroll(step, delta_product_init((2, 3), linear), x))(x)
    q = delta_quantise(x, DELTA)
    np.testing.assert_array_equal(z, linear(q))
    np.testing.assert_array_equal(last.k, q[-1] / DELTA)

    def conv(d):
        return jnp.stack([jnp.convolve(row, weight[0], mode="same") for row in d])

    step = partial(delta_product_step, params, linear=conv)
    _, z = unroll(step, delta_product_init((2, 3), conv), x[:9])
    np.testing.assert_array_equal(z, jnp.stack([conv(frame) for frame in q[:9]]))


def test_a_thousand_frames_do_not_drift():
    """In float32 with any weights; the sum computed from the levels agrees."""
    weight = jax.random.normal(jax.random.key(1), (16, 8))
    x, params = jnp.abs(signal((1_000, 1, 16))), DeltaActivationParams(0.037)

    def linear(d):
        return d @ weight

    step = partial(delta_product_step, params, linear=linear)
    _, z = jax.jit(lambda x: unroll(step, delta_product_init((1, 16), linear), x))(x)
    np.testing.assert_allclose(z, linear(delta_quantise(x, 0.037)), atol=1e-4)


def test_only_linear_maps_pass_changes():
    """A residual add and a mean over places do; a bias, a rectifier and a max-pool do not."""

    def pool(d):
        return d.reshape(2, 3, 2).mean(-1)

    for linear in (lambda d: d + 2.0 * d, pool):
        assert delta_product_init((2, 6), linear).z.shape == linear(jnp.zeros((2, 6))).shape
    for other in (
        lambda d: d + 1.0,
        lambda d: 1000.0 * d + 1.0,
        jax.nn.relu,
        lambda d: d.reshape(2, 3, 2).max(-1),
    ):
        with pytest.raises(ValueError, match="changes pass through linear maps only"):
            delta_product_init((2, 6), other)


@settings(max_examples=10, deadline=None)
@given(theta=st.floats(0.13, 1.0), seed=st.integers(0, 99))
def test_what_is_sent_stays_within_the_threshold(theta, seed):
    """On a random walk of any length; and the receiver's sum is q."""
    walk = jnp.asarray(np.cumsum(np.random.default_rng(seed).normal(0, 0.1, (300, 1, 2)), 0))
    walk = walk.astype(jnp.float32)
    step = partial(delta_send_step, DeltaSendParams(DELTA, theta))
    _, (q, seen) = unroll(step, delta_activation_init((1, 2)), walk, record=("k",))
    assert float(jnp.abs(walk - q).max()) <= max(theta, DELTA / 2) + 1e-5
    _, d = unroll(delta_encode, delta_activation_init((1, 2)), seen["k"])
    _, total = unroll(sigma_step, sigma_init((1, 2)), DELTA * d)
    np.testing.assert_array_equal(total, q)


def test_hysteresis_keeps_noise_at_a_boundary_silent():
    """Noise below a boundary sends nothing; at one the plain quantiser flips, the threshold not."""
    noise = jnp.asarray(np.random.default_rng(0).uniform(-0.3, 0.3, (50, 1, 4)) * DELTA)
    noise = noise.astype(jnp.float32)
    away, boundary = 4 * DELTA + noise, 4.5 * DELTA + noise
    assert not jnp.diff(delta_levels(away, DELTA), axis=0).any()
    assert jnp.diff(delta_levels(boundary, DELTA), axis=0).any(axis=0).all()
    step = partial(delta_send_step, DeltaSendParams(DELTA, DELTA))
    _, (_, seen) = unroll(step, delta_activation_init((1, 4)), boundary, record=("k",))
    assert not jnp.diff(seen["k"], axis=0).any()
    assert seen["k"].any()


def test_send_gradients_are_those_of_the_rule():
    """Where a frame is sent the output follows x and lets go of the past; else it stays."""
    params, state = DeltaSendParams(0.5, 0.75), DeltaActivationState(jnp.array([1.0, 1.0]))
    x = jnp.array([2.1, 0.8])  # changes of 1.6, sent, and 0.3, not
    flat = partial(soft(atan), slope=1e6)  # a decision whose only gradient is at its threshold

    def run(x, k):
        return delta_send_step(params, DeltaActivationState(k), x, spike=flat)[1]

    np.testing.assert_allclose(run(x, state.k), [2.0, 0.5], atol=1e-5)
    along_x, along_k = (np.diag(j) for j in jax.jit(jax.jacobian(run, (0, 1)))(x, state.k))
    np.testing.assert_allclose(along_x, [1.0, 0.0], atol=1e-4)
    np.testing.assert_allclose(along_k, [0.0, 0.5], atol=1e-4)
    theta = jax.grad(
        lambda theta: delta_send_step(params._replace(threshold=theta), state, x)[1].sum()
    )(0.75)
    assert float(theta) < 0  # a higher threshold sends less


def test_step_size_and_bad_input():
    x = signal((8, 4, 5))
    want = 2.0 * np.abs(np.asarray(x)).mean() / np.sqrt(15)
    np.testing.assert_allclose(delta_step_size(x, bits=4), want, rtol=1e-6)
    with pytest.raises(ValueError, match="`bits` must be an int from 2 to 16; got 1"):
        delta_levels(x, DELTA, bits=1, signed=True)
    with pytest.raises(TypeError, match="must be floating point"):
        delta_send_step(DeltaSendParams(0.5, 0.5), delta_activation_init((2,)), jnp.ones(2, int))


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_narrow_activations_have_the_levels_of_wide_ones(dtype):
    """Levels of 16 bits are exact in neither dtype, and x / delta overflows in float16."""
    x = jnp.asarray([1e4, 300.0, 0.25], dtype)
    k = delta_levels(x, 0.1, bits=16)
    want = np.clip(np.round(np.asarray(x, np.float32) / np.float32(0.1)), 0, 65535)
    np.testing.assert_array_equal(k, want)
    q = delta_quantise(x, 0.1, bits=16)
    assert q.dtype == dtype
    np.testing.assert_allclose(np.asarray(q, np.float32), 0.1 * want, rtol=2.0**-8)
    state = delta_activation_init((3,), dtype)
    with pytest.raises(ValueError, match="levels of 16 bits reach 65535"):
        delta_activation_step(DeltaActivationParams(0.1), state, x, bits=16)
    state, _ = delta_activation_step(DeltaActivationParams(0.1), state, x, bits=8)
    assert state.k.dtype == dtype
    np.testing.assert_array_equal(np.asarray(state.k, np.float32), np.minimum(want, 255))


@pytest.mark.parametrize("delta", [0.0, -0.5])
def test_a_step_must_be_above_0(delta):
    x, state = jnp.ones((2,)), delta_activation_init((2,))
    calls = (
        lambda: delta_levels(x, delta),
        lambda: delta_quantise(x, delta),
        lambda: delta_activation_step(DeltaActivationParams(delta), state, x),
        lambda: delta_send_step(DeltaSendParams(delta, 0.5), state, x),
    )
    for call in calls:
        with pytest.raises(ValueError, match=r"`delta` must be (finite and )?above 0"):
            call()
