"""Objects of other frames pasted into a scene, with the points inside their boxes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .geometry import overlap_from_above, points_in_box


class ObjectStore(NamedTuple):
    """Objects that can be pasted.

    Attributes:
      boxes: float64 [K, 7]. kind: class of each, int32 [K]. level: difficulty of each, int32 [K].
      points: the points inside each box.
    """

    boxes: np.ndarray
    kind: np.ndarray
    level: np.ndarray
    points: tuple[np.ndarray, ...]

    @classmethod
    def of(cls, frames, least: int) -> ObjectStore:
        """The objects of a known class and difficulty with at least `least` points.

        Args:
          frames: (points [P, C], boxes [M, 7], class [M], difficulty [M]) of each frame. Objects
            of class -1 or difficulty 3 are left out.
        """
        boxes, kinds, levels, points = [], [], [], []
        for scene, frame_boxes, kind, level in frames:
            for m in np.flatnonzero((kind >= 0) & (level < 3)):
                inside = scene[points_in_box(scene, frame_boxes[m])]
                if len(inside) >= least:
                    boxes.append(frame_boxes[m])
                    kinds.append(kind[m])
                    levels.append(level[m])
                    points.append(inside.copy())
        return cls(
            np.array(boxes, np.float64).reshape(-1, 7),
            np.array(kinds, np.int32),
            np.array(levels, np.int32),
            tuple(points),
        )

    def draw(self, boxes: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
        """Indices of at most `count` random objects that overlap no box, nor each other.

        Args:
          boxes: all boxes of the scene, [M, 7]. count: candidates; those that overlap are left out.
        """
        size = min(count, len(self.points))
        candidates = rng.choice(len(self.points), size, replace=False) if size else []
        taken = np.asarray(boxes, np.float64).reshape(-1, 7)
        accepted = []
        for k in candidates:
            if not overlap_from_above(self.boxes[k], taken).any():
                accepted.append(int(k))
                taken = np.concatenate([taken, self.boxes[k : k + 1]])
        return np.array(accepted, np.int64)


def paste(scene: np.ndarray, store: ObjectStore, chosen: np.ndarray) -> np.ndarray:
    """A scene [P, C] without its points inside the boxes of the chosen objects, and their points.

    >>> car = np.array([[5.0, 0, 0, 4, 2, 2, 0]])
    >>> store = ObjectStore(car, np.array([0]), np.array([0]), (np.array([[5.0, 0.5, 0]]),))
    >>> paste(np.array([[5.0, 0, 0], [9, 9, 0]]), store, np.array([0])).tolist()
    [[9.0, 9.0, 0.0], [5.0, 0.5, 0.0]]
    """
    keep = np.ones(len(scene), bool)
    for k in chosen:
        keep &= ~points_in_box(scene, store.boxes[k])
    return np.concatenate([scene[keep], *(store.points[k] for k in chosen)])
