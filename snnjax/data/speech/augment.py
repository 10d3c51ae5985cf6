"""Random changes of sequences of frames, on the host, vectorised over the batch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class SpeechAugment:
    """Random changes of a training sequence, applied in this order.

        x[t, c] <- x[t - a, c - b];  noise;  then w frames and w channels set to 0

    Entries shifted out are lost, and zeros (silence) fill the gap. Widths and places are uniform.
    Masking is that of Park et al., "SpecAugment", Interspeech 2019.
    """

    time_shift: int = 0
    """largest shift to either side, in frames"""
    channel_shift: int = 0
    """largest shift to either side, in channels: a higher or lower voice"""
    noise: float = 0.0
    """standard deviation of the noise on every entry of the recording's frames"""
    time_mask: int = 0
    """largest number of successive frames set to 0"""
    channel_mask: int = 0
    """largest number of neighbouring channels set to 0"""

    def __post_init__(self):
        for name in ("time_shift", "channel_shift", "noise", "time_mask", "channel_mask"):
            value = getattr(self, name)
            if not 0 <= value < np.inf:
                raise ValueError(f"`{name}` must be finite and at least 0; got {value}")
            if name != "noise" and value != int(value):
                raise ValueError(f"`{name}` must be an integer; got {value}")

    @property
    def puts_zeros(self) -> bool:
        """Whether a shift or a mask inserts zeros."""
        return any((self.time_shift, self.channel_shift, self.time_mask, self.channel_mask))

    def __call__(
        self, frames: np.ndarray, count: np.ndarray, rngs: list[np.random.Generator]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Change a batch; sample b uses only draws from rngs[b].

        Args:
          frames: float32 [B, T, C], zeros after the count. count: int32 [B]. rngs: B generators.

        Returns:
          new frames float32 [B, T, C] and counts int32 [B]: the last frame that may hold sound.
        """
        q = np.stack([rng.random(6, dtype=np.float32) for rng in rngs])
        steps, channels = frames.shape[1:]
        out = frames.copy()
        if self.noise:
            draws = [rng.standard_normal(frames.shape[1:], dtype=np.float32) for rng in rngs]
            out += np.float32(self.noise) * np.stack(draws)
            out *= (np.arange(steps) < count[:, None])[..., None]
        later = _either_side(q[:, 0], self.time_shift)
        out = _shifted(out, later, axis=1)
        out = _shifted(out, _either_side(q[:, 1], self.channel_shift), axis=2)
        out *= _window(q[:, 2], q[:, 3], self.time_mask, steps)[:, :, None]
        out *= _window(q[:, 4], q[:, 5], self.channel_mask, channels)[:, None, :]
        return out, np.clip(count + later, 0, steps).astype(np.int32)


def _either_side(q: np.ndarray, largest: int) -> np.ndarray:
    """Integers in -largest .. largest from uniform numbers; int64 [B]."""
    return np.floor(q * (2 * largest + 1)).astype(np.int64) - largest


def _shifted(x: np.ndarray, by: np.ndarray, axis: int) -> np.ndarray:
    """Shift sample b by by[b] places along an axis; zeros fill the gap."""
    if not by.any():
        return x
    size = x.shape[axis]
    source = np.arange(size) - by[:, None]
    inside = (source >= 0) & (source < size)
    shape = [len(x), 1, 1]
    shape[axis] = size
    moved = np.take_along_axis(x, np.clip(source, 0, size - 1).reshape(shape), axis=axis)
    return moved * inside.reshape(shape)


def _window(width: np.ndarray, place: np.ndarray, largest: int, size: int) -> np.ndarray:
    """False in an interval of up to `largest` places, else True; bool [B, size]."""
    wide = np.floor(width * (min(largest, size) + 1)).astype(np.int64)
    first = np.floor(place * (size - wide + 1)).astype(np.int64)
    at = np.arange(size)
    return ~((at >= first[:, None]) & (at < (first + wide)[:, None]))
