"""What a detector with centre heads returns."""

from __future__ import annotations

from typing import NamedTuple

from jax import Array


class CentreMaps(NamedTuple):
    """Predictions at N cells of a map of the ground: all of them, or the occupied ones.

    Attributes:
      heat: logits of the classes of each head, a tuple of [B, N, K_h].
      codes: codes of the boxes by each head, a tuple of [B, N, 8], or [B, N, 10] with velocities,
        see `snnjax.boxes.encode_centres`.
      cells: positions x, y of the cells, counted from the corner of the map, float [B, N, 2].
      valid: bool [B, N], cells that exist.
      overflow: entries beyond the capacities, int32 [B]; 0 for a dense model.
    """

    heat: tuple[Array, ...]
    codes: tuple[Array, ...]
    cells: Array
    valid: Array
    overflow: Array | int = 0
