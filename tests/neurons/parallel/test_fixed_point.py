"""lif_fixed_point and if_closed_form against a plain lax.scan of the neuron's own step."""

from __future__ import annotations

import functools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

from snnjax.neurons import (
    IFParams,
    LIFParams,
    LIFState,
    detach,
    if_closed_form,
    if_init,
    if_step,
    lif_fixed_point,
    lif_init,
    lif_step,
    none,
    subtract,
    zero,
)
from snnjax.surrogates import atan, sigmoid, soft, triangle

pytestmark = pytest.mark.usefixtures("strict_promotion")

T, LANES = 48, 32
RESETS = {
    "subtract": subtract,
    "subtract detached": detach(subtract),
    "zero": zero,
    "zero detached": detach(zero),
}
SURROGATES = {"atan": atan, "sigmoid": partial(sigmoid, slope=6.0), "triangle": triangle}
every_reset = pytest.mark.parametrize("reset", RESETS)


def make(seed=0, mean=0.3, scale=0.6, steps=T):
    rng = np.random.default_rng(seed)
    x = rng.normal(mean, scale, (steps, LANES))
    return x, rng.normal(0.2, 0.3, LANES), rng.normal(size=(steps, LANES))


def scan(step, params, v, x):
    """The plain scan: last state and spikes."""
    return lax.scan(partial(step, params), v, x)


FORMS = (("associative", "fast"), ("scan", "both"), ("chunked", "fast"))


@functools.cache
def program(name, surrogate, forms=FORMS):
    """Compiled: loss, last state, spikes and gradients of the scan and of the parallel forms."""
    options = {"spike": SURROGATES[surrogate], "reset": RESETS[name]}

    def loss(form, upstream, decays, threshold, v, x):
        params, state = LIFParams(decays, threshold), LIFState(v)
        if form is None:
            end, z = scan(partial(lif_step, **options), params, state, x)
        else:
            ways = {"method": form[0], "differentiate": form[1]}
            end, z, _ = lif_fixed_point(params, state, x, **options, **ways)
        return (upstream * z).sum() + (end.v**2).sum(), (z, end.v)

    @jax.jit
    def run(*args):
        grad = jax.value_and_grad(loss, argnums=(2, 3, 4, 5), has_aux=True)
        return [grad(form, *args) for form in (None, *forms)]

    return run


def gradients(run, decay, dtype):
    """Gradients of the scan, and of the parallel forms."""
    x, v, upstream = (jnp.asarray(a, dtype) for a in make())
    want, *got = run(upstream, jnp.full((LANES,), decay, dtype), jnp.asarray(0.9, dtype), v, x)
    return jax.tree.map(np.asarray, (want, got))


CHECKED = [(r, "atan", d) for r in RESETS for d in (0.5, 0.9)]
CHECKED += [("subtract", "sigmoid", 0.9), ("zero", "triangle", 0.5)]


@pytest.mark.parametrize(("reset", "surrogate", "decay"), CHECKED)
def test_loss_spikes_and_all_gradients_equal_the_scan(reset, surrogate, decay):
    """With respect to input, decay, threshold and first state; in float64, so spikes are equal."""
    with jax.enable_x64(True):
        want, got = gradients(program(reset, surrogate), decay, jnp.float64)
    (loss, (z, v)), grads = want
    assert 0.05 < z.mean() < 0.6
    for form, ((other, (spikes, end)), others) in zip(FORMS, got, strict=True):
        np.testing.assert_array_equal(spikes, z)
        np.testing.assert_allclose(end, v, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(other, loss, rtol=1e-12)
        for g, w in zip(others, grads, strict=True):
            assert np.abs(w).max() > 0
            assert np.abs(g - w).max() <= 1e-11 * np.abs(w).max(), form


@every_reset
def test_gradients_in_float32(reset):
    want, got = gradients(program(reset, "atan", FORMS[:1]), 0.9, jnp.float32)
    (_, (z, _)), (_, _, want_v, want_x) = want
    for (_, (spikes, _)), (_, _, d_v, d_x) in got:
        np.testing.assert_array_equal(spikes, z)
        assert np.abs(d_x - want_x).max() <= 2e-6 * np.abs(want_x).max()
        assert np.abs(d_v - want_v).max() <= 2e-6 * np.abs(want_x).max()


@pytest.mark.parametrize("reset", ["subtract", "zero"])
def test_soft_gradients_equal_finite_differences(reset):
    """With the primitive as spike function the neuron is smooth; T iterations still solve it."""
    with jax.enable_x64(True):
        x, v, upstream = (jnp.asarray(a[..., :2]) for a in make(steps=9))

        @jax.jit
        def loss(decay, threshold, v, x):
            params = LIFParams(decay, threshold)
            end, z, _ = lif_fixed_point(
                params, LIFState(v), x, spike=soft(atan), reset=RESETS[reset]
            )
            return (upstream * z).sum() + (end.v**2).sum()

        args = (jnp.array([0.5, 0.9]), jnp.array(0.9), v, x)
        moves = jax.tree.map(
            lambda a: jnp.sin(jnp.linspace(1.0, 30.0, a.size)).reshape(a.shape), args
        )
        grads = jax.grad(loss, argnums=(0, 1, 2, 3))(*args)
        product = sum((g * d).sum() for g, d in zip(grads, moves, strict=True))
        up, down = (
            loss(*(a + h * d for a, d in zip(args, moves, strict=True))) for h in (1e-6, -1e-6)
        )
        np.testing.assert_allclose(product, (up - down) / 2e-6, rtol=1e-6)


def test_forward_mode_and_second_derivatives():
    """Equal to those of the scan; forward mode through "fast" names the switch.

    The second derivatives of the scan are taken forward over forward: its reverse mode keeps the
    surrogate for the first derivative only, and treats spikes as constants in the second.
    """
    with jax.enable_x64(True):
        x, v, upstream = (jnp.asarray(a[..., :2]) for a in make(steps=7))

        def loss(way, decay, x):
            params, state = LIFParams(decay, 0.9), LIFState(v)
            if way == "scan":
                end, z = scan(lif_step, params, state, x)
            else:
                end, z, _ = lif_fixed_point(params, state, x, differentiate=way)
            return (upstream * z).sum() + (end.v**2).sum()

        @jax.jit
        def run(decay, x):
            moves = (jnp.ones_like(decay), jnp.cos(x))
            tangents = [
                jax.jvp(partial(loss, way), (decay, x), moves)[1] for way in ("scan", "both")
            ]
            want = jax.jacfwd(jax.jacfwd(partial(loss, "scan"), (0, 1)), (0, 1))(decay, x)
            both = jax.hessian(partial(loss, "both"), (0, 1))(decay, x)
            fast = jax.jacrev(jax.jacrev(partial(loss, "fast"), (0, 1)), (0, 1))(decay, x)
            return tangents, want, (both, fast)

        decay = jnp.array([0.5, 0.9])
        tangents, want, others = run(decay, x)
        np.testing.assert_allclose(tangents[1], tangents[0], rtol=1e-10)
        for got in others:
            jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-9, atol=1e-9), got, want)
        assert np.abs(want[0][0]).max() > 0
        with pytest.raises(TypeError, match='of lif_fixed_point needs differentiate="both"'):
            jax.jvp(partial(loss, "fast", decay), (x,), (x,))


def test_a_traced_surrogate_and_scaled_input():
    """The slope of a surrogate may be traced, and grad of jit works."""
    x, v, _ = (jnp.asarray(a, jnp.float32) for a in make(seed=3, scale=2.0))

    def loss(parallel, slope, x):
        options = {"spike": partial(atan, slope=slope), "scale_input": True, "reset": zero}
        params, state = LIFParams(jnp.asarray(0.6), 0.9), LIFState(v)
        if parallel:
            _, z, _ = lif_fixed_point(params, state, x, **options)
        else:
            _, z = scan(partial(lif_step, **options), params, state, x)
        return (z * jnp.cos(x)).sum()

    want = jax.grad(jax.jit(partial(loss, False)), 1)(jnp.array(3.0), x)
    got = jax.grad(jax.jit(partial(loss, True)), 1)(jnp.array(3.0), x)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
    assert (jax.grad(jax.jit(partial(loss, True)), 1)(jnp.array(1.0), x) != got).any()


@functools.cache
def iterates(name, steps):
    """Compiled: true spikes, and those after each number of iterations, and how it ended."""

    def run(decay, threshold, v, x):
        params, state = LIFParams(decay, threshold), LIFState(v)
        reset = RESETS[name]
        _, true = scan(partial(lif_step, reset=reset), params, state, x)
        _, full, how = lif_fixed_point(params, state, x, reset=reset)
        parts = [
            lif_fixed_point(params, state, x, reset=reset, k=k, fallback=False)
            for k in range(1, steps + 1)
        ]
        return true, full, how, [z for _, z, _ in parts], [h for _, _, h in parts]

    return jax.jit(run)


@settings(max_examples=30, deadline=None)
@given(
    decay=st.floats(0.0, 1.0),
    threshold=st.floats(0.2, 3.0),
    mean=st.floats(-0.5, 1.5),
    name=st.sampled_from(["subtract", "zero"]),
    seed=st.integers(0, 999),
)
def test_wavefront_certificate_and_bracketing(decay, threshold, mean, name, seed):
    """For any decay, threshold and rate; in float64, where no input here ties with a threshold."""
    steps = 10
    with jax.enable_x64(True):
        x, v, _ = (jnp.asarray(a) for a in make(seed, mean, steps=steps))
        true, full, how, parts, ends = jax.tree.map(
            np.asarray, iterates(name, steps)(decay, threshold, v, x)
        )
    np.testing.assert_array_equal(full, true)
    assert how.settled
    assert 1 <= how.iterations <= steps
    for k, (z, end) in enumerate(zip(parts, ends, strict=True), start=1):
        np.testing.assert_array_equal(z[:k], true[:k])  # wavefront
        assert end.iterations == min(k, how.iterations)
        assert end.settled == (k >= how.iterations)  # certificate
        if end.settled:
            np.testing.assert_array_equal(z, true)
        if name == "subtract":  # bracketing
            assert ((z <= true) if k % 2 == 0 else (z >= true)).all()


def test_even_iterates_are_better_and_the_count_grows_with_decay():
    errors, counts = {}, {}
    x, v, _ = (jnp.asarray(a, jnp.float32) for a in make(1, 0.1, steps=64))
    for decay in (0.5, 0.9):
        params, state = LIFParams(decay, 1.0), LIFState(v)
        _, true = scan(lif_step, params, state, x)
        for k in (2, 3):
            _, z, _ = lif_fixed_point(params, state, x, k=k, fallback=False)
            errors[decay, k] = float((z != true).mean())
        counts[decay] = int(lif_fixed_point(params, state, x)[2].iterations)
    assert errors[0.9, 2] < errors[0.9, 3]
    assert errors[0.5, 3] < errors[0.9, 3]
    assert counts[0.5] < counts[0.9]


@every_reset
def test_a_scan_finishes_what_k_iterations_did_not_settle(reset):
    x, v, _ = (jnp.asarray(a, jnp.float32) for a in make(2))
    params, state = LIFParams(0.9, 0.8), LIFState(v)
    run = jax.jit(partial(lif_fixed_point, reset=RESETS[reset], k=2))
    end, z, how = run(params, state, x)
    want_end, want = scan(partial(lif_step, reset=RESETS[reset]), params, state, x)
    assert (int(how.iterations), bool(how.settled)) == (2, False)
    np.testing.assert_array_equal(z, want)
    np.testing.assert_allclose(end.v, want_end.v, rtol=1e-5, atol=1e-5)
    _, z, how = run(params, lif_init((LANES,)), jnp.zeros_like(x))
    assert bool(how.settled)
    assert not z.any()


EXACT = ("scan", "associative", "chunked")
TIES = [(r, m) for r in ("subtract", "zero") for m in EXACT] + [("subtract", "toeplitz")]


@pytest.mark.parametrize(("reset", "method"), TIES)
def test_ties_with_the_threshold(reset, method):
    """Numbers that float32 holds exactly: u = threshold often, and every method fires there."""
    x = np.random.default_rng(0).integers(-2, 5, (16, 256)) / 4
    params, state, x = LIFParams(0.5, 1.0), lif_init((256,)), jnp.asarray(x, jnp.float32)

    u = 0.5 * jnp.concatenate([jnp.zeros((1, 256)), scan_membranes(params, reset, x)[:-1]]) + x
    assert int((u == 1.0).sum()) > 20
    run = jax.jit(partial(lif_fixed_point, reset=RESETS[reset], method=method))
    for dtype in (jnp.float32, jnp.bfloat16):
        end, z, how = run(params, state, x.astype(dtype))
        want_end, want = scan(partial(lif_step, reset=RESETS[reset]), params, state, x)
        np.testing.assert_array_equal(z.astype(jnp.float32), want)
        np.testing.assert_array_equal(end.v, want_end.v)
        assert bool(how.settled)


def scan_membranes(params, reset, x):
    def step(state, current):
        state, _ = lif_step(params, state, current, reset=RESETS[reset])
        return state, state.v

    return lax.scan(step, lif_init(x.shape[1:]), x)[1]


@pytest.mark.parametrize("method", EXACT)
@pytest.mark.parametrize("decay", [0.9, 1.0])
def test_rounding_at_the_threshold_ends_the_iteration(method, decay):
    """Tenths are not exact: rounding decides ties, alike in each iteration, so it settles."""
    x = np.random.default_rng(0).integers(0, 4, (96, 256)) / 10
    params, state, x = LIFParams(decay, 0.3), lif_init((256,)), jnp.asarray(x, jnp.float32)
    _, z, how = jax.jit(partial(lif_fixed_point, method=method))(params, state, x)
    _, want = scan(lif_step, params, state, x)
    assert bool(how.settled)
    # a spike that rounding moves by a step leaves the total as it was, up to the last one
    assert np.abs(z.sum(0) - want.sum(0)).max() <= 1


@every_reset
def test_a_sequence_continues(reset):
    x, v, _ = (jnp.asarray(a, jnp.float32) for a in make(5))
    run = jax.jit(partial(lif_fixed_point, LIFParams(0.8, 1.0), reset=RESETS[reset]))
    end, full, _ = run(LIFState(v), x)
    middle, first, _ = run(LIFState(v), x[:20])
    last, second, _ = run(middle, x[20:])
    np.testing.assert_array_equal(jnp.concatenate([first, second]), full)
    np.testing.assert_allclose(last.v, end.v, rtol=1e-6, atol=1e-6)


def test_vmap_and_a_manual_data_shard():
    """Each lane or device iterates on its own; values and gradients are those of the batch."""
    x, v, _ = (jnp.asarray(a, jnp.float32) for a in make(6))
    params = LIFParams(jnp.array(0.8), jnp.array(1.0))

    def loss(axis, params, v, x):
        end, z, _ = lif_fixed_point(params, LIFState(v), x, k=6)
        total = (z * jnp.cos(x)).sum() + (end.v**2).sum()
        return lax.psum(total, axis) if axis else total

    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    specs = (P(), P("data"), P(None, "data"))
    sharded = jax.shard_map(partial(loss, "data"), mesh=mesh, in_specs=specs, out_specs=P())

    def mapped(params, v, x):
        return jax.vmap(partial(loss, None, params), in_axes=(0, 1))(v, x).sum()

    want, *others = (
        jax.jit(jax.value_and_grad(f, argnums=(0, 1, 2)))(params, v, x)
        for f in (partial(loss, None), sharded, mapped)
    )
    for got in others:
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4), got, want)


def test_bad_input():
    run = partial(lif_fixed_point, LIFParams(0.5, 1.0), lif_init((3,)))
    x = jnp.ones((4, 3))
    with pytest.raises(ValueError, match=r"got 'none'\. Without a reset use lif_reset_free"):
        run(x, reset=none)
    for k in (0, 2.0, True):
        with pytest.raises(ValueError, match="`k` must be None or an int of at least 1"):
            run(x, k=k)
    with pytest.raises(
        ValueError, match='method="fft" makes the rounding of early steps depend on later ones'
    ):
        run(x, method="fft")
    with pytest.raises(ValueError, match='"toeplitz" needs a constant decay'):
        run(x, method="toeplitz", reset=zero)
    with pytest.raises(ValueError, match='differentiate must be "fast" or "both"'):
        run(x, differentiate="")
    with pytest.raises(ValueError, match=r"shape \(4,\), which does not fit"):
        run(jnp.ones((5, 4)))
    with pytest.raises(TypeError, match="`current` must be floating point"):
        run(jnp.ones((5, 3), jnp.int32))


# --- the closed form ---


@settings(max_examples=30, deadline=None)
@given(
    threshold=st.floats(0.2, 3.0),
    mean=st.floats(-1.0, 1.0),
    start=st.floats(-3.0, 0.99),
    seed=st.integers(0, 999),
)
def test_if_closed_form_equals_the_loop(threshold, mean, start, seed):
    """For currents of any sign up to the threshold, and any first state below it."""
    with jax.enable_x64(True):
        rng = np.random.default_rng(seed)
        x = threshold * jnp.asarray(np.minimum(rng.normal(mean, 0.8, (60, 8)), 0.999))
        state = if_init((8,), jnp.float64)
        state = state._replace(v=state.v + start * threshold)
        end, z = if_closed_form(IFParams(threshold), state, x)
        want_end, want = _if_scan(threshold, state, x)
        np.testing.assert_array_equal(z, want)
        np.testing.assert_allclose(end.v, want_end.v, rtol=1e-9, atol=1e-9)


@jax.jit
def _if_scan(threshold, state, x):
    return scan(if_step, IFParams(threshold), state, x)


def test_if_closed_form_on_integers_ties_and_streaming():
    x = jnp.asarray(np.random.default_rng(0).integers(-3, 5, (400, 64)), jnp.float32)
    params, start = IFParams(4.0), if_init((64,))
    want_end, want = _if_scan(4.0, start, x)
    end, z = if_closed_form(params, start, x)
    np.testing.assert_array_equal(z, want)
    np.testing.assert_array_equal(end.v, want_end.v)
    assert float(z.mean()) > 0.01
    middle, first = if_closed_form(params, start, x[:150])
    last, second = if_closed_form(params, middle, x[150:])
    np.testing.assert_array_equal(jnp.concatenate([first, second]), want)
    np.testing.assert_array_equal(last.v, want_end.v)


def test_if_closed_form_fails_as_documented():
    """One current above the threshold: the neuron fires once and keeps the rest, the form twice."""
    x = jnp.array([[0.5], [1.75], [0.0], [0.25]])
    _, loop = _if_scan(1.0, if_init((1,)), x)
    _, form = if_closed_form(IFParams(1.0), if_init((1,)), x)
    assert loop[:, 0].tolist() == [0.0, 1.0, 1.0, 0.0]
    assert form[:, 0].tolist() == [0.0, 2.0, 0.0, 0.0]


def test_if_closed_form_in_float32_moves_few_spikes_and_loses_none():
    x = np.minimum(np.random.default_rng(0).normal(0.3, 0.6, (2000, 200)), 1.0)
    x = jnp.asarray(x, jnp.float32)
    _, want = _if_scan(1.0, if_init((200,)), x)
    _, z = if_closed_form(IFParams(1.0), if_init((200,)), x)
    assert float((z != want).mean()) < 1e-3
    assert np.abs(z.sum(0) - want.sum(0)).max() <= 1
    assert set(np.unique(z)) == {0.0, 1.0}


@pytest.mark.parametrize("reset", ["subtract", "subtract detached"])
def test_if_closed_form_gradients_equal_the_scan(reset):
    with jax.enable_x64(True):
        x, v, upstream = (jnp.asarray(a) for a in make(4))
        args = (jnp.full((LANES,), 0.9), v, jnp.minimum(x, 0.9))

        def loss(form, threshold, v, x):
            params, state = IFParams(threshold), if_init((LANES,), jnp.float64)._replace(v=v)
            if form is None:
                end, z = scan(partial(if_step, reset=RESETS[reset]), params, state, x)
            else:
                end, z = if_closed_form(params, state, x, reset=RESETS[reset], differentiate=form)
            return (upstream * z).sum() + (end.v**2).sum(), z

        @jax.jit
        def run(*args):
            grad = jax.grad(loss, argnums=(1, 2, 3), has_aux=True)
            return [grad(form, *args) for form in (None, "fast", "both")]

        (want, z), *others = run(*args)
        for got, spikes in others:
            np.testing.assert_array_equal(spikes, z)
            jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-10, atol=1e-10), got, want)
    assert np.asarray(z).mean() > 0.1


def test_if_closed_form_has_no_hard_reset():
    with pytest.raises(ValueError, match="a hard reset has no closed form; got 'zero'"):
        if_closed_form(IFParams(1.0), if_init((3,)), jnp.ones((4, 3)), reset=zero)
