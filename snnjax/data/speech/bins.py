"""Spikes to frames of counts."""

from __future__ import annotations

import numpy as np


def bin_events(
    times: np.ndarray, units: np.ndarray, *, total: int, channels: int, frame_ms: float
) -> np.ndarray:
    """Counts of spikes in fixed frames, neighbouring units summed.

        n[t, c] = #{spikes: floor(time / frame) = t, floor(unit / (total / channels)) = c}

    A time that rounding may have brought below a border opens the next frame: 0.29 s in frames of
    10 ms is frame 29, though 0.29 / 0.01 is 28.999999999999996.

    Args:
      times: seconds, at least 0, [E]. units: int [E] in 0..total - 1. total: number of units.
      channels: C, a divisor of `total`. frame_ms: length of a frame.

    Returns:
      Counts [T, C] in the narrowest of uint8, uint16 and uint32 that holds them; T up to the frame
      of the last spike, so that no spikes give [0, C].

    Raises:
      ValueError: `total` is not a multiple of `channels`, `frame_ms` is not positive, a time is
        negative or not finite, a unit outside 0..total - 1, or times and units differ in number.

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
    times, units = np.asarray(times), np.asarray(units)
    _check_events(times, units, total)
    frame = _frames(times, frame_ms)
    steps = int(frame.max(initial=-1)) + 1
    cell = frame * channels + units.astype(np.int64) // (total // channels)
    counts = np.bincount(cell, minlength=steps * channels).reshape(steps, channels)
    return counts.astype(np.min_scalar_type(max(int(counts.max(initial=0)), 1)))


def _frames(times: np.ndarray, frame_ms: float) -> np.ndarray:
    """The frame of each time; one just below a border by rounding counts as the next frame.

    A time computed in float32 is off by a unit in the last place; one stored as float16, where that
    is up to half a millisecond, by the half of it that rounding to nearest leaves.
    """
    times = times if times.dtype.kind == "f" else times.astype(np.float64)
    rounding = np.spacing(times).astype(np.float64) * (0.5 if times.dtype.itemsize == 2 else 1.0)
    at = (times.astype(np.float64) + rounding) * 1000 / frame_ms
    return np.floor(at * (1 + 4 * np.finfo(np.float64).eps)).astype(np.int64)


def _check_events(times: np.ndarray, units: np.ndarray, total: int) -> None:
    """Raise for invalid times or units."""
    if times.ndim != 1 or units.shape != times.shape:
        raise ValueError(
            f"times and units must both be [E]; got shapes {times.shape} and {units.shape}."
        )
    if not len(times):
        return
    if not (np.isfinite(times).all() and times.min() >= 0):
        raise ValueError(
            f"times must be finite and at least 0 s; got {times.min()} to {times.max()}. Subtract "
            "the first time, and drop events without one."
        )
    if units.min() < 0 or units.max() >= total or np.any(units != np.floor(units)):
        raise ValueError(
            f"units must be integers in 0..{total - 1}; got {units.min()} to {units.max()}."
        )


def sum_frames(spikes: np.ndarray, steps: int) -> np.ndarray:
    """Sums over blocks of `steps` steps, [ceil(T / steps), C]; the last may be short.

    The dtype is uint16, or uint32 where a sum needs it.

    >>> sum_frames(np.ones((5, 1), np.uint8), 2).ravel().tolist()
    [2, 2, 1]
    """
    starts = np.arange(0, len(spikes), steps)
    if len(starts) == 0:
        return np.zeros((0, spikes.shape[1]), np.uint16)
    sums = np.add.reduceat(spikes.astype(np.uint32), starts, axis=0)
    return sums.astype(np.promote_types(np.uint16, np.min_scalar_type(int(sums.max(initial=0)))))
