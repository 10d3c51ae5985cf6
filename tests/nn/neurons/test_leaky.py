"""The thin layers: parameters where they should be, equal to the functions below them."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from snnjax.neurons import ILIFParams, euler, exact, ilif_step, next_step, reset_to, zero
from snnjax.nn import (
    ALIF,
    CLIF,
    CUBA,
    DHLIF,
    GLIF,
    IF,
    ILIF,
    KLIF,
    LI,
    LIAF,
    LIF,
    PLIF,
    AdLIF,
    Alpha,
    Ternary,
)
from snnjax.surrogates import atan, rectangle
from snnjax.unroll import unroll
from tests.reference import neurons as reference

T, B, N = 6, 2, 3
TAU = np.array([1.5, 3.0, 8.0])
DECAY = np.exp(-1 / TAU)


def x_of(scale, seed=0):
    return np.random.default_rng(seed).normal(0.4, scale, (T, B, N)).astype(np.float32)


LAYERS = {
    "IF": (lambda: IF(N), 0, lambda x: reference.if_loop(x, [1.0])),
    "LIF": (lambda: LIF(N, tau=TAU), N, lambda x: reference.lif_loop(x, DECAY, [1.0])),
    "LIF fixed": (
        lambda: LIF(N, tau=TAU, trainable=(), scale_input=True, reset=zero, checkpoint=4),
        0,
        lambda x: reference.lif_loop(x, DECAY, [1.0], "zero", True),
    ),
    "PLIF": (
        lambda: PLIF(N, tau=TAU, scale_input=True),
        N,
        lambda x: reference.plif_loop(x, TAU, [1.0]),
    ),
    "PLIF shared": (
        lambda: PLIF(N, tau=2.0, shared=True),
        1,
        lambda x: reference.plif_loop(x, [2.0], [1.0], scale_input=False),
    ),
    "LI": (lambda: LI(N, tau=TAU), N, lambda x: reference.li_loop(x, DECAY)),
    "ILIF": (lambda: ILIF(N), 0, lambda x: reference.ilif_loop(x, [0.25])),
    "ILIF learned": (
        lambda: ILIF(N, levels=2, beta=0.5, trainable=("beta",)),
        N,
        lambda x: reference.ilif_loop(x, [0.5], 2),
    ),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layer_equals_the_loop_and_learns_what_it_should(name):
    make, parameters, loop = LAYERS[name]
    layer = make()
    x = next(x for x in (x_of(2.0, seed) for seed in range(50)) if np.abs(loop(x)[2]).min() > 1e-3)
    graphdef, params, rest = nnx.split(layer, nnx.Param, ...)
    params = nnx.as_pure(params)
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == parameters

    @functools.partial(jax.jit, static_argnums=0)
    @functools.partial(jax.value_and_grad, argnums=1, has_aux=True)
    def run(graphdef, params, rest, x):
        net = nnx.merge(graphdef, params, rest)
        state, out = net(net.init_state(x.shape[1:-1]), x)
        return out.sum() + (state.v**2).sum(), (state, out)

    (_, (state, out)), grads = run(graphdef, params, rest, x)
    want, fields, _ = loop(x)
    assert want.any()
    np.testing.assert_allclose(out, want, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(state.v, fields["v"][-1], rtol=1e-4, atol=1e-5)
    for leaf in jax.tree.leaves(grads):
        assert np.isfinite(leaf).all()
        assert (np.asarray(leaf) != 0).any()


@pytest.mark.parametrize("kind", [LIF, LI])
def test_record_returns_the_membrane(kind):
    layer, x = kind(N, tau=2.0), jnp.asarray(x_of(1.0))
    _, (out, records) = layer(layer.init_state((B,)), x, record=("v",))
    state, plain = layer(layer.init_state((B,)), x)
    np.testing.assert_array_equal(out, plain)
    assert records["v"].shape == (T, B, N)
    np.testing.assert_array_equal(records["v"][-1], state.v)


def test_more_axes_and_other_dtypes():
    layer = ILIF(N, beta=0.25, reset=zero)
    x = jnp.ones((T, B, 4, 5, N), jnp.bfloat16)
    state, out = layer(layer.init_state(x.shape[1:-1]), x)
    assert (out.shape, out.dtype, state.v.dtype) == (x.shape, jnp.bfloat16, jnp.float32)
    with jax.enable_x64(True):
        wide = jnp.ones((T, B, N), jnp.float64)
        state, out = layer(layer.init_state((B,), jnp.float64), wide)
        assert (out.dtype, state.v.dtype) == (jnp.float64, jnp.float64)
        step = functools.partial(ilif_step, ILIFParams(0.25), reset=zero)
        _, want = unroll(step, state._replace(v=jnp.zeros((B, N))), wide)
        np.testing.assert_array_equal(out, want)


def test_a_traced_width_is_data_of_the_layer():
    """A jax Partial over an array travels as a leaf: annealing it compiles nothing new."""
    x, traces = jnp.asarray(x_of(1.0)), []

    @functools.partial(jax.jit, static_argnums=0)
    def gradient(graphdef, leaves, x):
        traces.append(1)

        def loss(x):
            net = nnx.merge(graphdef, leaves)
            return net(net.init_state((B,)), x)[1].sum()

        return jnp.abs(jax.grad(loss)(x)).sum()

    layer = IF(N, spike=jax.tree_util.Partial(rectangle, width=jnp.array(0.1)))
    graphdef, leaves = nnx.split(layer)
    assert len(jax.tree.leaves(leaves)) == 2  # and the threshold
    narrow = gradient(graphdef, leaves, x)
    wide = gradient(graphdef, jax.tree.map(lambda w: 100 * w if w.ndim == 0 else w, leaves), x)
    assert len(traces) == 1
    assert wide != narrow
    static = IF(N, spike=functools.partial(atan, slope=3.0))
    assert len(jax.tree.leaves(nnx.split(static)[1])) == 1


def test_a_small_net_composes():
    """Two layers and a readout; the state of each is an argument and a result."""

    @jax.jit
    def run(x):
        rngs = nnx.Rngs(0)
        dense, hidden = nnx.Linear(N, 8, rngs=rngs), LIF(8, tau=4.0)
        head, readout = nnx.Linear(8, 2, rngs=rngs), LI(2, tau=10.0)
        state, z = hidden(hidden.init_state((B,)), dense(x))
        return state, z, readout(readout.init_state((B,)), head(z))[1]

    state, z, v = run(jnp.asarray(x_of(2.0)))
    assert v.shape == (T, B, 2)
    assert state.v.shape == (B, 8)
    assert 0 < float(z.mean()) < 1


@pytest.mark.parametrize("layer", [IF, LIF, PLIF, LI, ILIF])
def test_bad_input_of_layers(layer):
    made = layer(N)
    state = made.init_state((B,))
    for shape in [(T, B, N + 1), (T, B + 1, N), (B, N), (N,)]:
        with pytest.raises(
            ValueError, match=rf"{layer.__name__}\(3\) takes input \[T, B, ..., 3\]"
        ):
            made(state, jnp.zeros(shape))
    with pytest.raises(
        ValueError, match=rf"{layer.__name__}\(3\) got input \(0, 2, 3\) with T = 0"
    ):
        made(state, jnp.zeros((0, B, N)))
    for bad in (jnp.nan, -jnp.inf):
        x = jnp.zeros((T, B, N)).at[2, 1, 0].set(bad)
        with pytest.raises(
            ValueError, match=rf"{layer.__name__}\(3\): the input \(6, 2, 3\) .* 1 NaN or inf"
        ):
            made(state, x)
    with pytest.raises(TypeError, match="must be floating point; got int32"):
        made(state, jnp.zeros((T, B, N), jnp.int32))
    for features in (0, -3, 2.0, True):
        with pytest.raises(ValueError, match=rf"{layer.__name__}: `features` must be a Python int"):
            layer(features)


def test_a_traced_input_is_not_looked_at():
    layer, x = LIF(N), jnp.full((T, B, N), jnp.nan)
    assert jnp.isnan(jax.jit(lambda x: layer(layer.init_state((B,)), x)[1])(x)).all()
    with pytest.raises(ValueError, match="must be finite"):  # what a function closes over is known
        jax.jit(lambda: layer(layer.init_state((B,)), x)[1])()


def test_bad_constants_of_layers():
    for call, words in (
        (lambda: LI(N, tau=0.0), "LI: `tau` must be finite and above 0"),
        (lambda: IF(N, threshold=np.ones(2)), "IF: `threshold` must be a number or one for each"),
        (lambda: PLIF(N, tau=np.full(2, 2.0)), "PLIF: `tau` must be a number or one"),
    ):
        with pytest.raises(ValueError, match=words):
            call()
    for layer in (LIF, LI):
        with pytest.raises(ValueError, match="`tau` must be finite and above 0"):
            layer(N, tau=0.0)
    with pytest.raises(ValueError, match="PLIF: `tau` of a PLIF neuron must be above 1 step"):
        PLIF(N, tau=1.0)
    with pytest.raises(TypeError, match="PLIF: `spike` and `reset` are functions"):
        PLIF(N, reset=1.0)
    with pytest.raises(ValueError, match="PLIF: `trainable` names 'tau', which"):
        PLIF(N, trainable=("tau",))
    for layer in (LIF, LI):
        with pytest.raises(ValueError, match=f"{layer.__name__}: `dt` must be finite and above 0"):
            layer(N, dt=0.0)
        with pytest.raises(ValueError, match=f"{layer.__name__}: `dt` must be below 2 `tau`"):
            layer(N, tau=0.5, decay=euler, trainable=())
    for layer in (IF, LIF, PLIF):
        assert layer(N, threshold=np.array([0.5, 1.0, 2.0])).threshold[...].shape == (N,)
        with pytest.raises(ValueError, match="`threshold` must be finite and above 0"):
            layer(N, threshold=0.0)
        with pytest.raises(ValueError, match=r"one for each of the 3 features; got shape \(2,\)"):
            layer(N, threshold=np.ones(2))
    with pytest.raises(ValueError, match="`tau` must be a number or one for each"):
        LIF(N, tau=np.ones(4))
    with pytest.raises(ValueError, match=r"`beta` must lie in \[0, 1\]"):
        ILIF(N, beta=1.5)
    with pytest.raises(ValueError, match="strictly inside its bounds to be trained"):
        ILIF(N, beta=1.0, trainable=("beta",))
    with pytest.raises(TypeError, match="`spike` and `reset` are functions"):
        LIF(N, spike="atan")
    with pytest.raises(ValueError, match="must be a Python int of at least 1; got 0"):
        ILIF(N, levels=0)
    assert ILIF(N, beta=1.0).beta[...].tolist() == [1.0] * N


def test_a_learned_constant_is_named_after_what_it_holds():
    """A logarithm or a logit, so that no update leaves the domain; fixed, it is the value."""
    fixed, learned = ILIF(N, beta=0.25), ILIF(N, beta=0.25, trainable=("beta",))
    assert hasattr(fixed, "beta")
    assert not hasattr(learned, "beta")
    assert isinstance(learned.logit_beta, nnx.Param)
    both = LIF(N, tau=TAU, threshold=0.5, trainable=("tau", "threshold"))
    names = set(nnx.as_pure(nnx.split(both, nnx.Param, ...)[1]))
    assert names == {"log_tau", "log_threshold"}
    for layer, name, value in [
        (learned, "beta", 0.25),
        (fixed, "beta", 0.25),
        (both, "tau", TAU),
        (both, "threshold", 0.5),
        (LIF(N, tau=TAU, trainable=()), "tau", TAU),
    ]:
        np.testing.assert_allclose(layer.value(name), np.broadcast_to(value, N), rtol=1e-6)


def test_what_learns_is_checked():
    with pytest.raises(ValueError, match="not a constant here; did you mean 'threshold'"):
        LIF(N, trainable=("treshold",))
    with pytest.raises(TypeError, match="LIF: `trainable` must be a tuple of names"):
        LIF(N, trainable="tau")
    with pytest.raises(TypeError, match="`trainable` must be a tuple of names"):
        LI(N, trainable=True)


@pytest.mark.parametrize("layer", [IF, LIF, PLIF, LI, ILIF])
def test_a_state_is_made_from_a_shape_not_from_an_array(layer):
    made = layer(2)
    assert made.init_state([B]).v.shape == (B, 2)
    for wrong in (jnp.zeros((T, B, 2)), np.zeros(2, int), B):
        with pytest.raises(TypeError, match=r"a tuple of ints, such as x\.shape\[1:-1\]; got"):
            made.init_state(wrong)


@pytest.mark.parametrize("layer", [LIF, PLIF, LI, CUBA])
def test_a_layer_rests_where_it_leaks_to(layer):
    made = layer(N, v_rest=-0.5, **({} if layer is LI else {"reset": reset_to(-0.7)}))
    state, out = made(None, jnp.zeros((T, B, N)))
    np.testing.assert_allclose(state.v, -0.5)
    np.testing.assert_allclose(out, -0.5 if layer is LI else 0.0)
    assert not any(name == "v_rest" for name, _ in layer(N).domains)  # 0 costs nothing
    learned = layer(N, trainable=("v_rest",))
    _, params, _ = nnx.split(learned, nnx.Param, ...)
    assert any("v_rest" in name for name in nnx.as_pure(params))
    if layer is not LI:
        with pytest.raises(ValueError, match="`v_rest` must lie below `threshold`"):
            layer(N, v_rest=1.5)
        fired = made(None, jnp.full((1, B, N), 9.0))[0]
        np.testing.assert_allclose(fired.v, -0.7, rtol=1e-6)


@pytest.mark.parametrize("layer", [IF, LIF, PLIF, CUBA])
def test_another_librarys_reset_has_a_layer(layer):
    """snnTorch resets in the next step; on a constant input that shows in the second one."""
    x = jnp.full((3, 1, N), 1.2)
    late = layer(N, timing=next_step)(None, x, record=("v",))[1][1]["v"]
    soon = layer(N)(None, x, record=("v",))[1][1]["v"]
    assert (late[0] > soon[0]).all()


def test_a_time_constant_below_the_step_is_warned_of():
    """20 ms are given as 20e-3 with dt = 1: next to nothing of the membrane is left."""
    for layer, given in (
        (LIF, {"tau": 20e-3}),
        (LI, {"tau": 20e-3}),
        (CUBA, {"tau_c": 5e-3}),
        (ALIF, {"tau_a": 0.2}),
        (DHLIF, {"tau": 20e-3}),
        (Alpha, {"tau_inh": 5e-3}),
    ):
        with pytest.warns(UserWarning, match="`dt` exceeds `tau`.*Give both in one unit"):
            layer(N, **given)
    LIF(N, tau=20e-3, dt=1e-3)  # warnings are errors here
    with pytest.warns(UserWarning, match="`dt` exceeds `tau`: the Euler decay"):
        LIF(N, tau=0.75, decay=euler, trainable=())


def test_one_way_to_say_a_time_constant_gives_one_decay():
    """The same tau, dt and decay in every layer that leaks."""
    for layer in (LIF, LI, CUBA, ALIF, AdLIF, KLIF, CLIF, GLIF, LIAF, Ternary, DHLIF):
        for decay in (exact, euler):
            made = layer(N, tau=7.0, dt=0.5, decay=decay)
            np.testing.assert_allclose(made.step().args[0].decay, decay(7.0, 0.5), rtol=1e-5)
