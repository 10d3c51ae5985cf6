from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy import signal

from snnjax.data.speech import erb, erb_centres, gammatone, hair_cells, lif_spikes
from snnjax.data.speech.cochlea import COMPRESSION, GAIN, REFRACTORY, TAU_MS

RATE = 16_000


def test_centres_are_equally_spaced_in_erbs() -> None:
    """Between two neighbours lie equally many bandwidths: the integral of df / ERB(f)."""
    centres = erb_centres(12, 100.0, 6000.0)
    np.testing.assert_allclose(centres[[0, -1]], [100.0, 6000.0])
    gaps = []
    for low, high in pairwise(centres):
        f = np.linspace(low, high, 2001)
        gaps.append(np.trapezoid(1 / erb(f), f))
    # 21.4 is the rounded 1000 ln(10) / (24.7 * 4.37)
    np.testing.assert_allclose(gaps, gaps[0], rtol=1e-6)


@pytest.mark.parametrize("hz", [200.0, 1000.0, 3000.0])
def test_filters_have_gain_one_and_the_bandwidth_of_hearing(hz: float) -> None:
    """The equivalent rectangle, measured on the transform, is one ERB wide."""
    response = np.fft.rfft(gammatone(np.array([hz]), RATE)[0], RATE)  # bins of 1 Hz
    power = np.abs(response) ** 2
    assert power[round(hz)] == pytest.approx(1)
    assert abs(power.argmax() - hz) <= 1
    assert power.sum() / power.max() == pytest.approx(erb(np.float64(hz)), rel=5e-3)


@pytest.mark.parametrize("hz", [500.0, 2000.0])
def test_responses_agree_with_the_recursive_filter_of_slaney(hz: float) -> None:
    """scipy's IIR gammatone follows Slaney, Apple technical report 35, 1993."""
    ours = gammatone(np.array([hz]), RATE)[0]
    b, a = signal.gammatone(hz, "iir", fs=RATE)
    impulse = np.zeros(len(ours))
    impulse[0] = 1
    theirs = signal.lfilter(b, a, impulse)
    width = 2 * erb(np.float64(hz))
    near = np.arange(round(hz - width), round(hz + width))
    ours, theirs = (np.abs(np.fft.rfft(x, RATE))[near] for x in (ours, theirs))
    np.testing.assert_allclose(ours, theirs, rtol=0.02)


def test_hair_cells_are_the_definition() -> None:
    rng = np.random.default_rng(0)
    audio, centres = rng.normal(size=205), np.array([300.0, 900.0])
    got = hair_cells(audio, centres, 8000)
    want = np.zeros((26, 2))
    for c, response in enumerate(gammatone(centres, 8000)):
        moved = np.convolve(audio / np.abs(audio).max(), response)[:205]
        cell = np.pad(np.maximum(moved, 0) ** COMPRESSION, (0, 3))  # the last millisecond is short
        want[:, c] = cell.reshape(26, 8).mean(axis=1)
    # the power 0.3 makes rounding errors near zero large
    np.testing.assert_allclose(got, want, atol=4e-3)
    assert not hair_cells(np.zeros(205), centres, 8000).any()
    assert hair_cells(np.zeros(0), centres, 8000).shape == (0, 2)


def test_the_loudness_of_a_recording_does_not_matter() -> None:
    audio = np.random.default_rng(1).normal(size=800)
    loud, soft = (hair_cells(k * audio, np.array([500.0]), 8000) for k in (1.0, 1e-3))
    np.testing.assert_allclose(loud, soft, atol=4e-3)


def test_neurons_spike_as_one_at_a_time() -> None:
    drive = np.random.default_rng(2).uniform(0, 1, (200, 3, 2)).astype(np.float32)
    want = np.zeros(drive.shape, np.uint8)
    for b in range(3):
        for c in range(2):
            v, rest = 0.0, 0
            for t in range(200):
                v = 0.0 if rest > 0 else v * np.exp(-1 / TAU_MS) + GAIN * drive[t, b, c]
                rest = max(rest - 1, 0)
                if v >= 1:
                    want[t, b, c], v, rest = 1, 0.0, REFRACTORY
    got = lif_spikes(drive)
    assert 100 < got.sum() < 1000
    np.testing.assert_array_equal(got, want)


def test_a_neuron_is_silent_below_its_rheobase_and_bounded_above() -> None:
    rheobase = (1 - np.exp(-1 / TAU_MS)) / GAIN
    drive = np.float32([0.99 * rheobase, 1.02 * rheobase, 100.0]) * np.ones((300, 1), np.float32)
    quiet, slow, fast = lif_spikes(drive).sum(axis=0)
    assert quiet == 0
    assert slow > 0
    assert fast == 300 // (1 + REFRACTORY)


def test_frequencies_above_the_signal_are_refused() -> None:
    with pytest.raises(ValueError, match=r"below half of 8000.*got 4000 Hz.*Lower `high_hz`"):
        gammatone(np.array([100.0, 4000.0]), 8000)
    with pytest.raises(ValueError, match="0 < low < high"):
        erb_centres(4, 500.0, 500.0)
