"""PCM wave files, read with the standard library and checked against their own header."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Any

import numpy as np

from snnjax.data.errors import DataError

# RuntimeError is what `wave` raises for a chunk that ends beyond the file
_BROKEN = (wave.Error, EOFError, ValueError, OverflowError, MemoryError, RuntimeError)


def read_wav(path: str | Path, *, rates: tuple[int, ...]) -> tuple[int, np.ndarray]:
    """The rate of a mono PCM file of 8, 16 or 32 bits, and its samples float32 [n] in [-1, 1).

    Args:
      path: the file. rates: accepted sampling rates, in samples per second.

    Raises:
      DataError: not a wave file, compressed, truncated, empty, of another rate, or not mono.
    """
    path = Path(path)
    try:
        with wave.open(str(path), "rb") as file:
            header = file.getparams()
            data = file.readframes(header.nframes)
    except OSError as error:
        problem = f"cannot be read ({error.strerror})"
        raise DataError.at(path, problem, fix="check the path") from error
    except _BROKEN as error:
        raise DataError.at(
            path,
            f"is not a PCM wave file, or its header is damaged ({str(error) or 'it ends early'})",
            fix="copy it again, or convert it: sox in.wav -e signed-integer -b 16 out.wav",
        ) from error
    _check(path, header, len(data), rates)
    return header.framerate, _values(data, header.sampwidth)


def _check(path: Path, header: Any, size: int, rates: tuple[int, ...]) -> None:
    frame = header.nchannels * header.sampwidth
    if header.nchannels != 1:
        problem = f"has {header.nchannels} channels; one is needed"
        raise DataError.at(path, problem, fix="mix it down: sox in.wav -c 1 out.wav")
    if header.sampwidth not in (1, 2, 4):
        problem = f"has samples of {8 * header.sampwidth} bits; 8, 16 or 32 are read"
        raise DataError.at(path, problem, fix="convert it: sox in.wav -b 16 out.wav")
    if header.framerate not in rates:
        raise DataError.at(
            path,
            f"has {header.framerate} samples a second; {' or '.join(map(str, rates))} are needed",
            fix=f"resample it: sox in.wav -r {rates[0]} out.wav",
        )
    if header.nframes == 0:
        raise DataError.at(path, "holds no samples", fix="record it again, or delete the file")
    if size != header.nframes * frame:
        raise DataError.at(
            path,
            f"declares {header.nframes} samples, but holds {size // frame}: it is truncated",
            byte=path.stat().st_size,
            fix="copy the file again",
        )


def _values(data: bytes, width: int) -> np.ndarray:
    if width == 1:  # the only unsigned width
        return (np.frombuffer(data, np.uint8).astype(np.float32) - 128) / 128
    values = np.frombuffer(data, f"<i{width}")
    return (values / 2.0 ** (8 * width - 1)).astype(np.float32)
