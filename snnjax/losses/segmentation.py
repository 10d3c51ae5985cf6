"""Losses of semantic segmentation: cross-entropy of rows with classes, and Lovász-softmax."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike


def masked_cross_entropy(
    logits: ArrayLike, label: ArrayLike, class_weights: ArrayLike | None = None
) -> tuple[Array, Array]:
    """Cross-entropy of labelled rows, weighted by class.

        sum_i w[y_i] (-log softmax(z_i)[y_i]),   sum_i w[y_i]      over the rows i with y_i >= 0

    The loss is the ratio of the two, of all samples and devices together: the divisor is the sum of
    weights, and 0 where no row has a label.

    Args:
      logits: z, [..., N, K].
      label: y, int [..., N]; negative ones are ignored, and K or more give NaN.
      class_weights: w, [K]; 1 by default.

    Returns:
      The sum and the divisor of each sample, [...] each, float32 at least.

    >>> z = jnp.log(jnp.array([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.4, 0.4, 0.2]]))
    >>> total, weight = masked_cross_entropy(z, jnp.array([0, 1, -1]), jnp.array([1.0, 2, 4]))
    >>> round(float(total), 4), float(weight)
    (1.3783, 3.0)
    """
    logits, label = _checked(logits, label)
    classes, dtype = logits.shape[-1], jnp.promote_types(logits.dtype, jnp.float32)
    weights = jnp.ones(classes, dtype) if class_weights is None else jnp.asarray(class_weights)
    if weights.shape != (classes,):
        raise ValueError(f"class_weights must be [K] = [{classes}]; got {weights.shape}.")
    known = label >= 0
    own = jnp.where(known, label, 0)
    found = jax.nn.log_softmax(logits.astype(dtype))
    found = jnp.take_along_axis(found, own[..., None], axis=-1)[..., 0]  # NaN beyond K - 1
    weight = jnp.where(known, weights.astype(dtype)[own], 0)
    return jnp.where(known, -weight * found, 0).sum(-1), weight.sum(-1)


def lovasz_softmax(probabilities: ArrayLike, label: ArrayLike) -> Array:
    """The Lovász extension of 1 - IoU, mean over the classes that are present.

    For each class c, with errors m_i = |1[y_i = c] - p_i(c)| in descending order and g_i = 1[y_i =
    c] in that order, G = sum g:

        J_k = 1 - (G - sum_{j<=k} g_j) / (G + sum_{j<=k} (1 - g_j)),   J_0 = 0
        L_c = sum_k m_(k) (J_k - J_{k-1})

    There is no gradient through J. Equal errors keep their order: it changes the gradient, but not
    the value. Ignored rows have no influence. One sample of [..., N, K] is one set; sums of ones
    are exact up to 2^24 rows.

    Args:
      probabilities: p, [..., N, K], each row summing to 1.
      label: y, int [..., N]; negative ones are ignored.

    Returns:
      L, [...], float32 at least; 0 without a labelled row.

    Source: Berman, Triki and Blaschko, "The Lovász-Softmax loss", CVPR 2018.

    >>> p = jnp.array([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.4, 0.4, 0.2], [0.2, 0.3, 0.5]])
    >>> round(float(lovasz_softmax(p, jnp.array([0, 1, 2, -1]))), 6)
    0.516667
    """
    p, label = _checked(probabilities, label)
    p = p.astype(jnp.promote_types(p.dtype, jnp.float32))
    flat = p.reshape(-1, *p.shape[-2:]), label.reshape(-1, label.shape[-1])
    return jax.vmap(_lovasz)(*flat).reshape(label.shape[:-1])


def _lovasz(p: Array, label: Array) -> Array:
    """The loss of one set, [N, K] and [N]."""
    known = label >= 0

    def one(given: tuple[Array, Array]) -> tuple[Array, Array]:
        share, kind = given
        own = label == kind
        error = jnp.where(known, jnp.abs(own - share), -1)  # ignored rows sort last
        order = jnp.argsort(jax.lax.stop_gradient(-error), stable=True)
        steps = _steps(own[order].astype(p.dtype), (known & ~own)[order].astype(p.dtype))
        return jnp.dot(error[order], steps), own.any()

    losses, present = jax.lax.map(one, (p.T, jnp.arange(p.shape[-1])))
    total = jnp.where(present, losses, 0).sum()
    return total / jnp.maximum(present.sum(), 1).astype(p.dtype)


def _steps(own: Array, other: Array) -> Array:
    """J_k - J_{k-1}, [N], for rows of the class and rows of other classes in descending order."""
    total = own.sum()
    union = total + jnp.cumsum(other)
    jaccard = 1 - (total - jnp.cumsum(own)) / jnp.maximum(union, 1)
    return jnp.diff(jaccard, prepend=0)


def _checked(scores: ArrayLike, label: ArrayLike) -> tuple[Array, Array]:
    scores, label = jnp.asarray(scores), jnp.asarray(label)
    if scores.ndim < 2 or label.shape != scores.shape[:-1] or label.dtype.kind not in "iu":
        raise ValueError(
            f"scores must be [..., N, K] and label int [..., N]; got {scores.shape} and "
            f"{label.dtype} {label.shape}."
        )
    return scores, label
