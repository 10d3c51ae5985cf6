"""The nuScenes detection benchmark: precision by distance of centres, errors of matches, NDS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from snnjax.boxes import wrap

NUSCENES_RANGES = {
    "car": 50.0, "truck": 50.0, "bus": 50.0, "trailer": 50.0, "construction_vehicle": 50.0,
    "pedestrian": 40.0, "motorcycle": 40.0, "bicycle": 40.0,
    "traffic_cone": 30.0, "barrier": 30.0,
}  # fmt: skip
"""Classes, and the distance in metres up to which their objects count."""

DISTANCES = (0.5, 1.0, 2.0, 4.0)
"""Distances of centres in metres within which a match counts."""
ERROR_DISTANCE = 2.0
"""The distance at which errors of matches are measured."""
LEAST = 0.1
"""Recall and precision up to here are left out."""
ERRORS = ("translation", "scale", "orientation", "velocity", "attribute")
UNDEFINED = {
    "traffic_cone": ("orientation", "velocity", "attribute"),
    "barrier": ("velocity", "attribute"),
}
"""Errors that a class does not have."""
_RECALL = np.linspace(0, 1, 101)
_FIRST = round(100 * LEAST) + 1


class NuScenesObjects(NamedTuple):
    """The objects of a key frame, or the detections in it, in the frame of the vehicle.

    Attributes:
      kinds: the class of each.
      boxes: [M, 7], see `snnjax.boxes`.
      velocity: along x and y, [M, 2]; NaN where unknown.
      attribute: int [M], -1 where the object has none; None if none are known.
      scores: [M]; None for labels.
    """

    kinds: Sequence[str]
    boxes: np.ndarray
    velocity: np.ndarray
    attribute: np.ndarray | None = None
    scores: np.ndarray | None = None


class _Row(NamedTuple):
    """Matches of one class at one distance, in the order of falling scores."""

    scores: np.ndarray  # [D]
    hit: np.ndarray  # bool [D]
    errors: np.ndarray  # of the hits, [H, 5]
    count: int


@dataclass(frozen=True)
class NuScenesScores:
    """The scores of a split.

    Attributes:
      precision: mean over the four distances, in [0, 1], by class.
      errors: by name of the error, mean over the classes that have it; smaller is better.
      mean_precision: mAP, mean over classes.
      nds: (5 mAP + sum over the five errors of max(0, 1 - error)) / 10.
    """

    precision: dict[str, float]
    errors: dict[str, float]
    mean_precision: float
    nds: float


def nuscenes_scores(
    truth: Sequence[NuScenesObjects],
    found: Sequence[NuScenesObjects],
    ranges: Mapping[str, float] = NUSCENES_RANGES,
) -> NuScenesScores:
    """Mean average precision and the nuScenes detection score.

    Labelled objects without any LiDAR or radar point do not count in the benchmark; leave them out.

    Args:
      truth: labels of each key frame. found: detections in the same frames, with scores.
      ranges: classes that are scored, and the distance from the vehicle up to which labels and
        detections count.

    Raises:
      ValueError: unequal numbers of frames, or scores that are not finite.

    Caesar et al., "nuScenes: A multimodal dataset for autonomous driving", CVPR 2020.
    """
    if len(truth) != len(found):
        raise ValueError(
            f"labels and detections must be of the same frames; got {len(truth)} and {len(found)}."
        )
    precision, errors = {}, []
    for kind, reach in ranges.items():
        pairs = [
            (_of_kind(a, kind, reach), _of_kind(b, kind, reach))
            for a, b in zip(truth, found, strict=True)
        ]
        rows = {d: _match(pairs, d, kind) for d in sorted({*DISTANCES, ERROR_DISTANCE})}
        precision[kind] = float(np.mean([_precision(rows[d]) for d in DISTANCES]))
        one = _errors(rows[ERROR_DISTANCE])
        one[[ERRORS.index(name) for name in UNDEFINED.get(kind, ())]] = np.nan
        errors.append(one)
    table = np.array(errors)
    known = ~np.isnan(table)
    means = np.where(known, table, 0).sum(0) / np.maximum(known.sum(0), 1)
    mean = float(np.mean(list(precision.values())))
    nds = (5 * mean + float(np.maximum(0, 1 - means).sum())) / 10
    return NuScenesScores(precision, dict(zip(ERRORS, means.tolist(), strict=True)), mean, nds)


def distance_precision(
    truth: Sequence[NuScenesObjects],
    found: Sequence[NuScenesObjects],
    kind: str,
    distance: float,
    reach: float = np.inf,
) -> float:
    """Average precision of one class at one distance of centres, in [0, 1].

    Detections of all frames, in the order of their scores, take the nearest free object of their
    frame if its centre is nearer than `distance`, seen from above. The precision is interpolated at
    101 recall levels; levels up to 0.1 are left out, and so is the precision below 0.1:

        AP = mean over recall > 0.1 of max(precision - 0.1, 0) / 0.9

    Args:
      truth, found: as in `nuscenes_scores`. kind: the class. distance: in metres.
      reach: distance from the vehicle up to which objects count.
    """
    pairs = [
        (_of_kind(a, kind, reach), _of_kind(b, kind, reach))
        for a, b in zip(truth, found, strict=True)
    ]
    return _precision(_match(pairs, distance, kind))


def _of_kind(objects: NuScenesObjects, kind: str, reach: float) -> NuScenesObjects:
    keep = np.array([k == kind for k in objects.kinds], bool)
    keep &= np.hypot(objects.boxes[:, 0], objects.boxes[:, 1]) < reach

    def pick(values: np.ndarray | None) -> np.ndarray | None:
        return None if values is None else np.asarray(values)[keep]

    return NuScenesObjects(
        [kind] * int(keep.sum()),
        np.asarray(objects.boxes)[keep],
        np.asarray(objects.velocity)[keep],
        pick(objects.attribute),
        pick(objects.scores),
    )


def _match(
    pairs: Sequence[tuple[NuScenesObjects, NuScenesObjects]], distance: float, kind: str
) -> _Row:
    """Detections of one class over all frames, the best first, each with its nearest object."""
    order = []
    for f, (_, found) in enumerate(pairs):
        if found.scores is None:
            raise ValueError("detections need scores.")
        if not np.isfinite(found.scores).all():
            raise ValueError(f"scores of detections must be finite; frame {f} has others.")
        order += [(-float(score), f, d) for d, score in enumerate(found.scores)]
    order.sort()
    free = [np.ones(len(truth.kinds), bool) for truth, _ in pairs]
    hit, errors = np.zeros(len(order), bool), []
    for i, (_, f, d) in enumerate(order):
        truth, found = pairs[f]
        away = np.linalg.norm(truth.boxes[:, :2] - found.boxes[d, :2], axis=-1)
        away = np.where(free[f], away, np.inf)
        if not away.size or not away.min() < distance:
            continue
        g = int(away.argmin())
        free[f][g], hit[i] = False, True
        errors.append(_pair_errors(truth, g, found, d, kind))
    return _Row(
        np.array([-score for score, _, _ in order]),
        hit,
        np.array(errors).reshape(-1, len(ERRORS)),
        sum(len(mask) for mask in free),
    )


def _pair_errors(
    truth: NuScenesObjects, g: int, found: NuScenesObjects, d: int, kind: str
) -> list[float]:
    """The five errors of one match; NaN where the object has no such thing."""
    a, b = truth.boxes[g], found.boxes[d]
    shared = np.prod(np.minimum(a[3:6], b[3:6]))
    union = np.prod(a[3:6]) + np.prod(b[3:6]) - shared
    period = np.pi if kind == "barrier" else 2 * np.pi
    turn = abs(wrap(np.float64(a[6] - b[6]), period, -period / 2))
    attribute = np.nan
    if truth.attribute is not None and truth.attribute[g] >= 0:
        given = -1 if found.attribute is None else found.attribute[d]
        attribute = float(given != truth.attribute[g])
    return [
        float(np.linalg.norm(a[:2] - b[:2])),
        1 - float(shared / union),
        float(turn),
        float(np.linalg.norm(truth.velocity[g] - found.velocity[d])),
        attribute,
    ]


def _curves(row: _Row) -> tuple[np.ndarray, np.ndarray]:
    """Precision and score at 101 recall levels; 0 beyond the largest recall."""
    right = np.cumsum(row.hit)
    recall = right / row.count
    precision = right / np.arange(1, len(right) + 1)
    at_recall = [np.interp(_RECALL, recall, v, right=0) for v in (precision, row.scores)]
    return at_recall[0], at_recall[1]


def _precision(row: _Row) -> float:
    if not row.hit.any():
        return 0.0
    precision = _curves(row)[0][_FIRST:]
    return float(np.mean(np.maximum(precision - LEAST, 0)) / (1 - LEAST))


def _errors(row: _Row) -> np.ndarray:
    """Each error's cumulative mean, averaged from recall 0.1 to the largest; 1 if there is none."""
    if not row.hit.any():
        return np.ones(len(ERRORS))
    scores = _curves(row)[1]
    last = int(np.flatnonzero(scores)[-1]) if scores.any() else 0
    if last < _FIRST:
        return np.ones(len(ERRORS))
    of_hits = row.scores[row.hit]
    means = []
    for column in row.errors.T:
        known = ~np.isnan(column)
        if not known.any():
            means.append(1.0)
            continue
        sums, counts = np.cumsum(np.where(known, column, 0)), np.cumsum(known)
        running = sums / np.maximum(counts, 1)
        at_recall = np.interp(scores[::-1], of_hits[::-1], running[::-1])[::-1]
        means.append(float(np.mean(at_recall[_FIRST : last + 1])))
    return np.array(means)
