"""Layers of one weight and one LIF population in three forms, and what compares gradients."""

from __future__ import annotations

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from snnjax.neurons import LIFParams, lif_init, lif_step
from snnjax.plasticity import (
    EPropParams,
    OTTTParams,
    dense,
    eprop_init,
    eprop_step,
    ottt_init,
    ottt_step,
)
from snnjax.unroll import unroll

DECAY = 0.8


def lif(reset):
    return partial(lif_step, LIFParams(DECAY, 1.0), reset=reset, scale_input=True)


def plain(neuron, weight, state, x, product=dense):
    return neuron(state, product(x, weight))


def ottt(neuron, weight, state, x, product=dense):
    trace, cell = state
    trace, current = ottt_step(OTTTParams(weight, DECAY), trace, x, product=product)
    cell, z = neuron(cell, current)
    return (trace, cell), z


def eprop(neuron, weight, state, x):
    return eprop_step(neuron, EPropParams(weight), state, x)


def start(layer, before, after, dtype=jnp.float32):
    """The state of one layer at rest; `before` and `after` are shapes of one step."""
    cell = lif_init(after, dtype)
    if layer is ottt:
        return ottt_init(before, dtype), cell
    return eprop_init(cell, after, before[-1], dtype) if layer is eprop else cell


def network(layer, reset, weights, batch, dtype=jnp.float32, **options):
    """`step(weights, state, (x, target)) -> (state, loss)` of a stack of layers, and its state.

    The loss of a step is the sum of target * spikes of the last layer.
    """
    neuron = lif(reset)

    def step(weights, states, inputs):
        z, target = inputs
        after = []
        for weight, state in zip(weights, states, strict=True):
            state, z = layer(neuron, weight, state, z, **options)
            after.append(state)
        return tuple(after), jnp.sum(target * z)

    states = tuple(start(layer, (batch, w.shape[0]), (batch, w.shape[1]), dtype) for w in weights)
    return step, states


def problem(*widths, steps=40, batch=3, dtype=np.float32, seed=0):
    """Weights of a stack of layers, input spikes, and targets that are random at every step."""
    rng = np.random.default_rng(seed)
    weights = [
        jnp.asarray(rng.normal(0.5, 2.0, (m, n)) / np.sqrt(0.3 * m), dtype)
        for m, n in itertools.pairwise(widths)
    ]
    spikes = jnp.asarray(rng.random((steps, batch, widths[0])) < 0.3, dtype)
    targets = jnp.asarray(rng.normal(size=(steps, batch, widths[-1])), dtype)
    return weights, (spikes, targets)


def counts(xs):
    """The same problem with targets that are equal at all steps: a loss of spike counts."""
    spikes, targets = xs
    return spikes, jnp.broadcast_to(targets[0], targets.shape)


def bptt(step, params, state, xs):
    """The gradient of the sum of losses over time, by reverse mode through all of it."""

    def total(params):
        return unroll(partial(step, params), state, xs, checkpoint=False)[1].sum()

    return jax.jit(jax.grad(total))(params)


def cosine(a, b):
    a, b = (np.concatenate([np.ravel(x) for x in jax.tree.leaves(tree)]) for tree in (a, b))
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))
