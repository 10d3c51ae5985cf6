"""Random transformations of a batch of clouds, on the host, vectorised over the batch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from .rotations import about_axis, uniform_rotations

Rotation = Literal["none", "x", "y", "z", "so3"]
INSIDE = 0.999  # the largest coordinate after augmentation


@dataclass(frozen=True)
class Augment:
    """Random transformations of a training cloud, applied in this order.

        p = p * (mirror * stretch * scale);  p = p R;  p = p + jitter;  drop and crop points
        p = p * min(1, 0.999 / max|p|);      p = p + shift, as far as [-1, 1]^3 leaves room

    A cloud is therefore never clipped at the border of the grid. Normals (columns 3..5 of six) are
    transformed by the inverse transpose and keep unit length.
    """

    rotate: Rotation = "none"
    """rotation: "none", about one axis ("x", "y", "z"), or any of SO(3) ("so3")"""
    scale: tuple[float, float] = (1.0, 1.0)
    """range of one factor for all axes; above 1 only where the cloud leaves room"""
    stretch: tuple[float, float] = (1.0, 1.0)
    """range of a factor for each axis"""
    shift: float = 0.0
    """largest shift along each axis, in grid units (the grid spans 2)"""
    jitter: float = 0.0
    """standard deviation of the noise on each coordinate, clipped at three of them"""
    drop: float = 0.0
    """largest fraction of the points left out, wherever they are"""
    flip: bool = False
    """mirror x, and y, each in half of the clouds"""
    angle: float = 180.0
    """largest turn about the axis to either side, in degrees"""
    crop_fraction: float = 0.0
    """largest fraction of the points left out on one side of a random plane: occlusion"""

    def __post_init__(self):
        if self.rotate not in ("none", "x", "y", "z", "so3"):
            raise ValueError(
                f'`rotate` must be "none", "x", "y", "z" or "so3"; got {self.rotate!r}'
            )
        for name in ("scale", "stretch"):
            low, high = getattr(self, name)
            if not 0 < low <= high < np.inf:
                raise ValueError(
                    f"`{name}` must be (low, high) with 0 < low <= high; got {low, high}"
                )
        for name in ("shift", "jitter"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"`{name}` must be in [0, 1); got {getattr(self, name)}")
        for name in ("drop", "crop_fraction"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(
                    f"`{name}` must be in [0, 1); got {getattr(self, name)}. "
                    "0.2 leaves out up to a fifth"
                )
        if not 0 < self.angle <= 180:
            raise ValueError(f"`angle` must be in (0, 180] degrees; got {self.angle}")
        if self.angle != 180 and self.rotate not in ("x", "y", "z"):
            raise ValueError(
                f"`angle` limits turns about one axis; got {self.angle} with rotate="
                f'{self.rotate!r}. Set rotate="z", or leave `angle` out'
            )

    @property
    def keeping_all(self) -> Augment:
        """These augmentations without those that leave out points."""
        return replace(self, drop=0.0, crop_fraction=0.0)

    def __call__(
        self, points: np.ndarray, count: np.ndarray, rngs: list[np.random.Generator]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Transform a batch; sample b uses only draws from rngs[b].

        Args:
          points: float32 [B, P, C], zeros after the count. count: int32 [B]. rngs: B generators.

        Returns:
          new points float32 [B, P, C] and counts int32 [B].
        """
        q = np.stack([rng.random(13, dtype=np.float32) for rng in rngs])
        valid = np.arange(points.shape[1]) < count[:, None]
        matrix = self._matrices(q)
        xyz = points[..., :3] @ matrix
        features = points[..., 3:]
        if features.shape[-1] == 3:
            features = _unit_rows(features @ np.linalg.inv(matrix).transpose(0, 2, 1))
        if self.jitter:
            noise = np.stack([r.standard_normal(xyz.shape[1:], dtype=np.float32) for r in rngs])
            np.clip(noise, -3, 3, out=noise)
            noise *= np.float32(self.jitter)
            xyz += noise * valid[..., None]
        out = xyz if features.shape[-1] == 0 else np.concatenate([xyz, features], axis=-1)
        if self.drop or self.crop_fraction:
            out, count = _compact(out, self._kept(xyz, valid, q[:, 9:10], rngs))
            valid = np.arange(points.shape[1]) < count[:, None]
        self._place(out[..., :3], valid, q[:, 10:13])
        return out, count.astype(np.int32)

    def _matrices(self, q: np.ndarray) -> np.ndarray:
        """One linear map for each sample, float32 [B, 3, 3], for row vectors."""
        factor = _between(q[:, :1], self.scale) * _between(q[:, 1:4], self.stretch)
        if self.flip:
            factor[:, :2] *= np.where(q[:, 4:6] < 0.5, -1, 1)
        if self.rotate == "none":
            return factor[:, None] * np.eye(3, dtype=np.float32)
        if self.rotate == "so3":
            turn = uniform_rotations(q[:, 6:9])
        else:
            angle = np.pi / 180 * self.angle * (2 * ((q[:, 6] + 0.5) % 1) - 1)
            turn = about_axis(angle, "xyz".index(self.rotate))
        return factor[:, :, None] * turn

    def _kept(
        self, xyz: np.ndarray, valid: np.ndarray, q: np.ndarray, rngs: list[np.random.Generator]
    ) -> np.ndarray:
        """Mark the points that are neither dropped nor cropped; the first point always stays."""
        keep = valid.copy()
        if self.drop:
            chance = np.stack([rng.random(valid.shape[1], dtype=np.float32) for rng in rngs])
            keep &= chance >= self.drop * q
        if self.crop_fraction:
            plane = np.stack([rng.random(4, dtype=np.float32) for rng in rngs])
            keep &= _this_side(xyz, keep, self.crop_fraction * plane[:, 0], plane[:, 1:])
        keep[:, 0] |= valid[:, 0] & ~keep.any(1)
        return keep

    def _place(self, xyz: np.ndarray, valid: np.ndarray, q: np.ndarray) -> None:
        """Shrink clouds that exceed the cube, then shift within it; in place."""
        columns = np.ascontiguousarray(xyz.transpose(0, 2, 1))  # ten times faster to reduce
        low, high = columns.min(2), columns.max(2)
        extent = np.maximum(np.maximum(high, -low).max(1), INSIDE)
        shrink = (np.float32(INSIDE) / extent)[:, None]
        xyz *= shrink[..., None]
        if self.shift:
            shift = np.float32(self.shift) * (2 * q - 1)
            shift = np.clip(shift, -INSIDE - low * shrink, INSIDE - high * shrink)
            xyz += shift[:, None] * valid[..., None]


def _this_side(
    xyz: np.ndarray, keep: np.ndarray, fraction: np.ndarray, q: np.ndarray
) -> np.ndarray:
    """Mark all but the given fraction of each cloud, the part that lies furthest along a direction.

    The third row of a uniform rotation is a uniform direction.
    """
    along = np.einsum("bpc,bc->bp", xyz, uniform_rotations(q)[:, 2])
    along[~keep] = np.inf
    left = np.ceil((1 - fraction) * keep.sum(1)).astype(np.int64)
    last = np.take_along_axis(np.sort(along, axis=1), np.maximum(left - 1, 0)[:, None], axis=1)
    return along <= last


def _compact(points: np.ndarray, keep: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Move the kept points of each cloud to its front, in order; zeros follow."""
    count = keep.sum(1)
    out = np.zeros_like(points)
    out[np.arange(keep.shape[1]) < count[:, None]] = points[keep]  # both in row-major order
    return out, count


def _between(q: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    return np.float32(limits[0]) + np.float32(limits[1] - limits[0]) * q


def _unit_rows(x: np.ndarray) -> np.ndarray:
    norm = np.sqrt(np.einsum("bmc,bmc->bm", x, x))[..., None]
    return x / np.where(norm > 0, norm, 1)
