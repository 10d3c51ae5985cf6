"""The KITTI evaluation as the plain loops of its development kit, on dictionaries.

A transcription of the rules, one object and one detection at a time; frames are
(objects, detections, dont_care) with precomputed overlaps `o["iou"][j]`.
"""

from __future__ import annotations

import math

NONE = -10_000_000


def statistics(frame, limit, threshold, fp_too):
    objects, detections = frame["objects"], frame["detections"]
    used = [False] * len(detections)
    low = [d["score"] < threshold for d in detections]
    tp = fp = fn = 0
    similarity, scores = 0.0, []
    for i, o in enumerate(objects):
        if o["flag"] == -1:
            continue
        index, valid, largest, took_ignored = -1, NONE, 0.0, False
        for j, d in enumerate(detections):
            if d["flag"] == -1 or used[j] or low[j]:
                continue
            overlap = frame["iou"][j][i]
            if not fp_too and overlap > limit and d["score"] > valid:
                index, valid = j, d["score"]
            elif (
                fp_too
                and overlap > limit
                and (overlap > largest or took_ignored)
                and d["flag"] == 0
            ):
                largest, index, valid, took_ignored = overlap, j, 1, False
            elif fp_too and overlap > limit and valid == NONE and d["flag"] == 1:
                index, valid, took_ignored = j, 1, True
        if valid == NONE:
            fn += o["flag"] == 0
        elif o["flag"] == 1 or detections[index]["flag"] == 1:
            used[index] = True
        else:
            tp += 1
            scores.append(detections[index]["score"])
            turn = o["alpha"] - detections[index]["alpha"]
            similarity += (1 + math.cos(turn)) / 2
            used[index] = True
    if fp_too:
        for j, d in enumerate(detections):
            if used[j] or d["flag"] != 0 or low[j]:
                continue
            fp += not any(c > limit for c in frame["cover"][j])
    return tp, fp, fn, similarity, scores


def precision(frames, limit):
    """Precision and orientation similarity at 41 recall levels."""
    count = sum(o["flag"] == 0 for f in frames for o in f["objects"])
    scores = [s for f in frames for s in statistics(f, limit, -math.inf, False)[4]]
    scores.sort(reverse=True)
    limits, recall = [], 0.0
    for i, score in enumerate(scores):
        left = (i + 1) / count
        right = (i + 2) / count if i < len(scores) - 1 else left
        if right - recall < recall - left and i < len(scores) - 1:
            continue
        limits.append(score)
        recall += 1 / 40.0
    p, aos = [0.0] * 41, [0.0] * 41
    for k, threshold in enumerate(limits):
        found = [statistics(f, limit, threshold, True) for f in frames]
        tp, fp, similarity = (sum(f[n] for f in found) for n in (0, 1, 3))
        p[k], aos[k] = tp / (tp + fp), similarity / (tp + fp)
    for k in range(len(limits)):
        p[k], aos[k] = max(p[k:]), max(aos[k:])
    return p, aos
