"""Classes of points and of boxes, and how strongly each material reflects."""

from __future__ import annotations

from typing import NamedTuple


class Material(NamedTuple):
    """A class of points.

    Attributes:
      semantic_kitti: raw class number of SemanticKITTI.
      mean, spread, grain: reflectance is mean + spread * N(object) + grain * N(point).
    """

    semantic_kitti: int
    mean: float
    spread: float
    grain: float


MATERIALS = {
    "car": Material(10, 0.35, 0.25, 0.08),
    "other-vehicle": Material(20, 0.40, 0.20, 0.08),
    "person": Material(30, 0.35, 0.15, 0.10),
    "bicyclist": Material(31, 0.35, 0.15, 0.10),
    "road": Material(40, 0.26, 0.05, 0.07),
    "parking": Material(44, 0.28, 0.05, 0.07),
    "sidewalk": Material(48, 0.33, 0.06, 0.08),
    "building": Material(50, 0.32, 0.12, 0.10),
    "fence": Material(51, 0.34, 0.12, 0.12),
    "vegetation": Material(70, 0.28, 0.06, 0.14),
    "trunk": Material(71, 0.30, 0.08, 0.10),
    "terrain": Material(72, 0.30, 0.06, 0.12),
    "pole": Material(80, 0.38, 0.15, 0.10),
    "traffic-sign": Material(81, 0.75, 0.15, 0.15),
}
POINT_CLASSES = tuple(MATERIALS)
BOX_CLASSES = ("Car", "Van", "Truck", "Pedestrian", "Cyclist")
INDEX = {name: i for i, name in enumerate(POINT_CLASSES)}
