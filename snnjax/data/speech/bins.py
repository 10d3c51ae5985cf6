"""Spikes to frames of counts."""

from __future__ import annotations

import numpy as np


def bin_events(
    times: np.ndarray, units: np.ndarray, *, total: int, channels: int, frame_ms: float
) -> np.ndarray:
    """Counts of spikes in fixed frames, neighbouring units summed.

        n[t, c] = #{spikes: floor(time / frame) = t, floor(unit / (total / channels)) = c}

    Args:
      times: seconds, [E]. units: int [E] in 0..total - 1. total: units there are.
      channels: C, a divisor of `total`. frame_ms: length of a frame.

    Returns:
      uint8 [T, C], or uint16 where a count needs it; T up to the frame of the last spike, so that
      no spikes give [0, C].

    Raises:
      ValueError: `total` is not a multiple of `channels`, or `frame_ms` is not positive.

    >>> bin_events(np.array([0.0, 0.011, 0.012]), np.array([0, 3, 2]), total=4, channels=2,
    ...            frame_ms=10.0).tolist()
    [[1, 0], [0, 2]]
    """
    if channels < 1 or total % channels:
        divisors = [str(n) for n in range(1, total + 1) if total % n == 0]
        raise ValueError(
            f"channels must divide the {total} units; got {channels}. "
            f"Take one of {', '.join(divisors)}."
        )
    if not frame_ms > 0:
        raise ValueError(f"frame_ms must be above 0; got {frame_ms}.")
    # 0.29 s in frames of 10 ms is 28.999999999999996 in floating point
    frame = np.floor(np.asarray(times, np.float64) * 1000 / frame_ms + 1e-6).astype(np.int64)
    steps = int(frame.max(initial=-1)) + 1
    cell = frame * channels + np.asarray(units, np.int64) // (total // channels)
    counts = np.bincount(cell, minlength=steps * channels).reshape(steps, channels)
    small = counts.max(initial=0) <= np.iinfo(np.uint8).max
    return np.minimum(counts, np.iinfo(np.uint16).max).astype(np.uint8 if small else np.uint16)


def sum_frames(spikes: np.ndarray, steps: int) -> np.ndarray:
    """Sums over blocks of `steps` steps, uint16 [ceil(T / steps), C]; the last may be short.

    >>> sum_frames(np.ones((5, 1), np.uint8), 2).ravel().tolist()
    [2, 2, 1]
    """
    starts = np.arange(0, len(spikes), steps)
    if len(starts) == 0:
        return np.zeros((0, spikes.shape[1]), np.uint16)
    return np.add.reduceat(spikes.astype(np.uint16), starts, axis=0)
