"""The layer that rounds activations, its penalty, and what is measured of it."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from snnjax.losses import delta_penalty
from snnjax.metrics import effective_macs, temporal_sparsity
from snnjax.neurons import delta_product_init
from snnjax.nn import DeltaActivation, Module, probe
from snnjax.unroll import unroll

T, B, N = 8, 2, 3


def clip(seed=0):
    return jnp.abs(jax.random.normal(jax.random.key(seed), (T, B, N)))


@pytest.mark.parametrize("given", [{}, {"threshold": 0.3}, {"per_channel": True, "signed": True}])
def test_a_clip_continues_and_equals_its_frames(given):
    layer, x = DeltaActivation(N, delta=0.25, bits=5, **given), clip()

    @jax.jit
    def run(x):
        whole = layer(layer.init_state((B,)), x, record=("k",))
        middle, first = layer(layer.init_state((B,)), x[:3])
        return whole, first, layer(middle, x[3:])

    (state, (q, seen)), first, (end, second) = run(x)
    np.testing.assert_array_equal(q, 0.25 * seen["k"])
    np.testing.assert_array_equal(state.k, seen["k"][-1])
    np.testing.assert_array_equal(np.concatenate([first, second]), q)
    np.testing.assert_array_equal(end.k, state.k)
    assert ("threshold" in given) == bool((np.abs(q - np.asarray(x)) > 0.126).any())
    assert len(jax.tree.leaves(nnx.state(layer, nnx.Param))) == 1


def test_streaming_equals_the_parallel_form_in_a_network():
    """Product, bias and rectifier after the sum; sites and products of two layers."""
    rngs = nnx.Rngs(0)
    first, second = (nnx.Linear(N, N, rngs=rngs) for _ in range(2))
    sites = [DeltaActivation(N, delta=0.05) for _ in range(2)]
    x = clip()

    def parallel(x):
        for site, linear in zip(sites, (first, second), strict=True):
            _, q = site(site.init_state((B,)), jax.nn.relu(x))
            x = linear(q)
        return x

    maps = [lambda d, w=linear.kernel[...]: d @ w for linear in (first, second)]

    def step(states, frame):
        after = []
        for site, linear, apply, state in zip(sites, (first, second), maps, states, strict=True):
            state, z = site.stream(apply)(state, jax.nn.relu(frame))
            frame = z + linear.bias[...]
            after.append(state)
        return tuple(after), frame

    start = tuple(delta_product_init((B, N), apply) for apply in maps)
    _, got = jax.jit(lambda x: unroll(step, start, x))(x)
    np.testing.assert_allclose(got, jax.jit(parallel)(x), atol=1e-5)
    with pytest.raises(ValueError, match="`stream` is for the plain quantiser"):
        DeltaActivation(N, threshold=0.1).stream(maps[0])


def test_a_static_clip_costs_one_frame():
    layer = DeltaActivation(N, delta=0.1)
    x = jnp.broadcast_to(clip()[:1], (T, B, N))
    _, (_, seen) = layer(layer.init_state((B,)), x, record=("k",))
    one = float(effective_macs([seen["k"][:1]], [7.0]))
    assert float(temporal_sparsity(seen["k"])) == 1.0
    assert float(effective_macs([seen["k"]], [7.0])) == one > 0
    assert float(delta_penalty([seen["k"]])) == 0.0
    moved = seen["k"].at[4:, :, 0].add(1.0)
    changed = (np.diff(np.asarray(moved), axis=0) != 0).mean()
    np.testing.assert_allclose(temporal_sparsity(moved), 1 - changed, rtol=1e-6)


def test_the_penalty_equals_the_loop_and_its_gradient_reaches_both_frames():
    rng = np.random.default_rng(0)
    sites = [rng.integers(0, 5, (T, B, 2, n)).astype(np.float32) for n in (3, 4)]
    mask = np.ones((T, B))
    mask[5:, 1] = 0
    total = size = 0.0
    for k, fanout in zip(sites, (9.0, 2.0), strict=True):
        for t, b, i, n in np.ndindex(*k.shape):
            if t and mask[t, b] and mask[t - 1, b]:
                total += fanout * abs(k[t, b, i, n] - k[t - 1, b, i, n])
                size += fanout
    loss = partial(delta_penalty, fanouts=(9.0, 2.0), mask=mask)
    arrays = [jnp.asarray(k) for k in sites]
    penalty, gradient = jax.jit(jax.value_and_grad(loss))(arrays)
    np.testing.assert_allclose(penalty, total / size, rtol=1e-6)
    k = jnp.array([[[1.0]], [[4.0]], [[2.0]]])  # up, down
    slopes = jax.jit(jax.grad(lambda k: delta_penalty([k])))(k)[:, 0, 0]
    np.testing.assert_allclose(slopes, [-0.5, 1.0, -0.5])
    assert not np.asarray(gradient[0][5:, 1]).any()
    with pytest.raises(ValueError, match=r"`mask` must be \[T, B\] = \(8, 2\)"):
        delta_penalty(arrays, mask=mask[1:])
    with pytest.raises(ValueError, match="with T >= 2"):
        delta_penalty([arrays[0][:1]])


def test_less_travels_with_a_larger_penalty():
    """A rounded hidden layer that follows a slow signal in noise: changes fall as lambda grows."""
    keys = jax.random.split(jax.random.key(0), 3)
    slow = jax.random.normal(keys[0], (1, 16, 4)) + 0.1 * jnp.linspace(-1, 1, 12)[:, None, None]
    x = slow + 0.1 * jax.random.normal(keys[1], (12, 16, 4))
    target = slow.sum(-1)

    class Net(Module):
        def __init__(self):
            rngs = nnx.Rngs(0)
            self.first, self.last = nnx.Linear(4, 16, rngs=rngs), nnx.Linear(16, 1, rngs=rngs)
            self.site = DeltaActivation(16, delta=0.2, bits=4)

        def forward(self, run, x):
            hidden = jax.nn.relu(run(self.first, x))
            return run(self.last, run(self.site, hidden))[..., 0]

    graphdef, params, rest = nnx.split(Net(), nnx.Param, ...)
    params = nnx.as_pure(params)
    optimiser = optax.adam(0.01)

    def run(params, x):
        (_, out), seen = probe(nnx.merge(graphdef, params, rest), ["site:k"])(None, x)
        return out, seen

    @jax.jit
    def train(weight):
        def loss(params):
            out, seen = run(params, x)
            return ((out - target) ** 2).mean() + weight * delta_penalty([seen["site:k"]])

        def step(carry, _):
            params, state = carry
            updates, state = optimiser.update(jax.grad(loss)(params), state)
            return (optax.apply_updates(params, updates), state), None

        (after, _), _ = jax.lax.scan(step, (params, optimiser.init(params)), None, length=150)
        out, seen = run(after, x)
        return ((out - target) ** 2).mean(), temporal_sparsity(seen["site:k"])

    errors, sparsity = zip(*(train(weight) for weight in (0.0, 0.1, 1.0)), strict=True)
    assert sparsity[0] < sparsity[1] < sparsity[2]
    assert errors[0] < 0.05
    assert errors[1] < 0.1


def test_bad_arguments():
    with pytest.raises(ValueError, match="`threshold` must be at least delta / 2"):
        DeltaActivation(N, delta=1.0, threshold=0.2)
    with pytest.raises(ValueError, match=r'`record` must be \(\) or \("k",\)'):
        DeltaActivation(N)(DeltaActivation(N).init_state((B,)), clip(), record=("v",))
    with pytest.raises(ValueError, match=r"DeltaActivation\(\d+\) got input .* with T = 0"):
        DeltaActivation(N)(DeltaActivation(N).init_state((B,)), clip()[:0])
    with pytest.raises(ValueError, match=r"DeltaActivation: `threshold` must be .* shape \(\d,\)"):
        DeltaActivation(N, delta=jnp.ones(N), threshold=jnp.ones(N - 1), per_channel=True)
    with pytest.raises(ValueError, match="`delta` must be a number, which all features share"):
        DeltaActivation(N, delta=jnp.ones(N))
