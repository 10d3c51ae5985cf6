"""Layers of all neurons but the leaky ones: each equals its step under the constants it holds."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from snnjax import nn
from snnjax.neurons import IZHIKEVICH_PRESETS, brf_boundary, euler, exact
from snnjax.nn import catalogue, population
from snnjax.surrogates import rectangle, sigmoid
from snnjax.unroll import unroll

T, B, N = 20, 2, 3
LAYERS = sorted(
    (
        value
        for value in vars(nn).values()
        if isinstance(value, type)
        and issubclass(value, nn.Population)
        and value is not nn.Population
        and value.__module__ != "snnjax.nn.spiking"  # they have tests of their own
    ),
    key=lambda layer: layer.__name__,
)
every_layer = pytest.mark.parametrize("layer", LAYERS)


def names_of(layer) -> tuple[str, ...]:
    made = layer(N)
    return tuple(name for name, _ in made.domains)


# others take 1.5
STRONG = {
    "AdLIF": 20.0,
    "BRF": 60.0,
    "HRF": 60.0,
    "RF": 60.0,
    "Izhikevich": 20.0,
    "HodgkinHuxley": 60.0,
}
SHAPES = {
    "DeltaActivation": {"log_delta": ()},
    "DHLIF": {"logit_branch_decay": (N, 4)},
    "FewSpike": dict.fromkeys(("threshold", "h", "d"), (8,)),
}
OPTIONS = {"Izhikevich": {"dt": 0.5}, "HodgkinHuxley": {"dt": 0.05}}


def make(layer, **given):
    return layer(N, **OPTIONS.get(layer.__name__, {}), **given)


def drive(made) -> jax.Array:
    """Input strong enough that the neurons fire, in the unit of their currents."""
    name = type(made).__name__
    steps = 4 * T if name in OPTIONS else T
    noise = 0.5 * jax.random.normal(jax.random.key(0), (steps, *made.shape((B,)))) + 1.0
    return STRONG.get(name, 1.5) * noise


@every_layer
def test_everything_that_can_learn_gets_a_gradient_and_nothing_else(layer):
    names = names_of(layer)
    learn = names
    made = make(layer, learn=learn)
    graphdef, params, rest = nnx.split(made, nnx.Param, ...)
    params = nnx.as_pure(params)
    assert len(params) == len(learn)
    other = SHAPES.get(layer.__name__, {})
    assert all(leaf.shape == other.get(name, (N,)) for name, leaf in params.items())

    @jax.jit
    @partial(jax.value_and_grad, has_aux=True)
    def run(params, x):
        net = nnx.merge(graphdef, params, rest)
        state, out = net(net.init_state((B,)), x)
        weight = jnp.cos(jnp.arange(out.size, dtype=out.dtype)).reshape(out.shape)
        return (weight * out).sum() + sum((leaf**2).sum() for leaf in state), out

    (_, out), gradient = run(params, drive(made))
    assert out.any()
    for path, leaf in jax.tree.leaves_with_path(gradient):
        assert np.isfinite(leaf).all(), jax.tree_util.keystr(path)
        assert (np.asarray(leaf) != 0).any(), jax.tree_util.keystr(path)
    plain = make(layer, learn=())
    assert not jax.tree.leaves(nnx.split(plain, nnx.Param, ...)[1])
    _, want = plain(plain.init_state((B,)), drive(plain))
    assert np.mean(~np.isclose(out, want, rtol=1e-5)) < 0.05  # exp(log(x)) may turn a spike over


@every_layer
def test_a_layer_is_its_step(layer):
    made = make(layer)
    x = drive(made)
    fields = type(made.init_state((B,)))._fields
    state, (out, records) = made(made.init_state((B,)), x, record=fields)
    want_state, want = unroll(made.step(), type(made).rest(made.shape((B,))), x)
    jax.tree.map(np.testing.assert_array_equal, (state, out), (want_state, want))
    for field in fields:
        assert len(records[field]) == len(x)
        np.testing.assert_array_equal(records[field][-1], getattr(state, field))


def test_constants_and_options_reach_the_step():
    decay = np.array([0.3, 0.6, 0.9], np.float32)
    made = catalogue.ALIF(
        N, decay=decay, beta=0.5, learn=("beta",), spike=sigmoid, scale_input=False
    )
    step = made.step()
    np.testing.assert_array_equal(step.args[0].decay, decay)
    assert step.keywords == {"spike": sigmoid, "scale_input": False}
    np.testing.assert_array_equal(step.args[0].beta, np.full(N, 0.5, np.float32))
    spike = jax.tree_util.Partial(rectangle, width=jnp.array(0.1))
    leaves = jax.tree.leaves(nnx.split(catalogue.CLIF(N, spike=spike))[1])
    assert any(leaf.shape == () for leaf in leaves)  # the width travels as data
    assert exact(20.0).shape == ()


def test_a_preset_decides_constants_and_rest():
    made = catalogue.Izhikevich(N, preset=IZHIKEVICH_PRESETS["LTS"], learn=("d",))
    assert made.step().args[0].b.tolist() == pytest.approx([0.25] * N)
    assert made.init_state((B,)).v.shape == (B, N)
    np.testing.assert_allclose(made.init_state().v, -64.414, atol=1e-3)
    np.testing.assert_allclose(catalogue.Izhikevich(N).init_state().v, -70.0, atol=1e-4)


def ordered(made, low, high):
    return np.asarray(made.value(low)) <= np.asarray(made.value(high))


RUNAWAYS = {  # layer, options, what learns, how far it is pushed, and what must hold
    "BRF": ({}, ("w",), 1e4, lambda m: 0.01 * np.abs(m.value("w")) < 1),
    "HRF": ({"dt": 0.02}, ("w",), 1e4, lambda m: 0.02 * np.abs(m.value("w")) < 1),
    "Alpha": ({}, ("decay_exc", "decay_inh"), 50, lambda m: ordered(m, "decay_inh", "decay_exc")),
    "Alpha falling": ({}, ("decay_exc",), 50, lambda m: m.value("decay_exc") > 0.8),
    "Alpha rising": ({}, ("decay_inh",), 50, lambda m: m.value("decay_inh") < 0.9),
    "LIF": ({"tau": 0.6, "decay": euler}, ("tau",), 50, lambda m: m.value("tau") > 0.5),
    "LI": ({"tau": 9.0, "decay": euler}, ("tau",), 50, lambda m: m.value("tau") > 0.5),
    "QIF": ({"dt": 0.5}, ("tau", "v_c"), 50, lambda m: m.value("tau") > 0.25),
    "EIF": ({}, ("v_reset", "threshold"), 9, lambda m: ordered(m, "v_reset", "threshold")),
    "AdEx": ({}, ("tau_w", "threshold"), 9, lambda m: m.value("tau_w") > 0.5),
    "Izhikevich": ({}, ("peak",), 9, lambda m: ordered(m, "c", "peak")),
}


@pytest.mark.filterwarnings("ignore:`dt` exceeds `tau`")
@pytest.mark.parametrize("name", RUNAWAYS)
def test_no_update_leaves_the_limits_of_a_step_or_between_constants(name):
    options, learn, far, holds = RUNAWAYS[name]
    made = getattr(nn, name.split()[0])(N, learn=learn, **options)
    assert np.all(holds(made))
    graphdef, params, rest = nnx.split(made, nnx.Param, ...)
    state, x = made.init_state(), jnp.array([0.1, 1.0, 30.0])

    def boundary(params):
        return brf_boundary(nnx.merge(graphdef, params, rest).value("w"), 0.01).sum()

    for turn in (0, 1):
        pushed = [np.roll(np.float32([-far, 0.3, far]), turn * k) for k in (1, 2)][: len(learn)]
        moved = jax.tree.unflatten(jax.tree.structure(params), pushed)
        made = nnx.merge(graphdef, moved, rest)
        assert np.all(holds(made))
        after, _ = made.step()(state, x)  # concrete: refuses what it would not compute with
        slopes = jax.grad(boundary)(moved) if name == "BRF" else ()  # of a root near 0
        for leaf in jax.tree.leaves((after, slopes)):
            assert np.isfinite(leaf).all()


def test_a_learned_constant_starts_where_it_was_put():
    w, decay = np.array([1e-3, 10.0, -99.0]), np.array([0.3, 0.8, 0.89])
    for layer, name, value in (
        (nn.BRF(N, w=w, learn=("w",)), "w", w),
        (nn.Alpha(N, decay_inh=decay, learn=("decay_inh",)), "decay_inh", decay),
        (nn.QIF(N, v_reset=-w, threshold=100.0, learn=("v_reset",)), "v_reset", -w),
        (nn.LIF(N, tau=0.75, decay=exact), "tau", np.full(N, 0.75)),
    ):
        np.testing.assert_allclose(layer.value(name), value, rtol=1e-5, atol=1e-5)
    slope = jax.grad(lambda x: population._held(x, -100.0, 100.0))(1.0)
    assert float(slope) == pytest.approx(1, rel=1e-3)  # near 0 a frequency moves as its number does
    with pytest.raises(ValueError, match=r"BRF: `w` must lie between -50 and 50, .*got 60"):
        nn.BRF(N, w=60.0, dt=0.02)
    with pytest.raises(ValueError, match=r"QIF: `tau` must be finite and above 0.5 .*; got 0.4"):
        nn.QIF(N, tau=0.4, learn=("tau",))
    with pytest.raises(ValueError, match="BRF: `dt` must be concrete for 'w' to be learned"):
        jax.jit(lambda dt: nn.BRF(N, dt=dt, learn=("w",)).value("w"))(0.01)


def test_constants_follow_the_default_float():
    with jax.enable_x64(True):
        made = nn.LIF(N, tau=1 / 3, learn=("tau",))
        np.testing.assert_allclose(made.value("tau"), 1 / 3, rtol=1e-14)
        assert made.step().args[0].decay.dtype == jnp.float64
    assert nn.LIF(N).value("tau").dtype == jnp.float32


def test_unknown_arguments_name_the_nearest():
    with pytest.raises(TypeError, match="ALIF has no argument 'deca_a'; did you mean 'decay_a'"):
        catalogue.ALIF(N, deca_a=0.5)
    with pytest.raises(TypeError, match="did you mean 'spike'"):
        catalogue.CLIF(N, spikes=sigmoid)
    with pytest.raises(ValueError, match="CUBA: `learn` names 'tau', which is no constant here"):
        catalogue.CUBA(N, learn=("tau",))
    with pytest.raises(ValueError, match=r"`decay` must lie in \[0, 1\]; got 1\.5"):
        catalogue.CUBA(N, decay=1.5)
    with pytest.raises(ValueError, match="0 < decay_inh < decay_exc < 1"):
        catalogue.Alpha(N, decay_exc=0.5, decay_inh=0.8)


@pytest.mark.parametrize(
    ("layer", "given", "words"),
    [
        ("EIF", {"v_reset": 1.0}, "v_reset=1.0 with threshold=1.0"),
        ("AdEx", {"v_reset": [0.0, 2.0, 0.0]}, r"v_reset=\[0.0, 2.0, 0.0\] with threshold=1.0"),
        ("QIF", {"v_reset": 2.0, "learn": ("threshold",)}, "v_reset=2.0 with threshold=1.0"),
        ("QIF", {"v_c": -0.5}, "v_rest=0.0 with v_c=-0.5"),
        ("Izhikevich", {"peak": -70.0}, "c=-65.0 with peak=-70.0"),
    ],
)
def test_constants_in_the_wrong_order(layer, given, words):
    with pytest.raises(ValueError, match=rf"{layer}: .* must lie below .*{words}. Lower"):
        getattr(catalogue, layer)(N, **given)


@pytest.mark.parametrize("layer", ["QIF", "EIF", "AdEx", "Izhikevich", "HodgkinHuxley", "BRF"])
@pytest.mark.parametrize("dt", [-1.0, 0.0, np.nan])
def test_a_step_has_a_length(layer, dt):
    with pytest.raises(ValueError, match=f"{layer}: `dt` must be finite and above 0; got"):
        getattr(catalogue, layer)(N, dt=dt)


def test_a_step_too_long_is_warned_of():
    for layer, given, words in (
        (catalogue.QIF, {"dt": 2.5}, "dt=2.5 exceeds tau=2.0"),
        (catalogue.EIF, {"tau": 0.5}, "dt=1.0 exceeds tau=0.5"),
        (catalogue.AdEx, {"tau_w": 0.5}, "dt=1.0 exceeds tau_w=0.5"),
        (catalogue.Izhikevich, {"dt": 2.0}, "dt=2.0 exceeds the largest step that holds, 1"),
        (catalogue.HodgkinHuxley, {"dt": 0.1}, "dt=0.1 exceeds the largest step that holds, 0.05"),
    ):
        with pytest.warns(UserWarning, match=f"{layer.__name__}: {words}.*Use a smaller dt"):
            layer(N, **given)
    catalogue.QIF(N, dt=2.0)  # warnings are errors here
    catalogue.Izhikevich(N, dt=1.0)


def test_every_field_of_the_state_fits_the_input():
    layer = catalogue.ALIF(N)
    state = layer.init_state((B,))._replace(a=jnp.zeros((5, N)))
    with pytest.raises(ValueError, match=r"ALIF\(3\) takes .* state ALIFState\(v=.*a=\(5, 3\)\)"):
        layer(state, jnp.ones((T, B, N)))


def test_one_trace_for_all_values():
    traces = []

    @partial(jax.jit, static_argnums=0)
    def run(graphdef, leaves, x):
        traces.append(1)
        net = nnx.merge(graphdef, leaves)
        return net(net.init_state((B,)), x)[1]

    x = jnp.ones((T, B, N))
    for decay in (0.5, 0.7):
        run(*nnx.split(catalogue.ALIF(N, decay=decay)), x)
    assert len(traces) == 1
