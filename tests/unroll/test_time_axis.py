"""Time sharded over eight devices equals one device, and only the carries are sent."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

from snnjax.neurons import (
    CRFParams,
    LIFParams,
    SlidingPSNParams,
    SlidingPSNState,
    crf_init,
    crf_parallel,
    lif_init,
    lif_reset_free,
    sliding_psn,
)
from snnjax.sharding import bytes_by_kind, collectives
from snnjax.surrogates import atan, soft
from snnjax.unroll import linear_recurrence

DEVICES, T, B, N = 8, 32, 2, 3
STATE = 8 * B * N  # bytes of a state in float64
RECURRENCES = {  # shape of the decay, complex, backwards, method
    "number": ((), False, False, "scan"),
    "neurons backwards": ((N,), False, True, "chunked"),
    "complex": ((N,), True, False, "toeplitz"),
    "varies": ((T, B, N), False, False, "scan"),
    "varies, shared, backwards": ((T, 1, N), False, True, "chunked"),
}


@pytest.fixture(scope="module", autouse=True)
def double() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def over_devices(function, in_specs, out_specs, check=True):
    mesh = jax.make_mesh((DEVICES,), ("time",), axis_types=(AxisType.Auto,))
    return jax.shard_map(
        function, mesh=mesh, in_specs=in_specs, out_specs=out_specs, check_vma=check
    )


def equal(got, want):
    jax.tree.map(partial(np.testing.assert_allclose, rtol=0, atol=1e-12), got, want)


@pytest.mark.parametrize("name", RECURRENCES)
def test_a_recurrence_over_devices_equals_one_device(name):
    """Values and gradients of both ways to differentiate, and forward mode."""
    shape, is_complex, reverse, method = RECURRENCES[name]
    rng = np.random.default_rng(0)
    decay = rng.uniform(-0.99, 0.99, shape)
    decay = decay * np.exp(1j * rng.uniform(0, 6, shape)) if is_complex else decay
    dtype = complex if is_complex else float
    args = [
        jnp.asarray(a, dtype) for a in (decay, rng.normal(size=(T, B, N)), rng.normal(size=(B, N)))
    ]
    upstream, *tangents = (jnp.asarray(rng.normal(size=a.shape), dtype) for a in (args[1], *args))
    options = {"method": method, "chunk": 3, "reverse": reverse}
    spec = P("time") if len(shape) == 3 else P()

    @jax.jit
    def compare(*args):
        full = partial(linear_recurrence, **options)
        found = {}
        for way in ("fast", "both"):
            part = partial(full, differentiate=way, time_axis="time")
            over = over_devices(part, (spec, P("time"), P()), P("time"), check=way == "fast")
            for label, function in ((way, over), ("full", full)):
                value, pull = jax.vjp(function, *args)
                found[label] = value, pull(upstream)
        found["jvp"] = jax.jvp(over, args, tuple(tangents))[1]
        plain = partial(full, differentiate="both")
        found["full jvp"] = jax.jvp(plain, args, tuple(tangents))[1]
        return found

    found = compare(*args)
    equal(found["fast"], found["full"])
    equal(found["both"], found["full"])
    equal(found["jvp"], found["full jvp"])


SPIKE = soft(atan)  # smooth, so that nothing hangs on a flip
NEURONS = {
    "lif": (
        lif_reset_free,
        LIFParams(jnp.array([0.5, 0.75, 0.9]), jnp.array(1.0)),
        lambda: lif_init((B, N), jnp.float64),
    ),
    "crf": (
        crf_parallel,
        CRFParams(jnp.array([0.1, 0.2, 0.05]), jnp.array([0.4, 1.0, 2.5]), jnp.array(0.5)),
        lambda: crf_init((B, N), jnp.complex128),
    ),
    "sliding": (
        sliding_psn,
        SlidingPSNParams(jnp.array([0.1, 0.3, -0.2, 0.5, 1.0]), jnp.array(-1.0)),
        lambda: SlidingPSNState(jnp.zeros((B, N, 4))),
    ),
    "sliding, one step": (
        sliding_psn,
        SlidingPSNParams(jnp.array([0.7]), jnp.array(-1.0)),
        lambda: SlidingPSNState(jnp.zeros((B, N, 0))),
    ),
}


@pytest.mark.parametrize("name", NEURONS)
def test_neurons_over_devices_equal_one_device(name):
    """Spikes and the last state, gradients of parameters, state and currents, and forward mode."""
    function, params, rest = NEURONS[name]
    rng = np.random.default_rng(1)
    draw = lambda a: jnp.asarray(rng.normal(size=a.shape), a.dtype)  # noqa: E731
    args = jax.tree.map(
        jnp.asarray, (params, jax.tree.map(draw, rest()), rng.normal(size=(T, B, N)))
    )
    args = jax.tree.map(lambda a: a.astype(float) if a.dtype == jnp.float32 else a, args)
    upstream, tangents = jax.tree.map(draw, (jax.eval_shape(function, *args), args))
    options = {} if function is sliding_psn else {"differentiate": "both"}
    full = partial(function, spike=SPIKE, **options)
    over = over_devices(partial(full, time_axis="time"), (P(), P(), P("time")), (P(), P("time")))

    @jax.jit
    def compare(*args):
        found = []
        for run in (over, full):
            value, pull = jax.vjp(run, *args)
            found.append((value, pull(upstream), jax.jvp(run, args, tangents)[1]))
        return found

    equal(*compare(*args))


def sent(function, *shapes):
    args = [jax.ShapeDtypeStruct(shape, jnp.float64) for shape in shapes]
    return bytes_by_kind(collectives(jax.jit(function).lower(*args).compile().as_text()))


def test_only_carries_are_sent():
    """One state forward, one back and one to the neighbour, however long the sequence is."""
    run = partial(linear_recurrence, time_axis="time")
    over = over_devices(run, (P(), P("time")), P("time"), check=False)

    def gradient(decay, x):
        return jax.grad(lambda x: jnp.square(over(decay, x)).sum())(x)

    assert sent(over, (N,), (T, B, N)) == {"all-gather": STATE}
    assert sent(over, (N,), (8 * T, B, N)) == {"all-gather": STATE}
    assert sent(gradient, (N,), (T, B, N)) == {"all-gather": 2 * STATE}

    def by_decay(decay, x):
        return jax.grad(lambda a: jnp.square(over(a, x)).sum())(decay)

    # the states of the step before cross each border once, and the gradients [N] are summed
    assert sent(by_decay, (N,), (T, B, N)) == {
        "all-gather": 2 * STATE,
        "all-reduce": 8 * N,
        "collective-permute": STATE,
    }


def test_decays_that_vary_are_sent_as_one_product():
    run = partial(linear_recurrence, time_axis="time")
    over = over_devices(run, (P("time"), P("time")), P("time"), check=False)
    assert sent(over, (T, 1, N), (T, B, N)) == {"all-gather": STATE + 8 * N}


def test_a_window_sends_its_past_to_the_neighbour():
    params = SlidingPSNParams(jnp.ones(5), jnp.array(-1.0))

    def run(x):
        state = SlidingPSNState(jnp.zeros((B, N, 4)))
        return sliding_psn(params, state, x, time_axis="time")[1]

    over = over_devices(run, P("time"), P("time"), check=False)
    assert sent(over, (T, B, N)) == {"collective-permute": 4 * STATE}


def test_bad_axes_are_named():
    with pytest.raises(ValueError, match=r"inside jax\.shard_map"):
        linear_recurrence(0.5, jnp.ones(4), time_axis="time")
    params, state = (
        SlidingPSNParams(jnp.ones(6), jnp.array(-1.0)),
        SlidingPSNState(jnp.zeros((1, 5))),
    )
    with pytest.raises(ValueError, match=r"inside jax\.shard_map"):
        sliding_psn(params, state, jnp.ones((8, 1)), time_axis="time")
    run = lambda x: sliding_psn(params, state, x, time_axis="time")[1]  # noqa: E731
    with pytest.raises(ValueError, match="fewer devices"):
        over_devices(run, P("time"), P("time"))(jnp.ones((T, 1)))
