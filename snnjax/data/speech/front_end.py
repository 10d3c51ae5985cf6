"""Front ends that convert recordings to frames of channels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Literal

import numpy as np

from .bins import sum_frames
from .cochlea import STEP_MS, erb_centres, hair_cells, lif_spikes
from .mel import decibel, mel_filters, power_spectrogram, unit_range

CHUNK = 64
WINDOW_MS = 32.0


@dataclass(frozen=True)
class FrontEnd:
    """How a recording becomes frames of `channels` numbers."""

    name: Literal["log_mel", "mel_db", "cochlea", "recorded"] = "log_mel"
    """`log_mel` (values in [0, 1]), `mel_db` (the same bands in unscaled dB, -100 for
    silence), `cochlea` (spike counts of an ear model), or `recorded` (those of SHD and SSC)"""
    channels: int = 40
    """C; for recorded spikes a divisor of 700"""
    frame_ms: float = 10.0
    """length of a frame, and distance between frames"""
    low_hz: float = 50.0
    """lowest frequency of a filter; no effect on recorded spikes"""
    high_hz: float = 3800.0
    """highest frequency of a filter; mel bands above half the rate are empty; no effect on recorded
    spikes"""

    def __post_init__(self):
        if self.name not in ("log_mel", "mel_db", "cochlea", "recorded"):
            raise ValueError(
                f'`name` must be "log_mel", "mel_db", "cochlea" or "recorded"; got {self.name!r}'
            )
        if self.channels < 1:
            raise ValueError(f"`channels` must be at least 1; got {self.channels}")
        if not (self.frame_ms >= 1 and self.frame_ms % 1 == 0):
            raise ValueError(
                f"`frame_ms` must be an integer number of milliseconds; got {self.frame_ms}"
            )
        if not 0 < self.low_hz < self.high_hz < np.inf:
            raise ValueError(
                f"the band needs 0 < low_hz < high_hz < inf; got {self.low_hz} and {self.high_hz}"
            )

    def __call__(self, recordings: Iterable[np.ndarray], rate: int) -> Iterator[np.ndarray]:
        """Frames [T_i, C] of each recording of `rate` samples a second, in order.

        Real values are float16 and spike counts uint8, so that a data set stays small.

        Raises:
          ValueError: a band or a rate that the front end cannot process, or a recording that is
            empty, not finite, or of several channels.
        """
        if self.high_hz >= rate / 2 and self.name == "cochlea":
            raise ValueError(
                f"`high_hz` must lie below half of {rate} samples a second; got {self.high_hz}"
            )
        step = STEP_MS if self.name == "cochlea" else self.frame_ms
        if rate < 1 or rate * step % 1000:
            raise ValueError(
                f"`rate` must give {step:g} ms an integer number of samples; got {rate} a second. "
                "Resample the recordings, for instance to 8000."
            )
        listen = self._cochlea if self.name == "cochlea" else self._mel
        rest = (_sound(audio, i) for i, audio in enumerate(recordings))
        while chunk := list(islice(rest, CHUNK)):
            yield from listen(chunk, rate)

    def _mel(self, chunk: list[np.ndarray], rate: int) -> Iterator[np.ndarray]:
        n_fft, hop = round(rate * WINDOW_MS / 1000), round(rate * self.frame_ms / 1000)
        powers = [power_spectrogram(audio, n_fft, hop) for audio in chunk]
        filters = mel_filters(self.channels, n_fft, rate, self.low_hz, self.high_hz)
        # one product for all: small ones spend more time synchronising threads than computing
        bands = decibel(np.concatenate(powers) @ filters)
        for frames in np.split(bands, np.cumsum([len(power) for power in powers[:-1]])):
            yield (unit_range(frames) if self.name == "log_mel" else frames).astype(np.float16)

    def _cochlea(self, chunk: list[np.ndarray], rate: int) -> Iterator[np.ndarray]:
        centres = erb_centres(self.channels, self.low_hz, self.high_hz)
        drives = [hair_cells(audio, centres, rate) for audio in chunk]
        longest = max(len(d) for d in drives)
        together = np.stack([np.pad(d, ((0, longest - len(d)), (0, 0))) for d in drives], axis=1)
        spikes = lif_spikes(together)
        for i, drive in enumerate(drives):
            counts = sum_frames(spikes[: len(drive), i], round(self.frame_ms / STEP_MS))
            yield np.minimum(counts, 255).astype(np.uint8)


def _sound(audio: np.ndarray, i: int) -> np.ndarray:
    """A recording, checked to be finite values [samples]."""
    audio = np.asarray(audio)
    if audio.ndim != 1 or not audio.size:
        raise ValueError(
            f"a recording must be [samples], at least one; recording {i} is {audio.shape}. Mix "
            "its channels down, or leave it out."
        )
    if not np.isfinite(audio).all():
        raise ValueError(
            f"recording {i} holds NaN or infinite samples, {np.sum(~np.isfinite(audio))} of "
            f"{audio.size}; leave it out, or repair it with np.nan_to_num."
        )
    return audio
