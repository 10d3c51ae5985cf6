"""Products of spikes with weights, and the matching sums over pre and post pairs.

A product is a function `(spikes, weight) -> current`, linear in both. Rules that take one as an
argument work for dense layers and convolutions alike.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.typing import ArrayLike

Product = Callable[[Array, Array], Array]


def dense(spikes: ArrayLike, weight: ArrayLike) -> Array:
    """Currents [..., N] of spikes [..., M] through weights [M, N]: spikes @ weight."""
    return jnp.matmul(jnp.asarray(spikes), jnp.asarray(weight))


@functools.cache
def convolution(
    strides: Sequence[int] = (1, 1), padding: str | tuple[tuple[int, int], ...] = "SAME"
) -> Product:
    """A convolution as a product: channels last, weights [*K, M, N] as in Flax.

    Args:
      strides: one number per spatial axis; their count is the number of spatial axes.
      padding: "SAME", "VALID" or (low, high) for each spatial axis.

    Returns:
      `(spikes [..., *S, M], weight [*K, M, N]) -> current [..., *S', N]`; the same object for the
      same arguments.

    >>> convolution((2, 2))(jnp.ones((3, 4, 4, 1)), jnp.ones((2, 2, 1, 5))).shape
    (3, 2, 2, 5)
    """
    space = len(strides)

    def product(spikes: ArrayLike, weight: ArrayLike) -> Array:
        spikes, weight = jnp.asarray(spikes), jnp.asarray(weight)
        flat = spikes.reshape(-1, *spikes.shape[spikes.ndim - space - 1 :])
        last = (0, space + 1, *range(1, space + 1))
        kernel = (space + 1, space, *range(space))
        numbers = lax.ConvDimensionNumbers(last, kernel, last)
        out = lax.conv_general_dilated(flat, weight, strides, padding, dimension_numbers=numbers)
        return out.reshape(*spikes.shape[: spikes.ndim - space - 1], *out.shape[1:])

    return product


def pairs(product: Product, pre: ArrayLike, post: ArrayLike, weight: ArrayLike) -> Array:
    """The sum of pre * post over the pairs that each weight connects, over batch and space.

    It is the transpose of the product in its weight; for `dense`: sum_b pre[b, m] post[b, n].

    Args:
      product: `dense`, a `convolution` or a custom one.
      pre: values of the inputs, as the product expects them.
      post: values of the outputs, as the product returns them.
      weight: used only for its shape and dtype.

    Returns:
      Sums, shape and dtype of `weight`.

    >>> pre, post = jnp.array([[1.0, 2.0], [3.0, 0.0]]), jnp.array([[1.0], [10.0]])
    >>> pairs(dense, pre, post, jnp.zeros((2, 1))).tolist()
    [[31.0], [2.0]]
    """
    pre, post, weight = map(jnp.asarray, (pre, post, weight))
    pre = pre.astype(weight.dtype)
    out, transpose = jax.vjp(lambda w: product(pre, w), weight)
    if out.shape != post.shape:
        raise ValueError(
            f"inputs {pre.shape} and weights {weight.shape} give outputs {out.shape}, but the "
            f"outputs' spikes have shape {post.shape}. Weights are [inputs, outputs]."
        )
    return transpose(post.astype(out.dtype))[0]


def pairs_each(
    product: Product, pre: ArrayLike, post: ArrayLike, weight: ArrayLike, axes: int
) -> Array:
    """`pairs` for each sample of the first `axes` axes of `pre` and `post`: [*B, *weight.shape].

    >>> pre, post = jnp.array([[1.0, 2.0], [3.0, 0.0]]), jnp.array([[1.0], [10.0]])
    >>> pairs_each(dense, pre, post, jnp.zeros((2, 1)), 1).tolist()
    [[[1.0], [2.0]], [[30.0], [0.0]]]
    """
    pre, post, weight = map(jnp.asarray, (pre, post, weight))
    one = functools.partial(pairs, product, weight=weight)
    for _ in range(axes):
        one = jax.vmap(one)
    return one(pre, post)
