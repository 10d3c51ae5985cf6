"""One battery over all neurons, against NumPy loops that share no code with them."""

from __future__ import annotations

import functools
import runpy
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.neurons import none
from snnjax.unroll import unroll
from tests.neurons.cases import CASES, GROUPS
from tests.neurons.cases.case import B, N

pytestmark = pytest.mark.usefixtures("strict_promotion")

CHECKPOINTS = (True, 4)  # 4 does not divide T; more of them, and none, in the tests of unroll
every_case = pytest.mark.parametrize("name", CASES)


def close(got, want, *, rtol=1e-5, atol=1e-5):
    """Equal up to the rounding of float32.

    Two programs of the same sums are fused otherwise, and differ in the last bits from one CPU to
    the next; equal bits may be asked of one program only. Spikes are equal all the same: the input
    keeps every membrane clear of its threshold.
    """
    jax.tree.map(partial(np.testing.assert_allclose, rtol=rtol, atol=atol), got, want)


def same_output(case, got, want):
    """Equal spikes; membranes and analog outputs up to rounding."""
    if case.wide or case.analog:
        close(got, want)
    else:
        np.testing.assert_array_equal(got, want)


def floats(state):
    """The floating fields of a state, without counters."""
    return [field for field in state if jnp.issubdtype(field.dtype, jnp.floating)]


def padded(field, like):
    """A field of one number a sample, [B], for all its neurons."""
    return np.broadcast_to(
        np.reshape(field, field.shape + (1,) * (like.ndim - field.ndim)), like.shape
    )


@functools.cache
def drive(name):
    """Input that keeps every membrane clear of its threshold, and what the loop makes of it.

    It is exact in bfloat16, so that the narrow and the wide run see the same numbers.
    """
    for seed in range(100):
        x = np.asarray(jnp.asarray(CASES[name].input(seed)).astype(jnp.bfloat16), np.float32)
        out, fields, margin = CASES[name].loop(x)
        if np.abs(margin).min() > 2e-3:
            return jnp.asarray(x), out, fields
    raise RuntimeError(f"{name}: no input stays clear of the threshold")


def sequence(name, params, x, checkpoint: bool | int = True, dtype=jnp.float32):
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
        state, out = sequence(name, params, x, checkpoint)
        rest = sum((field**2).sum() for field in floats(state))
        return (upstream * out).sum() + rest, (state, out)

    @jax.jit
    def compute(params, x):
        both = jax.grad(loss, argnums=(1, 2), has_aux=True)
        runs, grads = {}, {}
        for c in CHECKPOINTS:
            grads[c], runs[c] = both(c, params, x)
        mapped = jax.vmap(partial(sequence, name, params), in_axes=1, out_axes=(0, 1))(x)
        tangents = {
            c: jax.jvp(lambda *a, c=c: loss(c, *a)[0], (params, x), direction)[1] for c in (True, 4)
        }
        return runs, grads, mapped, tangents

    runs, grads, mapped, tangents = jax.tree.map(np.asarray, compute(params, x))
    return runs, grads, mapped, tangents, jax.tree.map(np.asarray, direction)


@every_case
def test_equals_the_numpy_loop(name):
    _, out, fields = drive(name)
    state, got = results(name)[0][True]
    assert out.any()
    np.testing.assert_allclose(got, out, rtol=1e-5, atol=1e-5)
    assert tuple(fields) == state._fields
    for field, want in fields.items():
        np.testing.assert_allclose(
            padded(getattr(state, field), want[-1]), want[-1], rtol=1e-5, atol=1e-5
        )


@every_case
def test_segments_equal_the_full_sequence(name):
    runs, grads, _, _, _ = results(name)
    for checkpoint in CHECKPOINTS:
        (state, out), (want_state, want) = runs[checkpoint], runs[True]
        same_output(CASES[name], out, want)
        close(state, want_state)
        close(grads[checkpoint], grads[True], rtol=1e-4, atol=1e-5)


@every_case
def test_steps_equal_the_full_sequence_which_can_be_continued(name):
    case, (x, _, _) = CASES[name], drive(name)
    step = jax.jit(partial(case.step, case.params))
    state, outs = case.init(x.shape[1:]), []
    for current in x:
        state, out = step(state, current)
        outs.append(out)
    last, got = results(name)[0][True]
    same_output(case, np.stack(outs), got)
    close(state, last)
    middle, first = unroll(partial(case.step, case.params), case.init(x.shape[1:]), x[:5])
    end, second = unroll(partial(case.step, case.params), middle, x[5:])
    same_output(case, np.concatenate([first, second]), got)
    close(end, last)


@every_case
def test_eager_equals_jit(name):
    case, (x, _, _) = CASES[name], drive(name)
    state = case.init(x.shape[1:])
    for current in x[:3]:
        eager, out = case.step(case.params, state, current)
        jitted, compiled = jax.jit(case.step)(case.params, state, current)
        same_output(case, out, compiled)
        close(eager, jitted)
        state = eager


@every_case
def test_vmap_equals_the_batch(name):
    runs, _, mapped, _, _ = results(name)
    same_output(CASES[name], mapped[1], runs[True][1])
    close(mapped[0], runs[True][0])


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
@pytest.mark.parametrize("name", [n for n, case in CASES.items() if case.smooth])
def test_soft_gradients_equal_finite_differences(name):
    """A spiking path cannot be checked this way; with the primitive as spike function it can."""
    case, (x, _, _) = CASES[name], drive(name)

    def loss(params, x):
        state, out = unroll(partial(case.soft, params), case.init(x.shape[1:], x.dtype), x)
        return (out * jnp.cos(x)).sum() + sum(field.sum() for field in floats(state))

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
    run = jax.jit(partial(sequence, name))
    state, out = run(case.params, narrow)
    assert {field.dtype for field in floats(state)} == {jnp.dtype(jnp.float32)}
    assert out.dtype == (jnp.float32 if case.wide else jnp.bfloat16)
    want_state, want = results(name)[0][True]
    rounding = 2.0**-8 if case.analog else 1e-5  # an analog output is rounded to the input's dtype
    close(np.asarray(out, np.float32), want, rtol=rounding)
    close(state, want_state)


ONE_EACH = {type(case.params): name for name, case in CASES.items()}.values()  # per step


@functools.cache
def wide_results():
    """Three steps of each neuron in float64, made under x64; a step of all is one program."""
    with jax.enable_x64(True):
        made = [runpy.run_path(group.__file__)["CASES"] for group in GROUPS]
        cases = {name: case for group in made for name, case in group.items() if name in ONE_EACH}
        inputs = {name: case.input(0)[:3].astype(np.float64) for name, case in cases.items()}

        @jax.jit
        def step(states, x):
            return {n: cases[n].step(cases[n].params, states[n], x[n]) for n in cases}

        states, outs = {n: case.init((B, N), jnp.float64) for n, case in cases.items()}, []
        for t in range(3):
            both = step(states, {n: x[t] for n, x in inputs.items()})
            states = {n: state for n, (state, _) in both.items()}
            outs.append({n: out for n, (_, out) in both.items()})
        results = {n: (state, np.stack([out[n] for out in outs])) for n, state in states.items()}
    return {name: (results[name], cases[name].loop(inputs[name])) for name in cases}


@pytest.mark.parametrize("name", ONE_EACH)
def test_float64_is_nowhere_narrowed(name):
    (state, got), (out, fields, _) = wide_results()[name]
    np.testing.assert_allclose(got, out, rtol=1e-12, atol=1e-12)
    for field, want in fields.items():
        np.testing.assert_allclose(
            padded(getattr(state, field), want[-1]), want[-1], rtol=1e-12, atol=1e-12
        )


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
    start = case.init((B, N))
    state, out = unroll(partial(case.step, case.params), start, jnp.zeros((case.steps, B, N)))
    assert not out.any()
    close(state, start, rtol=0, atol=case.rest)


@every_case
def test_long_runs_do_not_drift(name):
    """After 4,000 steps of noise the state is finite and the output as frequent as it was."""
    case = CASES[name]
    x = case._replace(steps=4_000).input(1)
    state, out = jax.jit(partial(sequence, name))(case.params, x)
    assert all(np.isfinite(field).all() for field in state)
    first, second = (float(jnp.abs(half).mean()) for half in jnp.split(out[500:3_900], 2))
    assert 0.8 < first / second < 1.25


@pytest.mark.parametrize("name", ["if", "lif", "lif zero", "plif", "ilif 4"])
def test_a_reset_never_raises_the_membrane(name):
    case, (x, _, _) = CASES[name], drive(name)
    state = case.init(x.shape[1:])._replace(v=jnp.abs(x[0]))
    kept, _ = partial(case.step, reset=none)(case.params, state, x[1])
    after, out = case.step(case.params, state, x[1])
    assert (after.v <= kept.v).all()
    np.testing.assert_array_equal(after.v < kept.v, out > 0)


@pytest.mark.parametrize("name", [n for n in CASES if n != "few spike"])  # its tables are no [N]
def test_parameters_of_a_shape_that_does_not_fit(name):
    """Too many values, or one more batch axis, which would enlarge the state."""
    case, state, x = CASES[name], CASES[name].init((B, N)), jnp.ones((B, N))
    for field in case.params._fields:
        for shape in ((N + 1,), (2, B, N)):
            params = case.params._replace(**{field: jnp.full(shape, 0.5)})
            words = rf"`{field}` has shape \({shape[0]},.* does not broadcast to the state's \(2"
            with pytest.raises(ValueError, match=words):
                case.step(params, state, x)


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
        assert {field.dtype for field in floats(after)} == {out.dtype} == {jnp.dtype(jnp.float64)}


@every_case
def test_a_nan_shows_in_the_output_and_stays_there(name):
    """Values are not checked under jit: a diverged membrane must not look silent."""
    case = CASES[name]
    x = jnp.ones((case.steps, B, N)).at[0, 0, 0].set(jnp.nan)
    _, out = jax.jit(partial(sequence, name))(case.params, x)
    window = 3 if name == "few spike" else case.steps  # which forgets at the end of its window
    assert np.isnan(out[2:window, 0, 0]).all()  # some fire one or two steps late
    assert np.isfinite(out[:, 1]).all()
