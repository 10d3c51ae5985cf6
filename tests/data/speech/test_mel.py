from __future__ import annotations

import math

import numpy as np
import pytest

from snnjax.data.speech import log_mel, mel_filters, unit_range
from snnjax.data.speech.mel import hz_to_mel, mel_to_hz, power_spectrogram


def slow_power(audio: np.ndarray, n_fft: int, hop: int) -> np.ndarray:
    """The definition, one frame and one frequency at a time."""
    half, n = n_fft // 2, len(audio)
    out = np.zeros((1 + n // hop, half + 1))
    for t in range(out.shape[0]):
        for k in range(half + 1):
            total = 0j
            for i in range(n_fft):
                at = abs(t * hop + i - half)  # mirrored at the first sample
                at = at if at < n else 2 * (n - 1) - at  # and at the last
                window = 0.5 * (1 - math.cos(2 * math.pi * i / n_fft))
                turn = -2j * math.pi * k * i / n_fft
                total += window * audio[at] * complex(math.cos(turn.imag), math.sin(turn.imag))
            out[t, k] = abs(total) ** 2
    return out


def test_the_spectrogram_is_the_definition() -> None:
    audio = np.random.default_rng(0).normal(size=70)
    got = power_spectrogram(audio, 16, 5)
    np.testing.assert_allclose(got, slow_power(audio, 16, 5), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("n", [0, 1, 8, 9])
def test_recordings_shorter_than_a_window_have_frames(n: int) -> None:
    assert power_spectrogram(np.ones(n), 16, 4).shape == (1 + n // 4, 9)


@pytest.mark.parametrize("scale", ["htk", "slaney"])
def test_the_scales_are_inverted_and_agree_with_known_points(scale) -> None:
    hz = np.linspace(0, 8000, 333)
    np.testing.assert_allclose(mel_to_hz(hz_to_mel(hz, scale), scale), hz, atol=1e-9)
    known = {"htk": (999.9855, 2146.0645), "slaney": (15.0, 35.1638)}[scale]
    np.testing.assert_allclose(hz_to_mel(np.array([1000.0, 4000.0]), scale), known, atol=1e-3)


def test_filters_of_the_published_google_commands_setting_are_empty_above_nyquist() -> None:
    """140 filters to 14 kHz on a spectrum to 4 kHz: numbers 87 to 139 see nothing."""
    filters = mel_filters(140, 256, 8000, 50.0, 14000.0)
    assert filters.shape == (129, 140)
    assert not filters[:, 87:].any()
    assert filters[:, 86].any()


def test_triangles_meet_at_half_their_height_in_the_middle() -> None:
    """With corners on bins, each filter is 1 at its own corner, 0 at the neighbours'."""
    filters = mel_filters(3, 8000, 8000, 100.0, 900.0, "slaney")  # linear below 1 kHz
    for m, centre in enumerate((300, 500, 700)):
        assert filters[centre, m] == pytest.approx(1)
        np.testing.assert_allclose(filters[[centre - 200, centre + 200], m], 0, atol=1e-12)
        np.testing.assert_allclose(filters[[centre - 100, centre + 100], m], 0.5)
    np.testing.assert_allclose(filters[300:701].sum(axis=1), 1)


def test_a_tone_is_loudest_in_its_band() -> None:
    hz = 1000.0
    audio = np.sin(2 * np.pi * hz * np.arange(8000) / 8000)
    got = log_mel(audio, rate=8000, channels=20, low=0.0, high=4000.0)
    assert got.shape == (101, 20)
    corners = mel_to_hz(np.linspace(0, hz_to_mel(np.array([4000.0]))[0], 22))[1:-1]
    assert abs(corners[got[50].argmax()] - hz) < 100
    assert got.min() >= -100


def test_the_unit_range_ends_80_db_below_the_loudest() -> None:
    decibel = np.array([[20.0, 0.0], [-60.0, -70.0]])
    np.testing.assert_allclose(unit_range(decibel), [[1.0, 0.75], [0.0, 0.0]])
    assert not unit_range(np.full((3, 2), -100.0)).any()  # silence
    np.testing.assert_allclose(unit_range(np.array([[-60.0, -80.0, -100.0]])), [[1, 0.5, 0]])


def test_a_band_without_width_is_refused() -> None:
    with pytest.raises(ValueError, match="0 <= low < high; got 400"):
        mel_filters(4, 64, 8000, 400.0, 400.0)
