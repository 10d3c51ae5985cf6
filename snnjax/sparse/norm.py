"""Batch normalisation over the occupied rows of a batch."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Int

from snnjax.sparse.tensor import valid_rows


def masked_moments(
    feats: Float[Array, "*T B N C"], n: Int[Array, " B"], *, axis_name: str | None = None
) -> tuple[Array, Array]:
    """Mean and (biased) variance of each channel over the occupied rows and time.

        mean = sum(x) / count,   var = sum(x^2) / count - mean^2,   count = max(T * sum(n), 1)

    Sums are taken in float32 at least. Rows beyond `n` are zero by the invariant of SparseTensor,
    so the sums need no mask.

    Args:
      feats: features [T?, B, N, C], zero in invalid rows.
      n: occupied rows per sample, int32 [B].
      axis_name: mesh axis over which sums and counts are added, inside `shard_map` or `pmap`.

    Returns:
      mean [C] and var [C].
    """
    wide = feats.astype(jnp.promote_types(feats.dtype, jnp.float32))
    axes = tuple(range(feats.ndim - 1))
    steps = feats.shape[0] if feats.ndim == 4 else 1
    sums = wide.sum(axes), jnp.square(wide).sum(axes), (steps * n.sum()).astype(wide.dtype)
    if axis_name is not None:
        sums = jax.lax.psum(sums, axis_name)
    total, squares, count = sums
    count = jnp.maximum(count, 1)
    mean = total / count
    return mean, jnp.maximum(squares / count - jnp.square(mean), 0)


def masked_normalise(
    feats: Float[Array, "*T B N C"],
    n: Int[Array, " B"],
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
    gain = scale * jax.lax.rsqrt(var + eps)
    mask = valid_rows(n, feats.shape[-2])[..., None]
    out = feats * gain + (shift - mean * gain)
    return jnp.where(mask, out, 0).astype(feats.dtype)
