"""One battery over all neurons, against NumPy loops that share no code with them."""

from __future__ import annotations

import functools
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.neurons import (
    IFParams,
    ILIFParams,
    LIFParams,
    LIParams,
    PLIFParams,
    detach,
    if_init,
    if_step,
    ilif_init,
    ilif_step,
    li_init,
    li_step,
    lif_init,
    lif_step,
    none,
    plif_init,
    plif_step,
    plif_weight,
    subtract,
    zero,
)
from snnjax.surrogates import atan, multi_level, soft
from snnjax.unroll import unroll
from tests.reference import neurons as reference

pytestmark = pytest.mark.usefixtures("strict_promotion")

T, B, N = 9, 2, 3
THRESHOLD = [1.0, 0.8, 1.1]
DECAY = [0.5, 0.75, 0.9]
TAU = [1.5, 2.0, 4.0]
CHECKPOINTS = (True, False, 4)  # 4 does not divide T; more of them in the tests of unroll


class Case(NamedTuple):
    """A neuron with its options, and the loop that it must equal."""

    init: Any
    step: Any
    params: Any
    loop: Any
    soft: Any  # the same step with a smooth spike function
    scale: float = 1.2


def if_case(name, reset) -> Case:
    params = IFParams(jnp.array(THRESHOLD))
    step = partial(if_step, reset=reset)
    loop = partial(reference.if_loop, threshold=THRESHOLD, reset=name)
    return Case(if_init, step, params, loop, partial(step, spike=soft(atan)))


def lif_case(name, reset, scale_input=False) -> Case:
    params = LIFParams(jnp.array(DECAY), jnp.array(THRESHOLD))
    step = partial(lif_step, reset=reset, scale_input=scale_input)
    loop = partial(
        reference.lif_loop, decay=DECAY, threshold=THRESHOLD, reset=name, scale_input=scale_input
    )
    scale = 6.0 if scale_input else 1.2
    return Case(lif_init, step, params, loop, partial(step, spike=soft(atan)), scale)


def plif_case(scale_input) -> Case:
    params = PLIFParams(plif_weight(np.array(TAU)), jnp.array(THRESHOLD))
    step = partial(plif_step, scale_input=scale_input)
    loop = partial(reference.plif_loop, tau=TAU, threshold=THRESHOLD, scale_input=scale_input)
    scale = 3.0 if scale_input else 1.2
    return Case(plif_init, step, params, loop, partial(step, spike=soft(atan)), scale)


def li_case(scale_input) -> Case:
    step = partial(li_step, scale_input=scale_input)
    loop = partial(reference.li_loop, decay=DECAY, scale_input=scale_input)
    return Case(li_init, step, LIParams(jnp.array(DECAY)), loop, step)


def ilif_case(name, reset, levels) -> Case:
    step = partial(ilif_step, levels=levels, reset=reset)
    loop = partial(reference.ilif_loop, beta=DECAY, levels=levels, reset=name)
    smooth = partial(step, spike=soft(multi_level))
    return Case(ilif_init, step, ILIFParams(jnp.array(DECAY)), loop, smooth, 2.0)


CASES = {
    "if": if_case("subtract", subtract),
    "if none": if_case("none", none),
    "lif": lif_case("subtract", subtract),
    "lif detached": lif_case("subtract", detach(subtract)),
    "lif zero": lif_case("zero", zero),
    "lif scaled": lif_case("zero", detach(zero), scale_input=True),
    "plif": plif_case(True),
    "plif unscaled": plif_case(False),
    "li": li_case(False),
    "li scaled": li_case(True),
    "ilif 4": ilif_case("subtract", subtract, 4),
    "ilif 2 zero": ilif_case("zero", detach(zero), 2),
}
every_case = pytest.mark.parametrize("name", CASES)


@functools.cache
def drive(name):
    """Input that keeps every membrane clear of its threshold, and what the loop makes of it."""
    for seed in range(100):
        x = np.random.default_rng(seed).normal(0.3, CASES[name].scale, (T, B, N))
        x = np.asarray(x, np.float32)
        out, v, margin = CASES[name].loop(x)
        if np.abs(margin).min() > 2e-3:
            return jnp.asarray(x), out, v
    raise RuntimeError(f"{name}: no input stays clear of the threshold")


def whole(name, params, x, checkpoint: bool | int = True, dtype=jnp.float32):
    case = CASES[name]
    return unroll(
        partial(case.step, params), case.init(x.shape[1:], dtype), x, checkpoint=checkpoint
    )


@functools.cache
def results(name):
    """All ways to run a case, compiled as one program."""
    params = CASES[name].params
    x, _, _ = drive(name)
    upstream = jax.random.normal(jax.random.key(1), x.shape)
    direction = jax.tree.map(lambda a: jax.random.normal(jax.random.key(2), a.shape), (params, x))

    def loss(checkpoint, params, x):
        state, out = whole(name, params, x, checkpoint)
        return (upstream * out).sum() + (state.v**2).sum(), (state, out)

    @jax.jit
    def compute(params, x):
        both = jax.grad(loss, argnums=(1, 2), has_aux=True)
        runs, grads = {}, {}
        for c in CHECKPOINTS:
            grads[c], runs[c] = both(c, params, x)
        mapped = jax.vmap(partial(whole, name, params), in_axes=1, out_axes=(0, 1))(x)
        tangents = {
            c: jax.jvp(lambda *a, c=c: loss(c, *a)[0], (params, x), direction)[1] for c in (True, 4)
        }
        return runs, grads, mapped, tangents

    runs, grads, mapped, tangents = jax.tree.map(np.asarray, compute(params, x))
    return runs, grads, mapped, tangents, jax.tree.map(np.asarray, direction)


@every_case
def test_equals_the_numpy_loop(name):
    _, out, v = drive(name)
    state, got = results(name)[0][True]
    assert out.any()
    np.testing.assert_allclose(got, out, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(state.v, v[-1], rtol=1e-5, atol=1e-5)


@every_case
def test_segments_equal_the_whole(name):
    runs, grads, _, _, _ = results(name)
    for checkpoint in CHECKPOINTS:
        jax.tree.map(np.testing.assert_array_equal, runs[checkpoint], runs[True])
        jax.tree.map(
            partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6),
            grads[checkpoint],
            grads[True],
        )


@every_case
def test_steps_equal_the_whole_and_a_sequence_continues(name):
    case, (x, _, _) = CASES[name], drive(name)
    step = jax.jit(partial(case.step, case.params))
    state, outs = case.init(x.shape[1:]), []
    for current in x:
        state, out = step(state, current)
        outs.append(out)
    last, got = results(name)[0][True]
    np.testing.assert_array_equal(np.stack(outs), got)
    np.testing.assert_array_equal(state.v, last.v)
    middle, first = unroll(partial(case.step, case.params), case.init(x.shape[1:]), x[:5])
    end, second = unroll(partial(case.step, case.params), middle, x[5:])
    np.testing.assert_array_equal(np.concatenate([first, second]), got)
    np.testing.assert_array_equal(end.v, last.v)


@every_case
def test_eager_equals_jit(name):
    case, (x, _, _) = CASES[name], drive(name)
    state = case.init(x.shape[1:])
    for current in x[:3]:
        eager, out = case.step(case.params, state, current)
        jitted, compiled = jax.jit(case.step)(case.params, state, current)
        np.testing.assert_allclose(out, compiled, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(eager.v, jitted.v, rtol=1e-6, atol=1e-6)
        state = eager


@every_case
def test_vmap_equals_the_batch(name):
    runs, _, mapped, _, _ = results(name)
    np.testing.assert_array_equal(mapped[1], runs[True][1])
    np.testing.assert_array_equal(mapped[0].v, runs[True][0].v)


@every_case
def test_forward_mode_equals_reverse_mode(name):
    _, grads, _, tangents, direction = results(name)
    for checkpoint, tangent in tangents.items():
        products = jax.tree.map(lambda g, d: (g * d).sum(), grads[checkpoint], direction)
        np.testing.assert_allclose(tangent, sum(jax.tree.leaves(products)), rtol=2e-4, atol=1e-4)


@every_case
def test_gradients_are_finite_and_reach_every_parameter(name):
    for grads in results(name)[1].values():
        for leaf in jax.tree.leaves(grads):
            assert np.isfinite(leaf).all()
            assert (leaf != 0).any()


# a detached reset leaves a part of the gradient out on purpose, so it equals no difference
@pytest.mark.parametrize(
    "name", [n for n in CASES if n not in ("lif detached", "lif scaled", "ilif 2 zero")]
)
def test_soft_gradients_equal_finite_differences(name):
    """A spiking path cannot be checked so; with the primitive for spike function it can."""
    case, (x, _, _) = CASES[name], drive(name)

    def loss(params, x):
        state, out = unroll(partial(case.soft, params), case.init(x.shape[1:], x.dtype), x)
        return (out * jnp.cos(x)).sum() + state.v.sum()

    with jax.enable_x64(True):
        args = jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), (case.params, x[:5]))
        moves = jax.tree.map(
            lambda a: jnp.sin(1 + jnp.arange(a.size, dtype=a.dtype)).reshape(a.shape), args
        )

        @jax.jit
        def both(params, x):
            _, tangent = jax.jvp(loss, (params, x), moves)
            up, down = (
                loss(*jax.tree.map(lambda a, d, h=h: a + h * d, (params, x), moves))
                for h in (1e-6, -1e-6)
            )
            return tangent, (up - down) / 2e-6

        tangent, difference = both(*args)
    np.testing.assert_allclose(tangent, difference, rtol=1e-5, atol=1e-6)


@every_case
def test_bfloat16_input_keeps_a_float32_membrane(name):
    case, (x, _, _) = CASES[name], drive(name)
    narrow = x.astype(jnp.bfloat16)
    run = jax.jit(partial(whole, name))
    state, out = run(case.params, narrow)
    assert state.v.dtype == jnp.float32
    assert out.dtype == (jnp.float32 if name.startswith("li ") or name == "li" else jnp.bfloat16)
    want_state, want = run(case.params, narrow.astype(jnp.float32))
    np.testing.assert_array_equal(out.astype(jnp.float32), want)
    np.testing.assert_array_equal(state.v, want_state.v)


@every_case
def test_one_trace_per_shape(name):
    case, (x, _, _) = CASES[name], drive(name)
    traces = []

    def step(*args):
        traces.append(name)
        return case.step(*args)

    run = jax.jit(lambda p, s, x: unroll(partial(step, p), s, x))
    state = case.init(x.shape[1:])
    for factor in (1.0, 2.0):
        state, _ = run(jax.tree.map(lambda p, f=factor: p * f, case.params), state, factor * x)
    assert len(traces) == 1


@every_case
def test_no_drive_no_output(name):
    case = CASES[name]
    state, out = unroll(partial(case.step, case.params), case.init((B, N)), jnp.zeros((T, B, N)))
    assert not out.any()
    assert not state.v.any()


@pytest.mark.parametrize("name", ["if", "lif", "lif zero", "plif", "ilif 4"])
def test_a_reset_never_raises_the_membrane(name):
    case, (x, _, _) = CASES[name], drive(name)
    state = case.init(x.shape[1:])._replace(v=jnp.abs(x[0]))
    kept, _ = partial(case.step, reset=none)(case.params, state, x[1])
    after, out = case.step(case.params, state, x[1])
    assert (after.v <= kept.v).all()
    np.testing.assert_array_equal(after.v < kept.v, out > 0)


@every_case
def test_wrong_input(name):
    case = CASES[name]
    state = case.init((B, N))
    with pytest.raises(TypeError, match="`current` must be floating point; got int32"):
        case.step(case.params, state, jnp.ones((B, N), jnp.int32))
    with pytest.raises(ValueError, match=r"shape \(5, 3\), which does not fit .* \(2, 3\)"):
        case.step(case.params, state, jnp.ones((5, N)))
    with pytest.raises(ValueError, match="does not fit"):
        case.step(case.params, state, jnp.ones((4, B, N)))
    with jax.enable_x64(True):
        wide = jnp.ones((B, N), jnp.float64)
        with pytest.raises(TypeError, match="`current` is float64 but the membrane float32"):
            case.step(case.params, state, wide)
        after, out = case.step(case.params, case.init((B, N), jnp.float64), wide)
        assert (after.v.dtype, out.dtype) == (jnp.float64, jnp.float64)
