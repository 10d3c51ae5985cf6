"""Delays are recovered from the outputs of a layer that has them; repulsion keeps taps apart."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from experiments.teacher_student import learn


def test_a_student_finds_delays_of_its_teacher_and_repulsion_separates_its_taps():
    """Two seeds alone and with repulsion, in one program."""
    seeds = jnp.repeat(jax.random.split(jax.random.key(0), 4)[:2], 2)
    run = partial(learn, shape=(2, 2), taps=2)
    found = jax.jit(jax.vmap(lambda key, weight: run(key, repulsion=weight)))(
        seeds, jnp.array([0.0, 0.1, 0.0, 0.1])
    )
    found = jax.tree.map(np.asarray, found)
    assert (found.error < 0.7 * found.before).all()
    assert (found.exact >= 0.5).all()  # of those drawn, one of 25
    assert (found.residual < 0.15).all()
    assert (found.collisions[::2] > 0).all()
    assert (found.collisions[1::2] == 0).all()
