"""Batch normalisation over the occupied rows of a batch."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Float, Int

from snnjax.sparse.tensor import valid_rows

MOMENTS = "moments"
"""Name under which `jax.checkpoint` can save the sums of a norm, to reduce over devices once."""


def masked_moments(
    feats: Float[Array, "*T B N C"], n: Int[Array, " B"] | None, *, axis_name: str | None = None
) -> tuple[Array, Array]:
    """Mean and (biased) variance of each channel over the occupied rows and time.

        mean = sum(x) / count,   var = sum(x^2) / count - mean^2,   count = max(T * sum(n), 1)

    Sums are taken in float32 at least. Rows beyond `n` are ignored and get no gradient.

    Args:
      feats: features [T?, B, N, C].
      n: occupied rows per sample, int32 [B]; None for all, and features of any [..., C].
      axis_name: mesh axis over which sums and counts are added, inside `shard_map` or `pmap`.

    Returns:
      mean [C] and var [C].
    """
    wide = _occupied(feats, n).astype(np.promote_types(feats.dtype, np.float32))
    axes = tuple(range(feats.ndim - 1))
    sums = wide.sum(axes), jnp.square(wide).sum(axes), occupied_rows(feats, n).astype(wide.dtype)
    if axis_name is not None:
        sums = jax.lax.psum(sums, axis_name)
    total, squares, count = checkpoint_name(sums, MOMENTS)
    count = jnp.maximum(count, 1)
    mean = total / count
    return mean, jnp.maximum(squares / count - jnp.square(mean), 0)


def masked_normalise(
    feats: Float[Array, "*T B N C"],
    n: Int[Array, " B"] | None,
    mean: Float[Array, " C"],
    var: Float[Array, " C"],
    scale: Float[Array, " C"],
    shift: Float[Array, " C"],
    *,
    eps: float = 1e-3,
) -> Array:
    """Normalise each channel, and zero the rows beyond `n` again.

    y = scale * (x - mean) / sqrt(var + eps) + shift        in occupied rows, else 0
    """
    dtype = np.result_type(*(a.dtype for a in (feats, mean, var, scale, shift)))
    wide, mean, var, scale, shift = (a.astype(dtype) for a in (feats, mean, var, scale, shift))
    gain = scale * jax.lax.rsqrt(var + eps)
    out = wide * gain + (shift - mean * gain)
    return _occupied(out, n).astype(feats.dtype)


def occupied_rows(feats: Array, n: Array | None) -> Array:
    """The number of valid rows over all steps, int32 []."""
    if n is None:
        return jnp.asarray(feats.size // feats.shape[-1], jnp.int32)
    return (feats.shape[0] if feats.ndim == 4 else 1) * n.sum()


def _occupied(feats: Array, n: Array | None) -> Array:
    """`feats` with zeros in the invalid rows."""
    if n is None:
        return feats
    return jnp.where(valid_rows(n, feats.shape[-2])[..., None], feats, 0)
