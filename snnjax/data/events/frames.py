"""Event streams as sequences of frames: counts, binary frames, voxel grids and time surfaces.

All four take a rule of `snnjax.data.events.windows` and return [T, H, W, C]. With polarity "both"
there are two channels, 0 for events that became darker and 1 for brighter; with "signed" one, the
second minus the first.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from .stream import Events, downsample
from .windows import Frames

Polarity = Literal["both", "signed"]


def to_count_frames(
    events: Events,
    frames: Frames,
    *,
    polarity: Polarity = "both",
    downsample: int = 1,
    span: tuple[int, int] | None = None,
) -> np.ndarray:
    """The number of events in every frame and pixel.

        n[k, y, x, p] = #{events in frame k at pixel (x, y) with polarity p}
        signed:  n[k, y, x, 1] - n[k, y, x, 0]

    Args:
      events: a recording. frames: `EqualParts`, `TimeWindow` or `EventCount`.
      polarity: "both" for two channels, "signed" for their difference.
      downsample: factor of `snnjax.data.events.downsample`; counts of merged pixels are summed.
      span: half-open interval (start, stop) of microseconds; other events are left out. None goes
        from the first event to the last.

    Returns:
      [T, H, W, C], in the narrowest of uint8, uint16, uint32 (signed: int8, int16, int32) that
      holds every count.

    >>> from snnjax.data.events import EqualParts, check_events
    >>> e = check_events(np.array([0, 4, 5, 9]), np.array([0, 0, 0, 1]), np.zeros(4, int),
    ...                  np.array([1, 1, 0, 1]), sensor=(1, 2))
    >>> to_count_frames(e, EqualParts(2), polarity="signed")[..., 0].tolist()
    [[[2, 0]], [[-1, 1]]]
    """
    events, span = _prepare(events, polarity, downsample, span)
    index, steps = frames.index(events, span)
    shape = (steps, *events.sensor, 2)
    cell = _cells(events, index)[index < steps]
    counts = np.bincount(cell, minlength=int(np.prod(shape))).reshape(shape)
    counts = _channels(counts, polarity)
    return counts.astype(_narrowest(counts, polarity))


def to_binary_frames(
    events: Events,
    frames: Frames,
    *,
    polarity: Polarity = "both",
    downsample: int = 1,
    span: tuple[int, int] | None = None,
) -> np.ndarray:
    """Whether a frame has any event of a polarity in a pixel.

        b[k, y, x, p] = 1 if n[k, y, x, p] > 0 else 0;   signed:  b[k, y, x, 1] - b[k, y, x, 0]

    Args: as in `to_count_frames`.

    Returns:
      uint8 [T, H, W, 2], or int8 [T, H, W, 1] in {-1, 0, 1}.
    """
    _check_polarity(polarity)
    seen = to_count_frames(events, frames, downsample=downsample, span=span) > 0
    if polarity == "signed":
        return seen[..., 1:].astype(np.int8) - seen[..., :1].astype(np.int8)
    return seen.astype(np.uint8)


def to_voxel_grid(
    events: Events,
    frames: Frames,
    *,
    polarity: Polarity = "both",
    downsample: int = 1,
    span: tuple[int, int] | None = None,
) -> np.ndarray:
    """Counts split between the two nearest frames, linearly in time.

        V[k, y, x, p] = sum over events of max(0, 1 - |k - u|)
        signed:  V[k, y, x, 1] - V[k, y, x, 0]

    The position u of an event between the centres 0..T - 1 is that of the rule, a fraction of
    integers. With `EqualParts` this is the grid of Zhu et al., "Unsupervised event-based
    learning of optical flow, depth, and egomotion", CVPR 2019: the first event lies at 0, the last
    at T - 1. Events beyond the last centre are left out, which happens only if the rule has a fixed
    number of steps.

    Args: as in `to_count_frames`.

    Returns:
      float32 [T, H, W, C]; sums are made in float64.
    """
    events, span = _prepare(events, polarity, downsample, span)
    top, bottom, steps = frames.position(events, span)
    shape = (steps, *events.sensor, 2)
    floor, rest = np.divmod(top, bottom)
    part = rest / bottom
    grid = np.zeros(int(np.prod(shape)))
    for index, weight in ((floor, 1 - part), (floor + 1, part)):
        inside = (index < steps) & (weight > 0)
        cell = _cells(events, index)[inside]
        grid += np.bincount(cell, weight[inside], minlength=len(grid))
    return _channels(grid.reshape(shape), polarity).astype(np.float32)


def to_time_surface(
    events: Events,
    frames: Frames,
    *,
    tau_us: float,
    polarity: Polarity = "both",
    downsample: int = 1,
    span: tuple[int, int] | None = None,
) -> np.ndarray:
    """How long ago each pixel had its last event, at the end of every frame.

        S[k, y, x, p] = exp(-(end_k - last) / tau)

    with the time `last` of the latest event of that pixel and polarity in the frames 0..k, and 0
    where there was none. Signed:  S[k, y, x, 1] - S[k, y, x, 0]. Lagorce et al., "HOTS: a
    hierarchy of event-based time-surfaces for pattern recognition", IEEE TPAMI 2017.

    Args:
      tau_us: time constant in microseconds. Others as in `to_count_frames`; merged pixels keep the
        latest of their events.

    Returns:
      float32 [T, H, W, C] in [0, 1], signed in [-1, 1].
    """
    if not 0 < tau_us < np.inf:
        raise ValueError(f"`tau_us` must be finite and above 0; got {tau_us}")
    events, span = _prepare(events, polarity, downsample, span)
    index, steps = frames.index(events, span)
    ends = frames.ends(events, span)
    last = np.full((steps, *events.sensor, 2), -1, np.int64)
    inside = index < steps
    # events are sorted by time: the last one in a cell wins
    last.reshape(-1)[_cells(events, index)[inside]] = events.t[inside] - span[0]
    np.maximum.accumulate(last, axis=0, out=last)
    surface = np.exp((last - ends[:, None, None, None]) / tau_us)
    return _channels(np.where(last < 0, 0, surface), polarity).astype(np.float32)


def _prepare(
    events: Events, polarity: Polarity, factor: int, span: tuple[int, int] | None
) -> tuple[Events, tuple[int, int]]:
    """The events within the span, on the downsampled sensor."""
    _check_polarity(polarity)
    events = downsample(events, factor)
    if span is None:
        return events, events.span
    if span[1] < span[0]:
        raise ValueError(f"`span` must be (start, stop) with start <= stop; got {span}")
    return events.between(*span), span


def _check_polarity(polarity: str) -> None:
    if polarity not in ("both", "signed"):
        raise ValueError(f"`polarity` must be 'both' or 'signed'; got {polarity!r}")


def _cells(events: Events, index: np.ndarray) -> np.ndarray:
    """Positions in a flat array of [T, H, W, 2], int64."""
    height, width = events.sensor
    return ((index * height + events.y) * width + events.x) * 2 + events.p


def _channels(both: np.ndarray, polarity: Polarity) -> np.ndarray:
    return both if polarity == "both" else both[..., 1:] - both[..., :1]


def _narrowest(counts: np.ndarray, polarity: Polarity) -> np.dtype:
    low, high = int(counts.min(initial=0)), int(counts.max(initial=0))
    kinds = (
        (np.uint8, np.uint16, np.uint32) if polarity == "both" else (np.int8, np.int16, np.int32)
    )
    fits = (np.dtype(k) for k in kinds if np.iinfo(k).min <= low and high <= np.iinfo(k).max)
    return next(fits, np.dtype(np.int64))
