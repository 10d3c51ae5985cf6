"""Gradients from forward passes only: directional derivatives and finite perturbations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike


def forward_gradient(
    loss: Callable[[Any], Array], params: Any, *, key: Array, samples: int = 1
) -> tuple[Array, Any]:
    """An unbiased estimate of a gradient by forward mode, without a backward pass.

        v ~ N(0, 1);   dW = (dloss/dparams . v) v        averaged over `samples`

    Its memory does not grow with time. Surrogate derivatives apply, so its mean is the gradient of
    backpropagation through time; its variance grows with the number of parameters.

    Args:
      loss: `loss(params)`, a scalar; it must allow forward mode.
      params: pytree of floating arrays.
      key: random key. samples: number of directions, at least 1; they run in parallel.

    Returns:
      The loss, and an estimate shaped like `params`.

    Baydin et al., "Gradients without Backpropagation", 2022.

    >>> value, grad = forward_gradient(lambda w: 3.0 * w, 1.0, key=jax.random.key(0), samples=2000)
    >>> float(value), bool(abs(grad - 3.0) < 0.5)
    (3.0, True)
    """

    def along(v: Any) -> tuple[Array, Array]:
        return jax.jvp(loss, (params,), (v,))

    return _average(along, params, key, samples)


def perturbation_gradient(
    loss: Callable[[Any], Array],
    params: Any,
    *,
    key: Array,
    size: ArrayLike = 1e-2,
    samples: int = 1,
) -> tuple[Array, Any]:
    """An estimate of a gradient by finite perturbations, without any derivative.

        v ~ N(0, 1);   dW = (loss(params + size v) - loss(params)) / size * v     averaged

    Its mean is the gradient of the loss smoothed by noise of this size: the true loss with its
    discontinuities, without a surrogate. It takes samples + 1 passes.

    Args:
      loss, params, key, samples: as for `forward_gradient`; the loss need not be differentiable.
      size: size of the perturbation.

    Returns:
      The loss, and an estimate shaped like `params`.

    Nesterov and Spokoiny, "Random gradient-free minimization of convex functions", Foundations of
    Computational Mathematics 2017.

    >>> loss = lambda w: 3.0 * w
    >>> _, grad = perturbation_gradient(loss, 1.0, key=jax.random.key(0), samples=2000)
    >>> bool(abs(grad - 3.0) < 0.5)
    True
    """
    params = jax.tree.map(jnp.asarray, params)
    value = jnp.asarray(loss(params))

    def along(v: Any) -> tuple[Array, Array]:
        moved = jax.tree.map(lambda p, d: p + jnp.asarray(size, p.dtype) * d, params, v)
        return value, (loss(moved) - value) / jnp.asarray(size, value.dtype)

    return _average(along, params, key, samples)


def _average(
    along: Callable[[Any], tuple[Array, Array]], params: Any, key: Array, samples: int
) -> tuple[Array, Any]:
    """The loss, and the mean of slope * direction over random directions."""
    if samples < 1:
        raise ValueError(f"`samples` must be at least 1; got {samples}.")
    leaves, tree = jax.tree.flatten(jax.tree.map(jnp.asarray, params))

    def one(key: Array) -> tuple[Array, list[Array]]:
        keys = jax.random.split(key, len(leaves))
        v = [jax.random.normal(k, p.shape, p.dtype) for k, p in zip(keys, leaves, strict=True)]
        value, slope = along(jax.tree.unflatten(tree, v))
        return value, [slope.astype(d.dtype) * d for d in v]

    values, grads = jax.vmap(one)(jax.random.split(key, samples))
    return values[0], jax.tree.unflatten(tree, [g.mean(0) for g in grads])
