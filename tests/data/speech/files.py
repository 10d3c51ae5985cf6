"""Small files of speech, written by the tests that read them."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest


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


def write_h5(path: Path, values: dict[str, Any]) -> Path:
    """Arrays under their names; a list of arrays has rows of their own lengths."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        for name, value in values.items():
            if isinstance(value, list):
                kind = h5py.vlen_dtype(value[0].dtype)
                rows = file.create_dataset(name, (len(value),), dtype=kind)
                for i, row in enumerate(value):
                    rows[i] = row
            else:
                file[name] = value
    return path


def spike_file(path: Path, *, classes: int, rows: int, seed: int = 0, spikes: int = 40) -> Path:
    """A file with everything that those of SHD and SSC hold; a class is a group of units."""
    rng = np.random.default_rng(seed)
    labels = np.arange(rows) % classes
    sizes = rng.integers(spikes // 2, spikes, rows)
    width = 700 // classes
    return write_h5(
        path,
        {
            "spikes/times": [np.sort(rng.uniform(0, 0.5, n)).astype(np.float16) for n in sizes],
            "spikes/units": [
                (width * k + rng.integers(0, width, n)).astype(np.uint16)
                for k, n in zip(labels, sizes, strict=True)
            ],
            "labels": labels.astype(np.uint16),
            "extra/speaker": rng.integers(0, 12, rows).astype(np.uint16),
            "extra/keys": np.array([f"word {k}".encode() for k in range(classes)]),
            "extra/meta_info/gender": np.array([b"female", b"male"] * 6),
            "extra/meta_info/age": np.arange(20, 32).astype(np.uint16),
            "extra/meta_info/body_height": np.arange(160, 172).astype(np.float32),
        },
    )


def command_folder(folder: Path, *, words: int, takes: int = 3) -> Path:
    """Speech Commands in small: take 0 of each word is for testing, take 1 for validation."""
    names = [f"word{k:02}" for k in range(words)]
    for k, word in enumerate(names):
        for take in range(takes):
            audio = tone(k % 10, 100 * k + take, samples=4000)
            write_wav(folder / word / f"voice{take}_nohash_0.wav", audio, rate=16_000)
    for take, file in enumerate(("testing_list.txt", "validation_list.txt")):
        lines = [f"{word}/voice{take}_nohash_0.wav\n" for word in names]
        (folder / file).write_text("".join(lines))
    return folder
