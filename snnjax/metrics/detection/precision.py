"""Average precision as the KITTI benchmark computes it, from overlaps and flags, on the host."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

POINTS = 41
"""Recall levels 0, 1/40, ..., 1."""
COUNTS, IGNORED, OTHER = 0, 1, -1
"""Flags of objects and detections: counted; neither right nor wrong; not taking part."""


class Frame(NamedTuple):
    """What one frame contributes to one precision.

    Attributes:
      overlap: of detections and objects, [D, G].
      scores: of the detections, [D].
      found: flags of the detections, int [D].
      truth: flags of the objects, in the order of the label file, int [G].
      similarity: (1 + cos(difference of observation angles)) / 2, [D, G]; None where the
        orientation is not scored.
      covered: bool [D], detections in regions where no object is labelled; None without such.
    """

    overlap: np.ndarray
    scores: np.ndarray
    found: np.ndarray
    truth: np.ndarray
    similarity: np.ndarray | None = None
    covered: np.ndarray | None = None


@dataclass(frozen=True)
class Precision:
    """Precision over recall, and its means.

    Attributes:
      values: precision at recall i/40, float64 [41], made monotone, 0 beyond the largest recall.
      aos: the same with the similarity of the orientation in place of a count; None if not scored.
      count: number of objects that count. With n below 41 a perfect detector reaches an R40 of
        100 (n - 1) / 40 only.
    """

    values: np.ndarray
    aos: np.ndarray | None
    count: int

    @property
    def r40(self) -> float:
        """Mean at recall 1/40, ..., 1, in percent."""
        return recall_40(self.values)

    @property
    def r11(self) -> float:
        """Mean at recall 0, 0.1, ..., 1, in percent."""
        return recall_11(self.values)


def recall_40(values: np.ndarray) -> float:
    """The mean over 40 recall levels, without recall 0, in percent."""
    return 100 * float(np.mean(values[1:]))


def recall_11(values: np.ndarray) -> float:
    """The mean over 11 recall levels, with recall 0, in percent."""
    return 100 * float(np.mean(values[::4]))


def average_precision(frames: Sequence[Frame], limit: float) -> Precision:
    """Precision over recall of one class, metric and difficulty.

    Score thresholds are chosen so that recall rises by 1/40 from one to the next: a first pass
    matches objects to their best-scored detections, at all scores. At each threshold objects take
    the detections with the largest overlap:

        precision = TP / (TP + FP),  p_i = max over thresholds from i on

    An object or a detection that is ignored is neither right nor wrong, and so is its partner.

    Args:
      frames: all frames of the split.
      limit: overlap that a match must exceed.

    Geiger, Lenz and Urtasun, "Are we ready for autonomous driving? The KITTI vision benchmark
    suite", CVPR 2012; 40 recall levels: Simonelli et al., ICCV 2019.

    >>> frame = Frame(np.eye(50), np.linspace(0.1, 1, 50), np.zeros(50, int), np.zeros(50, int))
    >>> average_precision([frame], 0.7).r40
    100.0
    """
    for frame in frames:
        _check(frame)
    count = sum(int(np.sum(frame.truth == COUNTS)) for frame in frames)
    hits = [score for frame in frames for score in _hit_scores(frame, limit)]
    limits = thresholds(hits, count)
    sums = np.zeros((len(limits), 3))
    for frame in frames:
        sums += _frame_sums(frame, limit, limits)
    right, wrong, alike = sums.T
    given = np.maximum(right + wrong, 1)
    scored = any(frame.similarity is not None for frame in frames)
    return Precision(_monotone(right / given), _monotone(alike / given) if scored else None, count)


def thresholds(scores: Sequence[float], count: int) -> list[float]:
    """At most 41 scores of matches, between which recall rises by about 1/40.

    Going down the scores with r = 0, a score is skipped if the recall after the next match is
    nearer to r than that after this one; else it is taken and r rises by 1/40. The last is taken.

    Args:
      scores: of matched detections, any order. count: number of objects that count.

    >>> thresholds([0.9, 0.5, 0.7], 3)
    [0.9, 0.7, 0.5]
    """
    falling = sorted(scores, reverse=True)
    recall, taken = 0.0, []
    for i, score in enumerate(falling):
        last = i == len(falling) - 1
        here = (i + 1) / count
        after = here if last else (i + 2) / count
        if after - recall < recall - here and not last:
            continue
        taken.append(score)
        recall += 1 / (POINTS - 1)
    return taken


def _hit_scores(frame: Frame, limit: float) -> list[float]:
    """Scores of detections that objects take by the largest score; counted pairs only."""
    free = frame.found != OTHER
    hits = []
    for g in np.flatnonzero(frame.truth != OTHER):
        near = free & (frame.overlap[:, g] > limit)
        if not near.any():
            continue
        d = int(np.where(near, frame.scores, -np.inf).argmax())
        free[d] = False
        if frame.truth[g] == COUNTS and frame.found[d] == COUNTS:
            hits.append(float(frame.scores[d]))
    return hits


def _frame_sums(frame: Frame, limit: float, limits: list[float]) -> np.ndarray:
    """Right and wrong detections and similarities at each threshold, [thresholds, 3]."""
    sums = np.zeros((len(limits), 3))
    before = -1
    for i, threshold in enumerate(limits):
        live = frame.scores >= threshold
        if (number := int(live.sum())) == before:  # thresholds fall, so the set is the same
            sums[i] = sums[i - 1]
        else:
            sums[i] = _matches(frame, limit, live)
        before = number
    return sums


def _matches(frame: Frame, limit: float, live: np.ndarray) -> tuple[float, float, float]:
    """Right and wrong detections among the live ones, and the sum of similarities."""
    free = live & (frame.found != OTHER)
    counted = frame.found == COUNTS
    right, alike = 0, 0.0
    for g in np.flatnonzero(frame.truth != OTHER):
        near = free & (frame.overlap[:, g] > limit)
        if not near.any():
            continue
        best = near & counted
        if best.any():
            d = int(np.where(best, frame.overlap[:, g], -1).argmax())
        else:
            d = int(near.argmax())
        free[d] = False
        if frame.truth[g] == COUNTS and counted[d]:
            right += 1
            alike += 0.0 if frame.similarity is None else float(frame.similarity[d, g])
    wrong = free & counted
    if frame.covered is not None:
        wrong &= ~frame.covered
    return right, int(wrong.sum()), alike


def _monotone(values: np.ndarray) -> np.ndarray:
    """The largest value from each threshold on, 0 beyond the last: [41]."""
    full = np.zeros(POINTS)
    full[: len(values)] = values[:POINTS]
    return np.maximum.accumulate(full[::-1])[::-1]


def _check(frame: Frame) -> None:
    shape = (len(frame.scores), len(frame.truth))
    if frame.overlap.shape != shape or frame.found.shape != shape[:1]:
        raise ValueError(
            f"overlaps must be [D, G] = {shape} with D flags; got {frame.overlap.shape} and "
            f"{frame.found.shape}."
        )
    if not np.isfinite(frame.scores).all():
        raise ValueError(
            f"scores of detections must be finite; got {frame.scores[~np.isfinite(frame.scores)]}."
            " Drop such detections first, and look for the cause in the model."
        )
