"""Recurrent layers against a loop in NumPy."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from snnjax.nn import ALIF, ILIF, LI, LIF, Recurrent, Sequential
from snnjax.surrogates import atan, fast_sigmoid

T, B, N = 12, 2, 4
W = np.random.default_rng(1).normal(0, 0.6, (N, N))


def loop(x, decay):
    """Soft reset, threshold 1; `W[pre, post]`, one step of delay."""
    v, z = np.zeros((B, N)), np.zeros((B, N))
    spikes, margins = [], []
    for current in np.asarray(x, np.float64):
        h = decay * v + current + z @ W
        z = (h >= 1).astype(float)
        v = h - z
        spikes.append(z)
        margins.append(np.abs(h - 1).min())
    return np.stack(spikes), v, min(margins)


@pytest.fixture(scope="module")
def drive():
    for seed in range(50):
        x = np.random.default_rng(seed).normal(0.4, 0.9, (T, B, N)).astype(np.float32)
        out, v, margin = loop(x, np.exp(-1 / 3.0))
        if margin > 1e-3:
            return x, out, v
    raise RuntimeError("no input stays clear of the threshold")


def layer(checkpoint: bool | int = True) -> Recurrent:
    dense = nnx.Linear(N, N, use_bias=False, rngs=nnx.Rngs(0))
    dense.kernel[...] = jnp.asarray(W, jnp.float32)
    return Recurrent(LIF(N, tau=3.0, checkpoint=checkpoint), dense)


def test_equals_the_loop_and_its_weights_learn(drive):
    x, want, v = drive

    @functools.partial(jax.jit, static_argnums=0)
    @functools.partial(jax.value_and_grad, argnums=1, has_aux=True)
    def run(graphdef, params, rest, x):
        net = nnx.merge(graphdef, params, rest)
        state, out = net(net.init_state((B,)), x)
        return (out * jnp.cos(x)).sum(), (state, out)

    grads = []
    for checkpoint in (True, False, 5):
        graphdef, params, rest = nnx.split(layer(checkpoint), nnx.Param, ...)
        (_, (state, out)), gradient = run(graphdef, nnx.as_pure(params), rest, x)
        np.testing.assert_array_equal(out, want)
        np.testing.assert_array_equal(state.out, want[-1])
        np.testing.assert_allclose(state.cell.v, v, atol=1e-5)
        grads.append(gradient)
    assert set(grads[0]) == {"population", "connection"}
    for gradient in grads:
        for leaf, first in zip(*map(jax.tree.leaves, (gradient, grads[0])), strict=True):
            assert (np.asarray(leaf) != 0).any()
            np.testing.assert_allclose(leaf, first, rtol=1e-5, atol=1e-6)


def test_a_sequence_continues_and_the_membrane_can_be_seen(drive):
    x, want, _ = drive
    net = layer()
    middle, first = net(net.init_state((B,)), x[:5])
    _, (second, records) = net(middle, x[5:], record=("cell.v", "out"))
    np.testing.assert_array_equal(np.concatenate([first, second]), want)
    np.testing.assert_array_equal(records["out"], second)
    assert records["cell.v"].shape == (T - 5, B, N)


def test_any_population_and_a_number_a_neuron_will_do():
    """Self-excitation of 1 keeps an integer neuron at what it once emitted."""
    net = Recurrent(ILIF(2, beta=0.0), lambda z: z)
    x = jnp.zeros((4, 1, 2)).at[0].set(jnp.array([3.0, 0.4]))
    _, out = net(net.init_state((1,)), x)
    assert out[:, 0].tolist() == [[3.0, 0.0]] * 4


def test_bfloat16_input_keeps_float32_membranes():
    net = Recurrent(LIF(N), lambda z: z)
    state, out = net(
        net.init_state((B,), out_dtype=jnp.bfloat16), jnp.ones((3, B, N), jnp.bfloat16)
    )
    assert (out.dtype, state.out.dtype, state.cell.v.dtype) == (jnp.bfloat16,) * 2 + (jnp.float32,)


def test_wrong_input_names_the_layer():
    net = layer()
    with pytest.raises(ValueError, match=r"LIF\(4\) takes input \[T, B, ..., 4\]"):
        net(net.init_state((B,)), jnp.zeros((T, B, N + 1)))
    narrow = net.init_state((B,), out_dtype=jnp.bfloat16)
    with pytest.raises(ValueError, match=r"state\.out went in as bfloat16\[2, 4\] and came out as"):
        net(narrow, jnp.zeros((T, B, N)))
    state = net.init_state((B,))
    with pytest.raises(ValueError, match=r"Recurrent\(LIF\) .* `out` is \(2, 4\) .* got \(3, 4\)"):
        net(state._replace(out=jnp.zeros((3, N))), jnp.zeros((T, B, N)))
    with pytest.raises(TypeError, match=r"LIF\(4\): `current` must be floating point; got int32"):
        net(state, jnp.zeros((T, B, N), jnp.int32))


@pytest.mark.parametrize(("cell", "dtype"), [(LIF, jnp.bfloat16), (LI, jnp.bfloat16)])
def test_none_as_the_state_is_rest_whatever_the_output_is_wide(cell, dtype):
    """A connection with float32 weights and a readout of membranes both widen narrow input."""
    dense = nnx.Linear(N, N, use_bias=False, rngs=nnx.Rngs(0))
    for connection in (dense, lambda z: z):
        net, x = Recurrent(cell(N), connection), jnp.ones((3, B, N), dtype)
        state, out = net(None, x)
        again, want = net(net.rest_for(jax.ShapeDtypeStruct(x.shape, dtype)), x)
        np.testing.assert_array_equal(out, want)
        assert (out.dtype, state.out.dtype) == (want.dtype, again.out.dtype)
        assert all(leaf.shape[0] == B for leaf in jax.tree.leaves(state))
        assert state.cell.v.dtype == jnp.float32


def test_a_class_in_place_of_a_layer_and_a_forgotten_state():
    with pytest.raises(TypeError, match=r"got the class LIF; .* Recurrent\(LIF\(128\), \.\.\.\)"):
        Recurrent(LIF, lambda z: z)
    with pytest.raises(TypeError, match="`population` must be a layer of neurons"):
        Recurrent(nnx.Linear(2, 2, rngs=nnx.Rngs(0)), lambda z: z)
    with pytest.raises(TypeError, match="`connection` must be a function from outputs to currents"):
        Recurrent(LIF(N), nnx.Linear)
    with pytest.raises(TypeError, match=r"Recurrent takes .* `state, out = layer\(None, x\)`"):
        layer()(jnp.ones((T, B, N)))


def test_the_recipe_keeps_gradients_of_recurrent_nets_small():
    """Two recurrent ALIF layers over 60 steps, in training; a steep surrogate multiplies them."""
    steps, samples, inputs, hidden, classes = 60, 16, 20, 32, 4
    rng = np.random.default_rng(0)
    y = rng.integers(0, classes, samples)
    patterns = rng.random((steps, classes, inputs)) < 0.08
    x = (patterns[:, y] ^ (rng.random((steps, samples, inputs)) < 0.02)).astype(np.float32)

    def net(spike):
        rngs, small = nnx.Rngs(0), nnx.initializers.orthogonal(0.2)

        def recurrent():
            options = {"use_bias": False, "kernel_init": small, "rngs": rngs}
            return Recurrent(
                ALIF(hidden, beta=0.2, spike=spike), nnx.Linear(hidden, hidden, **options)
            )

        return Sequential(
            nnx.Linear(inputs, hidden, rngs=rngs),
            recurrent(),
            nnx.Linear(hidden, hidden, rngs=rngs),
            recurrent(),
            nnx.Linear(hidden, classes, rngs=rngs),
            LI(classes, tau=20.0),
            lambda v: v.mean(0),
        )

    def norms(spike, updates):
        graphdef, params, rest = nnx.split(net(spike), nnx.Param, ...)
        rule = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(5e-3))

        def loss(params):
            logits = nnx.merge(graphdef, params, rest)(None, x)[1]
            return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()

        def update(state, _):
            params, moments = state
            value, grads = jax.value_and_grad(loss)(params)
            updates, moments = rule.update(grads, moments)
            return (optax.apply_updates(params, updates), moments), (value, optax.tree.norm(grads))

        params = nnx.as_pure(params)
        return jax.jit(lambda state: jax.lax.scan(update, state, length=updates)[1])(
            (params, rule.init(params))
        )

    losses, sizes = norms(atan, 40)
    assert losses[-1] < 0.3 * losses[0]
    assert (sizes < 10).all()
    assert not (norms(fast_sigmoid, 40)[1] < 100).all()
