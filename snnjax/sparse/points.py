"""From the rows of a sparse tensor back to the points that fell into them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Int, Shaped


def point_values(
    values: Shaped[Array, "*T B N *C"], rows: Int[Array, "P_batch P"], *, missing: float = 0
) -> Array:
    """The value of each point's row: predictions of voxels as predictions of points.

    Args:
      values: what the rows hold, features [T?, B, N, C] or labels [B, N].
      rows: the row of each point from `point_rows`, [B, P]; with packed samples [B * samples, P].
      missing: value of points without a row, which were outside of the grid or beyond the capacity.

    Returns:
      [T?, B, P, C] or [B, P], with B the number of clouds.

    >>> labels, rows = jnp.array([[7, 8, 9]]), jnp.array([[2, 0, 0, 3]])  # 3 rows: 3 is none
    >>> point_values(labels, rows, missing=-1).tolist()
    [[9, 7, 7, -1]]
    """
    rows = jnp.asarray(rows)
    lead = values.ndim - 3 if values.ndim > 2 else 0
    if values.ndim not in (2, 3, 4) or rows.ndim != 2 or len(rows) % values.shape[lead]:
        raise ValueError(
            "values must be [T?, B, N, C] or [B, N], and rows [B * samples, P]; got "
            f"{values.shape} and {rows.shape}."
        )
    grids = values.shape[lead]
    take = jax.vmap(lambda v, r: v.at[r].get(mode="fill", fill_value=missing))
    take = jax.vmap(take, in_axes=(0, None)) if lead else take
    taken = take(values, rows.reshape(grids, -1))
    return taken.reshape(*values.shape[:lead], *rows.shape, *values.shape[lead + 2 :])
