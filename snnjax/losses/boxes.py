"""Losses of coded boxes: smooth L1, the sine of a heading, corners."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from snnjax.boxes import corners


def smooth_l1(difference: Array, beta: float = 1.0) -> Array:
    """Squared near 0, absolute beyond `beta`, for each entry.

        |d| < beta: d^2 / (2 beta);   else |d| - beta/2

    The Huber loss with threshold beta is beta times this.

    >>> smooth_l1(jnp.array([0.5, -2.0])).tolist()
    [0.125, 1.5]
    """
    size = jnp.abs(difference)
    return jnp.where(size < beta, 0.5 * size**2 / beta, size - 0.5 * beta)


def code_loss(predicted: Array, target: Array, beta: float = 1 / 9) -> Array:
    """Smooth L1 summed over the codes of boxes, the last as a sine: [..., 7] to [...].

        sum_{i < 6} smooth_l1(p_i - t_i) + smooth_l1(sin(p_6 - t_6))

    The sine does not tell a heading from its opposite; the direction bin must.

    >>> float(code_loss(jnp.zeros(7), jnp.zeros(7).at[6].set(jnp.pi))) < 1e-6
    True
    """
    difference = predicted - target
    turn = jnp.sin(difference[..., 6:7])
    return smooth_l1(jnp.concatenate([difference[..., :6], turn], -1), beta).sum(-1)


def corner_loss(predicted: Array, target: Array) -> Array:
    """Mean over eight corners of the Huber loss of their distance: boxes [..., 7] to [...].

    For each corner the smaller of its distances to that of the true box and of the true box turned
    by half a turn.

    Qi et al., "Frustum PointNets for 3D Object Detection from RGB-D Data", CVPR 2018.
    """
    turned = target.at[..., 6].add(jnp.pi)
    found = corners(predicted)
    squares = [((found - corners(box)) ** 2).sum(-1) for box in (target, turned)]
    least = jnp.minimum(*squares)
    # The distance has no gradient at 0, where its Huber loss has one.
    far = jnp.sqrt(jnp.where(least < 1, 1, least)) - 0.5
    return jnp.where(least < 1, 0.5 * least, far).mean(-1)
