"""Delays against loops, finite differences and each other, in float64."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from snnjax.delays import (
    FormRule,
    FormTable,
    clamp_delay,
    clamp_occupancy,
    count_collisions,
    delayed,
    delayed_dense,
    deliver_step,
    forms,
    gaussian_taps,
    integer_delayed,
    kernel_of,
    ring_init,
    ring_push,
    ring_step,
    round_delay,
    rounded_kernel,
    sigma_schedule,
    spaced_conv,
    spaced_kernel,
    triangle_taps,
    two_taps,
)
from tests.reference import delays as reference

T, B, N, M, KC, MAX_DELAY = 14, 2, 4, 3, 2, 5
KERNELS = {"gaussian": gaussian_taps, "triangle": triangle_taps, "two": two_taps}
rng = np.random.default_rng(0)
X = rng.normal(size=(T, B, N))
WEIGHT = rng.normal(size=(N, M, KC))
DELAY = rng.uniform(0, MAX_DELAY, (N, M, KC))
DELAY[0, 0], DELAY[1, 0] = (0, MAX_DELAY), (2, 2)  # the ends, and two taps at one step
UPSTREAM = rng.normal(size=(T, B, M))
INNER = np.clip(DELAY, 0.1, MAX_DELAY - 0.1) + 0.037  # no step within a finite difference


@pytest.fixture(autouse=True)
def float64(strict_promotion):
    with jax.enable_x64(True):
        yield


@pytest.fixture
def small_scratch(monkeypatch):
    """Transforms of 10 steps, and inputs in groups of which the last is padded."""
    monkeypatch.setattr(forms, "transform_length", lambda *_: (10, 3))
    monkeypatch.setattr(forms, "WIDTH", 3)


def dense(form, kind="gaussian", sigma=0.7, tail=0):
    return partial(
        delayed_dense, max_delay=MAX_DELAY, taps=KERNELS[kind], form=form, tail=tail, sigma=sigma
    )


@pytest.mark.parametrize("kind", KERNELS)
def test_against_a_loop(kind):
    want = reference.delayed_dense(X, WEIGHT, DELAY, 0.7, MAX_DELAY, kind, tail=3)
    run = jax.jit(lambda: [dense(form, kind, tail=3)(X, WEIGHT, DELAY) for form in forms.FORMS])
    for got in run():
        np.testing.assert_allclose(got, want, atol=1e-12)


@pytest.mark.usefixtures("small_scratch")
def test_blocks_of_time_and_groups_of_inputs():
    """Values and all derivatives of both forms, in both modes."""

    def run(form, x, weight, delay, sigma):
        return delayed_dense(x, weight, delay, sigma, MAX_DELAY, form=form)

    def both(form, *args):
        y, pull = jax.vjp(partial(run, form), *args)
        return y, jax.jvp(partial(run, form), args, args)[1], pull(UPSTREAM)

    args = X, WEIGHT, DELAY, jnp.asarray(0.7)
    got, want = jax.jit(lambda *a: (both("dft", *a), both("direct", *a)))(*args)
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-12), got, want)


@pytest.mark.usefixtures("small_scratch")
def test_batches_over_devices():
    """Inside `shard_map` over the batch, forms and gradients equal those of the full batch."""
    mesh = jax.make_mesh((2,), ("data",), (jax.sharding.AxisType.Auto,), devices=jax.devices()[:2])
    spec = P(None, "data")

    def grads(x, upstream, axis):
        def loss(weight, delay, by_input):
            y = delayed_dense(x, weight, delay, 0.7, MAX_DELAY, form="dft")
            total = jnp.vdot(upstream, y) + (delayed(x, by_input, 0.7, MAX_DELAY) ** 2).sum()
            return total if axis is None else jax.lax.psum(total, axis)

        return jax.grad(loss, (0, 1, 2))(WEIGHT, DELAY, jnp.asarray(DELAY[:, 0, 0]))

    parts = jax.shard_map(
        partial(grads, axis="data"), mesh=mesh, in_specs=(spec, spec), out_specs=P()
    )
    got, want = jax.jit(parts)(X, UPSTREAM), jax.jit(partial(grads, axis=None))(X, UPSTREAM)
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-11), got, want)


@pytest.mark.parametrize("kind", KERNELS)
def test_gradients_by_finite_differences(kind):
    @jax.jit
    @partial(jax.value_and_grad, argnums=(0, 1))
    def loss(delay, sigma):
        y = delayed_dense(X, WEIGHT, delay, sigma, MAX_DELAY, taps=KERNELS[kind])
        return jnp.vdot(UPSTREAM, jnp.tanh(y))

    step = rng.normal(size=DELAY.shape)
    for sigma in (6.0, 2.1, 0.23, 0.05) if kind == "gaussian" else (0.7,):
        sigma = jnp.asarray(sigma)
        _, (by_delay, by_sigma) = loss(INNER, sigma)
        for e, move in ((1e-5, (step, 0.0)), (1e-5, (0 * step, 1.0))):
            if kind == "two" and move[1]:
                assert by_sigma == 0
                continue
            ends = [loss(INNER + s * e * move[0], sigma + s * e * move[1])[0] for s in (1, -1)]
            want = (ends[0] - ends[1]) / (2 * e)
            got = np.vdot(by_delay, move[0]) + by_sigma * move[1]
            np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-7)


def test_kernels_keep_the_weight_and_peak_where_they_should():
    ends = jnp.array([0.0, 0.4, 2.5, 4.99, 5.0])
    for taps in KERNELS.values():
        for sigma in (0.0, 0.23, 12.0):
            np.testing.assert_allclose(taps(ends, sigma, MAX_DELAY).sum(0), 1, atol=1e-6)
    assert gaussian_taps(5.0, 0.23, 24)[5] == pytest.approx(0.787, abs=5e-4)
    assert gaussian_taps(5.0, 0.0, 24)[5] == pytest.approx(0.9979, abs=5e-5)
    np.testing.assert_array_equal(gaussian_taps(ends, -2.0, 5), gaussian_taps(ends, 2.0, 5))
    one_hot = np.eye(MAX_DELAY + 1)[np.asarray(round_delay(DELAY, MAX_DELAY), int)]
    np.testing.assert_array_equal(
        np.moveaxis(two_taps(round_delay(DELAY, MAX_DELAY), 0.0, MAX_DELAY), 0, -1), one_hot
    )


def test_taps_in_a_narrow_dtype_and_of_a_nan_that_no_check_sees():
    narrow = jnp.asarray([3.0, 258.0], jnp.bfloat16)  # 257 steps and more need nine bits
    run = jax.jit(lambda *a: [[taps(d, 0.23, 299) for d in a] for taps in KERNELS.values()])
    for got, of_nan in run(narrow, np.nan):
        assert got.dtype == jnp.bfloat16
        assert np.asarray(got).argmax(0).tolist() == [3, 258]
        assert np.isnan(of_nan).all()  # zeros would look like a silent network


def test_integer_delays_shift_and_steps_equal_sequences():
    """Convolution = ring of inputs = ring of outputs = gather, for integer delays."""
    rounded = round_delay(DELAY, MAX_DELAY)
    want = np.zeros((T, B, M))
    for (i, o, c), d in np.ndenumerate(np.asarray(rounded, int)):
        want[d:, :, o] += WEIGHT[i, o, c] * X[: T - d, :, i]

    @jax.jit
    def run():
        kernel = rounded_kernel(WEIGHT, DELAY, MAX_DELAY)
        stream = jax.lax.scan(partial(ring_step, kernel), ring_init(MAX_DELAY, (B, N), float), X)[1]
        events = jax.lax.scan(
            partial(deliver_step, kernel), ring_init(MAX_DELAY, (B, M), float), X
        )[1]
        return stream, events, dense("dft", "two")(X, WEIGHT, rounded)

    for got in run():
        np.testing.assert_allclose(got, want, atol=1e-12)
    soft = kernel_of(jnp.asarray(WEIGHT), jnp.asarray(DELAY), 0.5, MAX_DELAY)
    stream = jax.lax.scan(partial(ring_step, soft), ring_init(MAX_DELAY, (B, N), float), X)[1]
    np.testing.assert_allclose(stream, dense("direct", sigma=0.5)(X, WEIGHT, DELAY), atol=1e-12)


def test_delays_of_axons_and_dendrites():
    one = DELAY[:, 0, 0]  # an input
    full = np.broadcast_to(one[:, None, None], WEIGHT.shape)
    axonal = delayed(X, one, 0.7, MAX_DELAY) @ WEIGHT.sum(-1)
    np.testing.assert_allclose(axonal, dense("direct")(X, WEIGHT, full), atol=1e-12)
    last = DELAY[0, :, 1]  # an output
    full = np.broadcast_to(last[:, None], WEIGHT.shape)
    dendritic = delayed(X @ WEIGHT.sum(-1), last, 0.7, MAX_DELAY)
    np.testing.assert_allclose(dendritic, dense("direct")(X, WEIGHT, full), atol=1e-12)
    rounded = round_delay(one, MAX_DELAY)
    np.testing.assert_array_equal(
        integer_delayed(X, rounded.astype(jnp.int32), MAX_DELAY),
        delayed(X, rounded, 0.0, MAX_DELAY, taps=two_taps),
    )


def test_causal_and_delays_add_and_the_past_continues():
    later = X.copy()
    later[7:] += 1
    for form in forms.FORMS:
        run = dense(form)
        np.testing.assert_allclose(
            run(later, WEIGHT, DELAY)[:7], run(X, WEIGHT, DELAY)[:7], atol=1e-12
        )
    full = run(X, WEIGHT, DELAY)
    parts = run(X[:8], WEIGHT, DELAY), run(X[8:], WEIGHT, DELAY, past=X[8 - MAX_DELAY : 8])
    np.testing.assert_allclose(np.concatenate(parts), full, atol=1e-12)
    first, second = jnp.array([2.0]), jnp.array([3.0])
    shift = partial(delayed, sigma=0.0, max_delay=MAX_DELAY, taps=two_taps)
    twice = shift(shift(X[..., :1], first), second)
    once = shift(X[..., :1], first + second)
    np.testing.assert_array_equal(twice, once)


def test_float32_and_one_trace_for_every_sigma():
    traces = []

    @jax.jit
    def run(sigma, *args):
        traces.append(1)
        return [delayed_dense(*args, sigma, MAX_DELAY, form=form) for form in forms.FORMS]

    args = [jnp.asarray(a, jnp.float32) for a in (X, WEIGHT, DELAY)]
    for epoch in range(3):
        sigma = sigma_schedule(jnp.float32(epoch), 8, 3.0)
        results = run(sigma, *args)
        want = reference.delayed_dense(X, WEIGHT, DELAY, float(sigma), MAX_DELAY, "gaussian")
        for got in results:
            assert got.dtype == jnp.float32
            np.testing.assert_allclose(got, want, atol=2e-6)
    assert len(traces) == 1


def test_sigma_follows_the_published_loop():
    sigma, epochs = 12.0, 150
    for epoch in range(epochs):
        assert float(sigma_schedule(epoch, epochs, 12.0)) == pytest.approx(max(sigma, 0.23), 1e-5)
        if epoch < epochs / 4 and sigma > 0.23:
            sigma *= (0.23 / 12.0) ** (4 / epochs)


def test_rounded_delays_are_in_range_and_counted():
    wild = jnp.array([-3.0, 0.5, 1.5, 2.5, 99.0])
    np.testing.assert_array_equal(round_delay(wild, 4), [0, 0, 2, 2, 4])
    np.testing.assert_array_equal(clamp_delay(clamp_delay(wild, 4), 4), clamp_delay(wild, 4))
    assert clamp_delay(np.array([-1, 7]), 4).tolist() == [0, 4]  # integer dtypes too
    assert float(clamp_occupancy(clamp_delay(wild, 4), 4)) == pytest.approx(3 / 5)
    taps = np.asarray(round_delay(DELAY, MAX_DELAY)).reshape(-1, KC)
    assert int(count_collisions(DELAY, MAX_DELAY)) == sum(KC - len(set(row)) for row in taps) >= 1
    kernel = rounded_kernel(np.abs(WEIGHT), DELAY, MAX_DELAY)
    assert int((kernel != 0).sum()) == taps.size - int(count_collisions(DELAY, MAX_DELAY))


def test_the_form_is_a_function_of_shapes():
    table = FormTable((FormRule("cpu", 1e9),))
    shapes = {"steps": 100, "max_delay": 24, "inputs": 700, "outputs": 256, "batch": 64}
    assert FormTable().choose(**shapes, backend="cpu") == "dft"
    assert table.choose(**shapes, backend="cpu") == "direct"
    assert FormTable().choose(**shapes, backend="unknown") == "direct"
    for steps, size in ((1, 1), (100, 25), (129, 40), (1000, 25), (64, 64)):
        length, blocks = forms.transform_length(steps, size)
        assert (blocks - 1) * (length - size + 1) < steps <= blocks * (length - size + 1)


BAD = {
    "at most max_delay = 5; got 6": lambda: dense(None)(X, WEIGHT, DELAY + 6 - DELAY),
    "must not be negative": lambda: dense(None)(X, WEIGHT, DELAY - 1),
    "6 NaN": lambda: gaussian_taps(np.full((2, 3), np.nan), 0.0, 3),
    "longer than the sequence": lambda: dense(None)(X[:4], WEIGHT, DELAY),
    "`sigma` must be a scalar": lambda: dense(None, sigma=np.ones(3))(X, WEIGHT, DELAY),
    "`sigma` must be finite": lambda: dense(None, sigma=np.nan)(X, WEIGHT, DELAY),
    "both be \\[I, O\\]": lambda: dense(None)(X, WEIGHT, DELAY[:2]),
    "must be \\[T, B, ..., 4\\]": lambda: dense(None)(X[..., :2], WEIGHT, DELAY),
    "T of at least 1": lambda: dense(None)(X[:0], WEIGHT, DELAY),
    "`form` must be one of direct, dft": lambda: dense("fft")(X, WEIGHT, DELAY),
    "`tail` must be": lambda: dense(None, tail=-1)(X, WEIGHT, DELAY),
    "`past` must be": lambda: dense(None)(X, WEIGHT, DELAY, past=X[:2]),
    "`max_delay` must be": lambda: gaussian_taps(0.5, 0.0, -1),
    "share a dtype": lambda: dense(None)(X, WEIGHT.astype(np.float32), DELAY),
    "cast one of them": lambda: dense(None)(X.astype(np.float32), WEIGHT, DELAY),
    "must be floating to be learned": lambda: gaussian_taps(np.arange(3), 0.0, 3),
    "must be integers": lambda: integer_delayed(X, np.ones(N), MAX_DELAY),
    "Kc of at least 1; got .4, 3, 0.": lambda: dense(None)(X, WEIGHT[..., :0], DELAY[..., :0]),
    "got .4, 3, 1. and .4, 3, 2.": lambda: kernel_of(WEIGHT[..., :1], DELAY, 0.5, MAX_DELAY),
    "`taps` must be a function.*'gauss'": lambda: delayed_dense(
        X, WEIGHT, DELAY, 0.5, MAX_DELAY, taps="gauss"
    ),
    "needs frames of .2, 4.; got .1, 4.*ring_init.5,": lambda: ring_push(
        ring_init(MAX_DELAY, (B, N)), jnp.ones((1, N))
    ),
    "`max_delay` must be.*got -1": lambda: ring_init(-1, (B, N)),
    "got .6, 4., .6, 2, 3. and": lambda: deliver_step(
        jnp.ones((6, 4)), ring_init(MAX_DELAY, (B, M)), X[0]
    ),
    "one stride for each of 2 dim.*got .2,.*Give .2, 2.": lambda: spaced_conv(
        X, WEIGHT, DELAY[None], 0.0, (3, 3), strides=(2,)
    ),
    "Make the ring": lambda: ring_step(jnp.ones((2, 3, 4)), ring_init(2, (B, 3)), X[0]),
    "ring \\[K, B, O\\]": lambda: deliver_step(jnp.ones((2, 3, 4)), ring_init(2, (B, 3)), X[0]),
    "within 2 steps of the middle of a kernel of 5 along axis 1; got -2.5": lambda: spaced_kernel(
        WEIGHT, np.stack([0 * DELAY, 0 * DELAY - 2.5]), 0.0, (3, 5)
    ),
    "`position` holds 24 NaN": lambda: spaced_kernel(WEIGHT, DELAY[None] * np.nan, 0.0, (5,)),
    "floor=1": lambda: sigma_schedule(0, 10, 0.5, floor=1),
    "got 0 and 0.25": lambda: sigma_schedule(0, 0, 2.0),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_input_is_refused(message):
    with pytest.raises((ValueError, TypeError), match=message):
        BAD[message]()
