"""Log-mel spectrograms, in NumPy."""

from __future__ import annotations

from typing import Literal

import numpy as np

FLOOR = 1e-10  # smallest power, -100 dB
RANGE_DB = 80.0


def hz_to_mel(hz: np.ndarray, scale: Literal["htk", "slaney"] = "htk") -> np.ndarray:
    """The mel scale.

        htk:     mel = 2595 log10(1 + f / 700)
        slaney:  mel = 3 f / 200 below 1 kHz, 15 + 27 ln(f / 1000) / ln 6.4 above

    >>> hz_to_mel(np.array([1000.0, 6400.0]), "slaney").tolist()
    [15.0, 42.0]
    """
    if scale == "htk":
        return 2595 * np.log10(1 + hz / 700)
    above = 15 + 27 * np.log(np.maximum(hz, 1000) / 1000) / np.log(6.4)
    return np.where(hz < 1000, 3 * hz / 200, above)


def mel_to_hz(mel: np.ndarray, scale: Literal["htk", "slaney"] = "htk") -> np.ndarray:
    """The inverse of `hz_to_mel`."""
    if scale == "htk":
        return 700 * (10 ** (mel / 2595) - 1)
    return np.where(mel < 15, 200 * mel / 3, 1000 * 6.4 ** ((mel - 15) / 27))


def mel_filters(
    channels: int,
    n_fft: int,
    rate: int,
    low: float,
    high: float,
    scale: Literal["htk", "slaney"] = "htk",
) -> np.ndarray:
    """Triangles of height 1 whose corners are equally spaced in mel; float64 [n_fft // 2 + 1, M].

    A filter narrower than the distance of two bins, or above half the rate, may be empty.

    Args:
      channels: M. n_fft: FFT size. rate: samples per second. low, high: outer corners in Hz.
      scale: see `hz_to_mel`.
    """
    if not 0 <= low < high:
        raise ValueError(f"the band needs 0 <= low < high; got {low} and {high} Hz.")
    first, last = hz_to_mel(np.array([low, high], np.float64), scale)
    corners = mel_to_hz(np.linspace(first, last, channels + 2), scale)
    hz = np.arange(n_fft // 2 + 1)[:, None] * rate / n_fft
    rise = (hz - corners[:-2]) / (corners[1:-1] - corners[:-2])
    fall = (corners[2:] - hz) / (corners[2:] - corners[1:-1])
    return np.maximum(0, np.minimum(rise, fall))


def power_spectrogram(audio: np.ndarray, n_fft: int, hop: int) -> np.ndarray:
    """|DFT|^2 of Hann windows centred on every `hop`-th sample.

        S[t, k] = |sum_i hann[i] x[t hop + i - n_fft / 2] exp(-2 pi i k i / n_fft)|^2

    The ends are mirrored, the window is periodic.

    Args:
      audio: [n]; zero-padded if it is not longer than n_fft / 2.

    Returns:
      float64 [1 + n // hop, n_fft // 2 + 1].
    """
    half = n_fft // 2
    x = np.asarray(audio, np.float64)
    frames = 1 + len(x) // hop
    x = np.pad(x, (0, max(half + 1 - len(x), 0)))
    x = np.pad(x, half, mode="reflect")
    start = hop * np.arange(frames)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)
    return np.abs(np.fft.rfft(x[start[:, None] + np.arange(n_fft)] * window)) ** 2


def log_mel(
    audio: np.ndarray,
    *,
    rate: int,
    channels: int,
    n_fft: int = 256,
    hop: int = 80,
    low: float = 50.0,
    high: float = 4000.0,
    scale: Literal["htk", "slaney"] = "htk",
) -> np.ndarray:
    """Power in mel bands in dB, 10 log10(max(S F, 1e-10)), float64 [1 + n // hop, channels].

    >>> tone = np.sin(2 * np.pi * 1000 * np.arange(8000) / 8000)
    >>> log_mel(tone, rate=8000, channels=20).shape
    (101, 20)
    """
    power = power_spectrogram(audio, n_fft, hop)
    filters = mel_filters(channels, n_fft, rate, low, high, scale)
    return decibel(power @ filters)


def decibel(power: np.ndarray) -> np.ndarray:
    """Power in dB, 10 log10(max(S, 1e-10))."""
    return 10 * np.log10(np.maximum(power, FLOOR))


def unit_range(decibel: np.ndarray) -> np.ndarray:
    """Scale dB to [0, 1]: 1 is the loudest entry, 0 lies 80 dB below it or at the floor; float32.

    Zero stands for silence, so frames that pad a short recording are silent.

    >>> unit_range(np.array([[0.0, -40.0, -100.0]])).tolist()
    [[1.0, 0.5, 0.0]]
    """
    top = decibel.max(initial=10 * np.log10(FLOOR) + 1e-9)
    low = max(top - RANGE_DB, 10 * np.log10(FLOOR))
    return (np.maximum(decibel - low, 0) / (top - low)).astype(np.float32)
