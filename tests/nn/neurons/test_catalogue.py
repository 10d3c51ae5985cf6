"""Layers of all neurons but the leaky ones: each equals its step under the constants it holds."""

from __future__ import annotations

import inspect
import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from snnjax import nn
from snnjax.neurons import IZHIKEVICH_PRESETS, brf_boundary, euler, exact, zero
from snnjax.nn.neurons import domain
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
        and value.__name__ not in ("IF", "LIF", "PLIF", "LI", "ILIF")  # they have their own tests
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
    "DHLIF": {"log_tau_branch": (N, 4)},
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
    made = make(layer, trainable=learn)
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
    plain = make(layer, trainable=())
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
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5), (state, out), (want_state, want))
    for field in fields:
        assert len(records[field]) == len(x)
        np.testing.assert_array_equal(records[field][-1], getattr(state, field))


def test_constants_and_options_reach_the_step():
    tau = np.array([3.0, 6.0, 9.0], np.float32)
    made = nn.ALIF(
        N, tau=tau, tau_a=50.0, dt=0.5, beta=0.5, trainable=("beta",), spike=sigmoid, reset=zero
    )
    step = made.step()
    np.testing.assert_allclose(step.args[0].decay, np.exp(-0.5 / tau), rtol=1e-6)
    np.testing.assert_allclose(step.args[0].decay_a, np.exp(-0.5 / 50), rtol=1e-6)
    assert step.keywords == {"spike": sigmoid, "scale_input": False, "reset": zero}
    np.testing.assert_array_equal(step.args[0].beta, np.full(N, 0.5, np.float32))
    spike = jax.tree_util.Partial(rectangle, width=jnp.array(0.1))
    leaves = jax.tree.leaves(nnx.split(nn.CLIF(N, spike=spike))[1])
    assert any(leaf.shape == () for leaf in leaves)  # the width travels as data
    assert exact(20.0).shape == ()


def test_a_preset_decides_constants_and_rest():
    made = nn.Izhikevich(N, preset=IZHIKEVICH_PRESETS["LTS"], trainable=("d",))
    assert made.step().args[0].b.tolist() == pytest.approx([0.25] * N)
    assert made.init_state((B,)).v.shape == (B, N)
    np.testing.assert_allclose(made.init_state().v, -64.414, atol=1e-3)
    np.testing.assert_allclose(nn.Izhikevich(N).init_state().v, -70.0, atol=1e-4)


def ordered(made, low, high):
    return np.asarray(made.value(low)) <= np.asarray(made.value(high))


RUNAWAYS = {  # layer, options, what learns, how far it is pushed, and what must hold
    "BRF": ({}, ("w",), 1e4, lambda m: 0.01 * np.abs(m.value("w")) < 1),
    "HRF": ({"dt": 0.02}, ("w",), 1e4, lambda m: 0.02 * np.abs(m.value("w")) < 1),
    "Alpha": ({}, ("tau_exc", "tau_inh"), 50, lambda m: ordered(m, "tau_inh", "tau_exc")),
    "Alpha falling": ({}, ("tau_exc",), 50, lambda m: m.value("tau_exc") > 5.0),
    "Alpha rising": ({}, ("tau_inh",), 50, lambda m: m.value("tau_inh") < 10.0),
    "ALIF": ({"decay": euler}, ("tau", "tau_a"), 50, lambda m: m.value("tau_a") > 0.5),
    "LIF rest": (
        {"v_rest": -1.0, "threshold": -0.5},
        ("v_rest", "threshold"),
        9,
        lambda m: ordered(m, "v_rest", "threshold"),
    ),
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
    made = getattr(nn, name.split()[0])(N, trainable=learn, **options)
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
    w, tau = np.array([1e-3, 10.0, -99.0]), np.array([0.3, 5.0, 9.9])
    for layer, name, value in (
        (nn.BRF(N, w=w, trainable=("w",)), "w", w),
        (nn.Alpha(N, tau_inh=tau, trainable=("tau_inh",), dt=0.1), "tau_inh", tau),
        (nn.Alpha(N, tau_exc=10 + tau, trainable=("tau_exc",)), "tau_exc", 10 + tau),
        (nn.QIF(N, v_reset=-w, threshold=100.0, trainable=("v_reset",)), "v_reset", -w),
        (nn.LIF(N, tau=1.75, decay=exact), "tau", np.full(N, 1.75)),
    ):
        np.testing.assert_allclose(layer.value(name), value, rtol=1e-5, atol=1e-5)
    slope = jax.grad(lambda x: domain.held(x, -100.0, 100.0))(1.0)
    assert float(slope) == pytest.approx(1, rel=1e-3)  # near 0 a frequency moves as its number does
    with pytest.raises(ValueError, match=r"BRF: `w` must lie between -50 and 50, .*got 60"):
        nn.BRF(N, w=60.0, dt=0.02)
    with pytest.raises(ValueError, match=r"QIF: `tau` must be finite and above 0.5 .*; got 0.4"):
        nn.QIF(N, tau=0.4, trainable=("tau",))
    with pytest.raises(ValueError, match="BRF: `dt` must be concrete for 'w' to be trained"):
        jax.jit(lambda dt: nn.BRF(N, dt=dt, trainable=("w",)).value("w"))(0.01)


def test_constants_follow_the_default_float():
    with jax.enable_x64(True):
        made = nn.LIF(N, tau=4 / 3, trainable=("tau",))
        np.testing.assert_allclose(made.value("tau"), 4 / 3, rtol=1e-14)
        assert made.step().args[0].decay.dtype == jnp.float64
    assert nn.LIF(N).value("tau").dtype == jnp.float32


def test_unknown_arguments_name_the_right_one():
    for call, words in (
        (lambda: nn.ALIF(N, tua_a=50.0), "ALIF has no argument 'tua_a'; did you mean 'tau_a'"),
        (lambda: nn.CLIF(N, spikes=sigmoid), "did you mean 'spike'"),
        (lambda: nn.LIF(N, beta=0.9), r"write tau=snnjax.neurons.time_constant\(0.9\)\."),
        (lambda: nn.LIF(N, v_threshold=0.5), r"write threshold=0.5\."),
        (lambda: nn.LIF(N, v_reset=-0.1), r"write reset=snnjax.neurons.reset_to\(-0.1\)\."),
        (lambda: nn.CUBA(N, alpha=0.8), r"write tau_c=snnjax.neurons.time_constant\(0.8\)\."),
        (lambda: nn.PLIF(N, learn=()), r"PLIF has no argument 'learn'; write trainable=\(\)\."),
        (lambda: nn.DeltaActivation(N, deltas=0.1), "did you mean 'delta'"),
        (lambda: nn.ALIF(N, decay=0.9), r"`decay` is a function .* tau=.*time_constant\(0.9\)"),
    ):
        with pytest.raises(TypeError, match=words):
            call()
    with pytest.raises(ValueError, match="`trainable` names 'tau_w', which is not a constant here"):
        nn.CUBA(N, trainable=("tau_w",))
    with pytest.raises(ValueError, match=r"CUBA: `tau` must be finite and above 0; got -1\.5"):
        nn.CUBA(N, tau=-1.5)
    with pytest.raises(ValueError, match="Alpha: `tau_inh` must lie below `tau_exc`"):
        nn.Alpha(N, tau_exc=5.0, tau_inh=8.0)


@every_layer
def test_every_argument_is_shown_with_its_default_and_explained(layer):
    """Completion and help read the signature, which the metaclass of Flax would hide."""
    signature = inspect.signature(layer)
    first, *others = signature.parameters.values()
    assert first.name == "features"
    for p in others:
        assert p.kind is p.KEYWORD_ONLY
        assert p.default is not p.empty
        assert re.search(rf"^\s+([\w, ]+, )?{p.name}(, [\w, ]+)?:", layer.__doc__, re.M), p.name
    assert signature.parameters["trainable"].default == layer(N).trainable


@every_layer
def test_the_input_is_not_scaled_by_default(layer):
    parameters = inspect.signature(layer).parameters
    for function in (parameters, inspect.signature(getattr(layer, "advance", layer)).parameters):
        if "scale_input" in function:
            assert function["scale_input"].default is False
    if "tau" in parameters and "decay" not in parameters:
        assert layer.__name__ in ("PLIF", "QIF", "EIF", "AdEx")  # whose equations are Euler steps


@pytest.mark.parametrize(
    ("layer", "given", "words"),
    [
        ("EIF", {"v_reset": 1.0}, "v_reset=1.0 with threshold=1.0"),
        ("AdEx", {"v_reset": [0.0, 2.0, 0.0]}, r"v_reset=\[0.0, 2.0, 0.0\] with threshold=1.0"),
        ("QIF", {"v_reset": 2.0, "trainable": ("threshold",)}, "v_reset=2.0 with threshold=1.0"),
        ("QIF", {"v_c": -0.5}, "v_rest=0.0 with v_c=-0.5"),
        ("Izhikevich", {"peak": -70.0}, "c=-65.0 with peak=-70.0"),
    ],
)
def test_constants_in_the_wrong_order(layer, given, words):
    with pytest.raises(ValueError, match=rf"{layer}: .* must lie below .*{words}. Lower"):
        getattr(nn, layer)(N, **given)


@pytest.mark.parametrize("layer", ["QIF", "EIF", "AdEx", "Izhikevich", "HodgkinHuxley", "BRF"])
@pytest.mark.parametrize("dt", [-1.0, 0.0, np.nan])
def test_a_step_has_a_length(layer, dt):
    with pytest.raises(ValueError, match=f"{layer}: `dt` must be finite and above 0; got"):
        getattr(nn, layer)(N, dt=dt)


def test_a_step_too_long_is_warned_of():
    for layer, given, words in (
        (nn.QIF, {"dt": 2.5}, "dt=2.5 exceeds tau=2.0"),
        (nn.EIF, {"tau": 0.5}, "dt=1.0 exceeds tau=0.5"),
        (nn.AdEx, {"tau_w": 0.5}, "dt=1.0 exceeds tau_w=0.5"),
        (nn.Izhikevich, {"dt": 2.0}, "dt=2.0 exceeds the longest step of this model, 1"),
        (nn.HodgkinHuxley, {"dt": 0.1}, "dt=0.1 exceeds the longest step of this model, 0.05"),
    ):
        with pytest.warns(UserWarning, match=f"{layer.__name__}: {words}.*Use a smaller dt"):
            layer(N, **given)
    nn.QIF(N, dt=2.0)  # warnings are errors here
    nn.Izhikevich(N, dt=1.0)


def test_every_field_of_the_state_fits_the_input():
    layer = nn.ALIF(N)
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
    for tau in (5.0, 7.0):
        run(*nnx.split(nn.ALIF(N, tau=tau)), x)
    assert len(traces) == 1


ENDS = (1e30, -1e30, np.inf, -np.inf, 3e38)


@pytest.mark.filterwarnings("ignore:`dt` exceeds `tau`")
@every_layer
def test_no_update_leaves_the_domain_at_the_ends_of_float32(layer):
    """Every constant pushed as far as float32 goes: inside, with finite decays and slopes."""
    made = layer(N, trainable=names_of(layer))
    graphdef, params, rest = nnx.split(made, nnx.Param, ...)

    def all_values(params):
        layer = nnx.merge(graphdef, params, rest)
        values = {name: layer.value(name) for name in layer.trainable}
        return values, layer.step().args[0]

    def total(params):
        return sum(jnp.sum(leaf) for leaf in jax.tree.leaves(all_values(params)[1]))

    run = jax.jit(lambda params: (all_values(params), jax.grad(total)(params)))
    for end in ENDS:
        moved = jax.tree.map(lambda leaf, end=end: jnp.full_like(leaf, end), params)
        (values, constants), slopes = run(moved)
        for name, value in values.items():
            wanted = dict(made.domains)[name]
            low, high = wanted.low - 5e-7 * abs(wanted.low), wanted.high + 5e-7 * abs(wanted.high)
            assert np.isfinite(value).all()
            assert ((value >= low) & (value <= high)).all(), (name, end, value)
            if wanted == domain.POSITIVE:
                assert (np.asarray(value) > 0).all(), (name, end)
        for leaf in jax.tree.leaves((constants, slopes)):
            assert np.isfinite(leaf).all(), end


@pytest.mark.filterwarnings("ignore:`dt` exceeds `tau`")
def test_thirty_large_steps_of_descent_leave_a_layer_that_runs():
    layer = nn.LIF(N, trainable=("tau", "threshold"))
    graphdef, params, rest = nnx.split(layer, nnx.Param, ...)
    x = jax.random.normal(jax.random.key(0), (T, B, N)) + 1.0

    @jax.jit
    def descend(params):
        def loss(params):
            net = nnx.merge(graphdef, params, rest)
            return net(None, x)[1].sum() + net(None, x)[0].v.sum()

        return jax.tree.map(lambda p, g: p - 1_000.0 * g, params, jax.grad(loss)(params))

    for _ in range(30):
        params = descend(params)
    layer = nnx.merge(graphdef, params, rest)
    assert (layer.value("tau") > 0).all()
    state, out = layer(None, x)  # eager: what is refused would raise
    assert np.isfinite(state.v).all()
    assert np.isfinite(out).all()
