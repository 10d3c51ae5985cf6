"""Boxes by their centres: heat maps, codes relative to a cell, decoding.

Cells are given by their positions: all those of a map, or the occupied ones of a sparse tensor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from snnjax.boxes.coding import LARGEST
from snnjax.boxes.nms import Detections, suppress

CODES = 8
"""Codes of a box without velocity: x, y, z, three log sizes, cosine and sine."""


@dataclass(frozen=True)
class CentreMap:
    """Where the cells of a map lie."""

    x_range: tuple[float, float]
    """Range along x in metres."""
    y_range: tuple[float, float]
    """Range along y in metres."""
    pitch: tuple[float, float]
    """Length of a cell along x and y in metres."""

    def cells(self, xy: Array) -> Array:
        """Positions in metres [..., 2] in units of cells from the corner of the map."""
        return (xy - self._origin) / jnp.asarray(self.pitch, xy.dtype)

    def metres(self, cells: Array) -> Array:
        """The inverse of `cells`."""
        return cells * jnp.asarray(self.pitch, cells.dtype) + self._origin

    def inside(self, xy: Array) -> Array:
        """Whether positions in metres lie in the range, bool [...]."""
        (x0, x1), (y0, y1) = self.x_range, self.y_range
        x, y = xy[..., 0], xy[..., 1]
        return (x >= x0) & (x < x1) & (y >= y0) & (y < y1)

    @property
    def _origin(self) -> Array:
        return jnp.array([self.x_range[0], self.y_range[0]], jnp.float32)


class CentreTarget(NamedTuple):
    """What the predictions of one sample are compared with.

    Attributes:
      heat: [N, K] in [0, 1], by cell and class; 1 at the cell nearest to an object.
      cell: the row of that cell for each object, int32 [M].
      codes: codes of the objects relative to their cells, [M, 8] or [M, 10].
      used: bool [M], objects that are learned.
    """

    heat: Array
    cell: Array
    codes: Array
    used: Array


def gaussian_radius(length: Array, width: Array, overlap: float) -> Array:
    """How far a centre may be moved, in the units of the sizes, so that boxes still overlap.

    The smallest of three roots, for boxes that are shifted, contained or containing. The released
    detectors divide each by 2, not by 2a: the second is larger and, at overlaps below 1/4, the
    third smaller than the geometry gives. This is the released form.

    Law and Deng, "CornerNet: Detecting objects as paired keypoints", ECCV 2018.

    >>> round(float(gaussian_radius(jnp.array(6.5), jnp.array(3.0), 0.1)), 4)
    1.8647
    """
    area, border = length * width, length + width
    forms = (
        (1.0, border, area * (1 - overlap) / (1 + overlap)),
        (4.0, 2 * border, area * (1 - overlap)),
        (4 * overlap, -2 * overlap * border, area * (overlap - 1)),
    )
    roots = [(b + jnp.sqrt(jnp.maximum(b**2 - 4 * a * c, 0))) / 2 for a, b, c in forms]
    return jnp.minimum(jnp.minimum(roots[0], roots[1]), roots[2])


def encode_centres(boxes: Array, cells: Array, where: CentreMap) -> Array:
    """Codes of boxes relative to cells, broadcast: [..., 8], with velocities [..., 10].

        (x/p - i, y/p - j, z, ln l, ln w, ln h, cos yaw, sin yaw[, v_x, v_y])

    with x and y from the corner of the map, and i, j the integer position of the cell.

    Args:
      boxes: [..., 7], or [..., 9] with velocities. cells: positions x, y of cells, [..., 2].
      where: the map.
    """
    offset = where.cells(boxes[..., :2]) - cells
    yaw = boxes[..., 6:7]
    parts = [offset, boxes[..., 2:3], jnp.log(boxes[..., 3:6]), jnp.cos(yaw), jnp.sin(yaw)]
    return jnp.concatenate([*parts, boxes[..., 7:9]], -1)


def decode_centres(codes: Array, cells: Array, where: CentreMap) -> Array:
    """Boxes from codes relative to cells, the inverse of `encode_centres`: [..., 7] or [..., 9]."""
    xy = where.metres(codes[..., :2] + cells)
    size = jnp.exp(jnp.clip(codes[..., 3:6], -LARGEST, LARGEST))
    yaw = jnp.arctan2(codes[..., 7:8], codes[..., 6:7])
    return jnp.concatenate([xy, codes[..., 2:3], size, yaw, codes[..., 8:10]], -1)


def centre_targets(
    cells: Array,
    valid: Array,
    boxes: Array,
    box_class: Array,
    where: CentreMap,
    *,
    num_classes: int,
    overlap: float = 0.1,
    least: int = 2,
) -> CentreTarget:
    """Heat maps and codes of one sample.

        r = max(floor(gaussian_radius), least),   s = (2 r + 1) / 6
        heat_k(c) = max over objects of class k of exp(-d^2 / (2 s^2))

    with d the distance in cells of c from the centre of the object, and also from the nearest valid
    cell, which learns the object and where the heat is therefore 1.

    Args:
      cells: positions x, y of cells, [N, 2]. valid: bool [N].
      boxes: [M, 7], or [M, 9] with velocities. box_class: int [M], -1 in padded rows; objects
        outside the map or without area are left out.
      where: the map. num_classes: K. overlap: overlap for the radius. least: its least value.

    Chen et al., "VoxelNeXt: Fully sparse VoxelNet for 3D object detection and tracking", CVPR 2023.
    """
    used = (box_class >= 0) & where.inside(boxes[:, :2]) & (boxes[:, 3:5] > 0).all(-1)
    used &= valid.any()
    boxes = jnp.where(used[:, None], boxes, 1)  # padded rows may hold anything
    centre = where.cells(boxes[:, :2])
    size = boxes[:, 3:5] / jnp.asarray(where.pitch, boxes.dtype)
    radius = jnp.floor(gaussian_radius(size[:, 0], size[:, 1], overlap))
    sigma = (2 * jnp.maximum(radius, least) + 1) / 6
    squared = ((cells[:, None] - centre) ** 2).sum(-1)
    nearest = jnp.where(valid[:, None], squared, jnp.inf).argmin(0).astype(jnp.int32)
    about = ((cells[:, None] - cells[nearest]) ** 2).sum(-1)
    heat = jnp.exp(-jnp.minimum(squared, about) / (2 * sigma**2))
    heat = jnp.where(valid[:, None] & used, heat, 0)
    by_class = [jnp.where(box_class == k, heat, 0).max(1) for k in range(num_classes)]
    codes = encode_centres(boxes, cells[nearest], where)
    return CentreTarget(jnp.stack(by_class, -1), nearest, codes, used)


def centre_detections(
    heat: Array,
    codes: Array,
    cells: Array,
    valid: Array,
    where: CentreMap,
    *,
    top: int = 500,
    least: float = 0.1,
    limit: float = 0.2,
    keep: int = 83,
) -> Detections:
    """The detections of one sample and head.

    Args:
      heat: logits, [N, K]. codes: [N, 8] or [N, 10]. cells, valid, where: as in `centre_targets`.
      top: number of pairs of a cell and a class that are considered. least: least score.
      limit: largest overlap of two detections. keep: number of rows.
    """
    classes = heat.shape[-1]
    scores = jnp.where(valid[:, None], jax.nn.sigmoid(heat), -jnp.inf).ravel()
    best, rows = jax.lax.top_k(jnp.where(jnp.isnan(scores), -jnp.inf, scores), min(top, heat.size))
    cell, label = rows // classes, rows % classes
    boxes = decode_centres(codes[cell], cells[cell], where)
    return suppress(boxes, best, label, top=top, limit=limit, keep=keep, least=least)
