"""Small files of speech, written by the tests that read them."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np


def write_wav(
    path: Path,
    audio: np.ndarray,
    *,
    rate: int = 8000,
    width: int = 2,
    channels: int = 1,
) -> Path:
    """`audio` in [-1, 1) as PCM."""
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = np.round(np.asarray(audio, np.float64) * 2 ** (8 * width - 1)).astype(np.int64)
    if width == 3:
        data = b"".join(int(v).to_bytes(3, "little", signed=True) for v in whole)
    else:
        data = (whole + 128).astype(np.uint8) if width == 1 else whole.astype(f"<i{width}")
        data = data.tobytes()
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(data)
    return path


def tone(digit: int, seed: int, samples: int = 1600) -> np.ndarray:
    """A short sound whose pitch is the digit, with noise."""
    rng = np.random.default_rng(seed)
    t = np.arange(samples) / 8000
    sound = np.sin(2 * np.pi * (200 + 300 * digit) * t + rng.uniform(0, 6))
    return (0.4 * sound + 0.02 * rng.normal(size=samples)).clip(-0.99, 0.99)


def digit_folder(
    folder: Path,
    *,
    digits: int = 3,
    speakers: tuple[str, ...] = ("ann", "bob"),
    takes: tuple[int, ...] = (0, 1, 5, 6, 7, 8),
) -> Path:
    """Recordings of tones under the names of FSDD; takes 0 to 4 are the test part."""
    for digit in range(digits):
        for s, speaker in enumerate(speakers):
            for take in takes:
                name = f"{digit}_{speaker}_{take}.wav"
                write_wav(folder / "recordings" / name, tone(digit, 100 * s + take))
    return folder
