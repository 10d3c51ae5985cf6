"""Real-time recurrent learning with dense Jacobians: exact online gradients of tiny networks."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree


def rtrl_gradient(step, params, state, xs):
    """The gradient of sum_t loss_t of `step(params, state, x) -> (state, loss)`.

    influence' = dstate'/dparams + dstate'/dstate influence, a matrix of states by parameters.
    """
    theta, unflatten = ravel_pytree(params)
    h, restore = ravel_pytree(state)

    def flat(theta, h, x):
        after, loss = step(unflatten(theta), restore(h), x)
        return ravel_pytree(after)[0], loss

    def body(carry, x):
        h, influence, grad = carry
        after, _ = flat(theta, h, x)
        (h_theta, h_h), (l_theta, l_h) = jax.jacfwd(flat, argnums=(0, 1))(theta, h, x)
        return (after, h_theta + h_h @ influence, grad + l_theta + l_h @ influence), None

    start = h, jnp.zeros((h.size, theta.size), h.dtype), jnp.zeros_like(theta)
    (_, _, grad), _ = jax.lax.scan(body, start, xs)
    return unflatten(grad)
