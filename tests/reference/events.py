"""Frames of events by loops over events and exact fractions."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from snnjax.data.events import EqualParts, EventCount, Events, Frames, TimeWindow


def position(rule: Frames, i: int, t: int, span: tuple[int, int]) -> Fraction:
    """Where event i of the span lies on the axis of frames; frame k is [k, k + 1)."""
    start, stop = span
    if isinstance(rule, EqualParts):
        return Fraction((t - start) * rule.steps, stop - start)
    if isinstance(rule, TimeWindow):
        return Fraction(t - start, rule.window_us)
    assert isinstance(rule, EventCount)
    return Fraction(i, rule.events)


def centre_position(rule: Frames, i: int, t: int, span: tuple[int, int]) -> Fraction:
    """Where event i lies between the centres of a voxel grid."""
    if isinstance(rule, EqualParts):
        start, stop = span
        return Fraction((t - start) * (rule.steps - 1), max(stop - 1 - start, 1))
    return position(rule, i, t, span)


def _rows(events: Events, span: tuple[int, int]):
    rows = zip(*(column.tolist() for column in events[:4]), strict=True)
    kept = [row for row in rows if span[0] <= row[0] < span[1]]
    return [(i, *row) for i, row in enumerate(kept)]


def _empty(events: Events, steps: int, factor: int) -> np.ndarray:
    height, width = events.sensor
    return np.zeros((steps, math.ceil(height / factor), math.ceil(width / factor), 2))


def _polarity(both: np.ndarray, polarity: str) -> np.ndarray:
    return both if polarity == "both" else both[..., 1:2] - both[..., 0:1]


def counts(events, rule, steps, span, polarity="both", factor=1) -> np.ndarray:
    out = _empty(events, steps, factor)
    for i, t, x, y, p in _rows(events, span):
        k = math.floor(position(rule, i, t, span))
        if k < steps:
            out[k, y // factor, x // factor, p] += 1
    return _polarity(out, polarity)


def binary(events, rule, steps, span, polarity="both", factor=1) -> np.ndarray:
    return _polarity(np.minimum(counts(events, rule, steps, span, "both", factor), 1), polarity)


def voxels(events, rule, steps, span, polarity="both", factor=1) -> np.ndarray:
    out = _empty(events, steps, factor)
    for i, t, x, y, p in _rows(events, span):
        u = centre_position(rule, i, t, span)
        for k in range(steps):
            out[k, y // factor, x // factor, p] += float(max(Fraction(0), 1 - abs(k - u)))
    return _polarity(out, polarity)


def surface(events, rule, steps, span, polarity="both", factor=1, *, tau) -> np.ndarray:
    out = _empty(events, steps, factor)
    rows = _rows(events, span)
    for k in range(steps):
        upto = [row for row in rows if position(rule, row[0], row[1], span) < k + 1]
        end = Fraction(0)
        if isinstance(rule, EqualParts):
            end = span[0] + Fraction((k + 1) * (span[1] - span[0]), rule.steps)
        elif isinstance(rule, TimeWindow):
            end = Fraction(span[0] + (k + 1) * rule.window_us)
        elif upto:
            end = Fraction(upto[-1][1])
        for _, t, x, y, p in upto:  # later events overwrite earlier ones
            out[k, y // factor, x // factor, p] = math.exp(-float(end - t) / tau)
    return _polarity(out, polarity)


def evt3(words: list[int]) -> list[tuple[int, int, int, int]]:
    """(t, x, y, p) of EVT 3 words, one at a time, after the format's description."""
    found, y, base, pol, low, high, loops = [], 0, None, 0, 0, None, 0
    for word in words:
        kind, value = word >> 12, word & 0xFFF
        if kind == 8:
            if high is not None and high - value >= 2048:
                loops += 1
            if value != high:
                low = 0
            high = value
        elif kind == 6:
            low = value
        elif kind == 0:
            y = value & 0x7FF
        elif kind == 3:
            base, pol = value & 0x7FF, value >> 11
        t = None if high is None else (loops << 24) + (high << 12) + low
        if kind == 2 and t is not None:
            found.append((t, value & 0x7FF, y, value >> 11))
        if kind in (4, 5) and base is not None:
            for bit in range(12 if kind == 4 else 8):
                if value >> bit & 1 and t is not None:
                    found.append((t, base + bit, y, pol))
            base += 12 if kind == 4 else 8
    return found
