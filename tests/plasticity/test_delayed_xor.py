"""A task in time, learned online: the exclusive or of two cues, by e-prop."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import optax

from snnjax.plasticity import EPropParams, eprop_init, eprop_step
from snnjax.unroll import online_gradient
from tests.plasticity.test_eprop import ALIF, alif_step

T, B, M, N = 30, 32, 4, 32


def trials(key):
    """Cues at steps 0 to 4 and 15 to 19, a signal to answer from step 24, one-hot answers."""
    bits = jax.random.bernoulli(key, 0.5, (2, B)).astype(jnp.int32)
    x = jnp.zeros((T, B, M)).at[24:, :, 2].set(1.0)
    for bit, start in zip(bits, (0, 15), strict=True):
        x = x.at[start : start + 5, jnp.arange(B), bit].set(1.0)
    asked = (jnp.arange(T) >= 24)[:, None, None]
    return x, jax.nn.one_hot(bits[0] ^ bits[1], 2) * asked


def step(params, state, x):
    """A recurrent layer of adaptive neurons; cross entropy where an answer is asked for."""
    layer = EPropParams(params["in"], params["back"], 0.9)
    state, _ = eprop_step(partial(alif_step, reset=True), layer, state, x[0])
    logits = state.filtered @ params["out"]
    loss = -(x[1] * jax.nn.log_softmax(logits)).sum(-1).mean()
    return state, (loss, (logits.argmax(-1) == x[1].argmax(-1)).mean())


def test_exclusive_or_of_two_cues_is_learned_online():
    keys = jax.random.split(jax.random.key(0), 4)
    params = {
        "in": 0.7 * jax.random.normal(keys[0], (M, N)),
        "back": 0.5 / N**0.5 * jax.random.normal(keys[1], (N, N)),
        "out": 1 / N**0.5 * jax.random.normal(keys[2], (N, 2)),
    }
    opt = optax.adam(5e-3)
    silent = ALIF(jnp.zeros((B, N)), jnp.zeros((B, N)))
    start = eprop_init(silent, (B, N), M, recurrent=True)

    def update(carry, key):
        params, memory = carry
        _, grads, (_, right) = online_gradient(step, params, start, trials(key), has_aux=True)
        updates, memory = opt.update(grads, memory, params)
        return (optax.apply_updates(params, updates), memory), right[-1]

    @jax.jit
    def train(params, key):
        return jax.lax.scan(update, (params, opt.init(params)), jax.random.split(key, 250))[1]

    right = train(params, keys[3])
    assert float(right[:10].mean()) < 0.75
    assert float(right[-50:].mean()) > 0.95
