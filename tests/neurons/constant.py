"""Neurons on a constant current, for tests of when and how often they fire."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from snnjax.unroll import unroll


def fire(step, state, drives, steps: int) -> np.ndarray:
    """Spikes [steps, N] of a population of len(drives), each with its own constant current."""
    drives = jnp.asarray(drives, jnp.float32)

    @jax.jit
    def run(state):
        return unroll(step, state, jnp.broadcast_to(drives, (steps, *drives.shape)))[1]

    return np.asarray(run(state))


def intervals(spikes: np.ndarray, dt: float = 1.0) -> np.ndarray:
    """The times between the spikes of one neuron, [steps] in steps of dt."""
    return np.diff(np.flatnonzero(spikes)) * dt
