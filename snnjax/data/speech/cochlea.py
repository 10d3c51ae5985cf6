"""A model of the ear: gammatone filters on the ERB scale, hair cells, and LIF neurons.

The filters are those of Patterson et al., "Complex sounds and auditory images", Auditory
Physiology and Perception 1992, with the bandwidths of Glasberg and Moore, "Derivation of auditory
filter shapes from notched-noise data", Hearing Research 1990. A hair cell rectifies, compresses by
the power 0.3 and smooths; one LIF neuron with a refractory time reads it. Adaptation, efferents and
noise are not modelled. The chain is that of Cramer et al., "The Heidelberg spiking data sets for
the systematic evaluation of spiking neural networks", IEEE TNNLS 2020, with simpler stages.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

ORDER = 4
WIDTH = 1.019  # of b, in ERB: makes the equivalent rectangular bandwidth of order 4 one ERB
COMPRESSION = 0.3
STEP_MS = 1.0
TAU_MS, GAIN, REFRACTORY = 20.0, 0.5, 1  # of the LIF neurons; refractory steps of STEP_MS
_RESPONSE = 0.128  # seconds of impulse response that are kept


def erb(hz: np.ndarray) -> np.ndarray:
    """Equivalent rectangular bandwidth of hearing in Hz, 24.7 (4.37 f / 1000 + 1).

    >>> round(float(erb(np.float64(1000.0))), 3)
    132.639
    """
    return 24.7 * (4.37 * hz / 1000 + 1)


def erb_centres(channels: int, low: float, high: float) -> np.ndarray:
    """Centre frequencies from low to high, equally spaced in 21.4 log10(1 + 0.00437 f); [C]."""
    if not 0 < low < high:
        raise ValueError(f"the band needs 0 < low < high; got {low} and {high} Hz.")
    first, last = 21.4 * np.log10(1 + 0.00437 * np.array([low, high]))
    return (10 ** (np.linspace(first, last, channels) / 21.4) - 1) / 0.00437


def gammatone(centres: np.ndarray, rate: int) -> np.ndarray:
    """Impulse responses of the filters, float64 [C, n].

        g(t) = a t^3 exp(-2 pi b t) cos(2 pi f t),    b = 1.019 ERB(f)

    The factor a makes the gain at f equal to 1.

    Args:
      centres: f in Hz, [C], below rate / 2. rate: samples a second.
    """
    centres = np.asarray(centres, np.float64)
    if centres.max() >= rate / 2:
        raise ValueError(
            f"centre frequencies must lie below half of {rate} samples a second; got "
            f"{centres.max():.0f} Hz. Lower `high_hz`."
        )
    t = np.arange(round(_RESPONSE * rate)) / rate
    f = centres[:, None]
    shape = t ** (ORDER - 1) * np.exp(-2 * np.pi * WIDTH * erb(f) * t)
    response = shape * np.cos(2 * np.pi * f * t)
    gain = np.abs((response * np.exp(-2j * np.pi * f * t)).sum(axis=1, keepdims=True))
    return response / gain


def hair_cells(audio: np.ndarray, centres: np.ndarray, rate: int) -> np.ndarray:
    """The response of the hair cells to a sound, one value per millisecond.

        e[t, c] = mean over the millisecond of max(0, (g_c * x) / peak)^0.3

    with the largest sample of the recording as `peak`; a silent recording gives zeros.

    Args:
      audio: [n]. centres: frequencies of the filters in Hz, [C]. rate: samples a second, a multiple
        of 1000.

    Returns:
      float32 [ceil(n / (rate / 1000)), C] in [0, about 1].
    """
    block = round(rate * STEP_MS / 1000)
    steps = -(-len(audio) // block)
    peak = float(np.abs(audio).max(initial=0)) or 1.0
    size = -(-(len(audio) + round(_RESPONSE * rate)) // 512) * 512
    sound = np.fft.rfft(np.asarray(audio, np.float32) / np.float32(peak), size)
    moved = np.fft.irfft(_spectrum(tuple(map(float, centres)), rate, size) * sound, size)
    moved = moved[:, : steps * block]
    moved[:, len(audio) :] = 0
    cell = np.maximum(moved, 0) ** np.float32(COMPRESSION)
    return cell.reshape(len(moved), steps, block).mean(axis=2).T


@lru_cache(maxsize=32)
def _spectrum(centres: tuple[float, ...], rate: int, size: int) -> np.ndarray:
    """The transforms of the impulse responses, complex64 [C, size // 2 + 1]."""
    return np.fft.rfft(gammatone(np.array(centres), rate), size).astype(np.complex64)


def lif_spikes(drive: np.ndarray) -> np.ndarray:
    """Spikes of one LIF neuron for each cell, one possible in a step.

        v <- v exp(-1 / tau) + gain e;    spike and v <- 0 where v >= 1

    For `REFRACTORY` steps after a spike v stays 0. Doubling the drive at most doubles the
    rate; below 1 - exp(-1 / tau) of the gain there are no spikes.

    Args:
      drive: [T, ..., C] at steps of 1 ms.

    Returns:
      uint8 [T, ..., C].
    """
    decay = np.float32(np.exp(-STEP_MS / TAU_MS))
    v, rest = np.zeros(drive.shape[1:], np.float32), np.zeros(drive.shape[1:], np.int8)
    spikes = np.zeros(drive.shape, np.uint8)
    for t, current in enumerate(drive):
        v = np.where(rest > 0, np.float32(0), v * decay + np.float32(GAIN) * current)
        fired = v >= 1
        rest = np.where(fired, np.int8(REFRACTORY), np.maximum(rest - 1, 0).astype(np.int8))
        v[fired] = 0
        spikes[t] = fired
    return spikes
